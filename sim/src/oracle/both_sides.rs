//! Both sides of a cut accept changes, and show what they hold: whoever is up and has a disk that
//! works.

use super::{Findings, Oracle, Scene};
use crate::lattice::happening::{Happened, Happening};
use crate::scenario::Scenario;

#[derive(Default)]
pub(super) struct BothSides {
    findings: Findings,
}

impl Oracle for BothSides {
    fn name(&self) -> &'static str {
        "both-sides"
    }

    fn promise(&self, _: &Scenario) -> String {
        "every node that is up takes changes, and shows what it has taken at once".into()
    }

    fn see(&mut self, event: &Happened, scene: &mut Scene<'_>) {
        let node = event.node;
        match &event.what {
            Happening::EditRefused { why, by_disk: false } => {
                let text = format!("{} takes no change: {why}", scene.lattice.name_of(node));
                self.findings.breach(event.at, node, None, text);
            }
            Happening::Acknowledged { key, version, .. } if scene.lattice.has_records(node) => {
                self.findings.checked();
                let shown = scene.lattice.record(node, key).map(|record| record.version);
                if shown < Some(*version) {
                    let name = scene.lattice.name_of(node);
                    let text = format!("{name} has taken a change of {key}, and does not show it");
                    self.findings.breach(event.at, node, None, text);
                }
            }
            _ => {}
        }
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}
