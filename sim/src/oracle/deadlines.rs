//! Every call ends by its deadline, one way or the other.

use std::collections::BTreeMap;
use std::time::Duration;

use wattle_mesh::core::time::Time;

use super::{Findings, Oracle, Scene};
use crate::lattice::happening::{Happened, Happening};
use crate::scenario::Scenario;

/// A call may end so much later, and a hundredth of its time: its node's clock is not the right one.
const SLACK: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Deadlines {
    findings: Findings,
    open: BTreeMap<u64, (Time, usize)>,
}

impl Oracle for Deadlines {
    fn name(&self) -> &'static str {
        "deadlines"
    }

    fn promise(&self, _: &Scenario) -> String {
        "every call ends by its deadline".into()
    }

    fn see(&mut self, event: &Happened, scene: &mut Scene<'_>) {
        match &event.what {
            Happening::CallBegan { call, time, .. } => {
                let due = event.at.plus(*time + *time / 100 + SLACK);
                self.open.insert(*call, (due, event.node));
            }
            Happening::CallEnded { call, .. } => {
                let Some((due, node)) = self.open.remove(call) else { return };
                self.findings.checked();
                if event.at > due {
                    self.late(*call, event.at, node, scene);
                }
            }
            // Who is down waits for nothing.
            Happening::Stopped { .. } => self.open.retain(|_, (_, node)| *node != event.node),
            _ => {}
        }
    }

    fn look(&mut self, scene: &mut Scene<'_>) {
        let now = scene.lattice.now();
        let late: Vec<(u64, usize)> = self
            .open
            .iter()
            .filter(|(_, (due, _))| now > *due)
            .map(|(call, (_, node))| (*call, *node))
            .collect();
        for (call, node) in late {
            self.open.remove(&call);
            self.late(call, now, node, scene);
        }
    }

    fn end(&mut self, scene: &mut Scene<'_>) {
        self.look(scene);
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}

impl Deadlines {
    fn late(&mut self, call: u64, at: Time, node: usize, scene: &mut Scene<'_>) {
        let name = scene.lattice.name_of(node);
        let text = format!("call {call} of {name} has not ended by its deadline");
        self.findings.breach(at, node, None, text);
    }
}
