//! No node sends or keeps more than it may.

use std::time::Duration;

use wattle_mesh::core::time::Time;

use super::{Findings, Oracle, Scene};
use crate::scenario::Scenario;

/// What is sent is averaged over so long.
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Bounds {
    findings: Findings,
    /// When the window began, and what each node had sent by then.
    window: Option<(Time, Vec<u64>)>,
}

impl Oracle for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn promise(&self, scenario: &Scenario) -> String {
        let expect = &scenario.expect;
        format!(
            "no honest node sends more than {} kB/s over a minute, or holds more than {} records",
            expect.bytes / 1000,
            expect.records
        )
    }

    fn look(&mut self, scene: &mut Scene<'_>) {
        let now = scene.lattice.now();
        let sent: Vec<u64> = (0..scene.lattice.len()).map(|n| scene.lattice.bytes_of(n)).collect();
        let Some((began, before)) = &self.window else {
            self.window = Some((now, sent));
            return;
        };
        let time = now.since(*began);
        if time < WINDOW {
            return;
        }
        let expect = &scene.scenario.expect;
        let seconds = time.as_secs().max(1);
        for (number, (sent, before)) in sent.iter().zip(before).enumerate() {
            if scene.lattice.is_hostile(number) {
                continue;
            }
            self.findings.checked();
            let rate = (sent - before) / seconds;
            let (records, _) = scene.lattice.records_size(number);
            let name = scene.lattice.name_of(number);
            if rate > expect.bytes {
                let text = format!("{name} sends {rate} bytes per second");
                self.findings.breach(now, number, None, text);
            }
            if records > expect.records {
                let text = format!("{name} holds {records} records");
                self.findings.breach(now, number, None, text);
            }
        }
        self.window = Some((now, sent));
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}
