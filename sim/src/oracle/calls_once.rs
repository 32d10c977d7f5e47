//! No call is executed twice, unless its link says that it may be.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, Oracle, Scene};
use crate::lattice::happening::{Happened, Happening};
use crate::scenario::Scenario;

#[derive(Default)]
pub(super) struct CallsOnce {
    findings: Findings,
    once: BTreeSet<u64>,
    executed: BTreeMap<u64, usize>,
}

impl Oracle for CallsOnce {
    fn name(&self) -> &'static str {
        "calls-once"
    }

    fn promise(&self, _: &Scenario) -> String {
        "no call is executed twice whose link does not allow it".into()
    }

    fn see(&mut self, event: &Happened, scene: &mut Scene<'_>) {
        match &event.what {
            Happening::CallBegan { call, may_repeat: false, .. } => _ = self.once.insert(*call),
            Happening::Executed { call } if self.once.contains(call) => {
                self.findings.checked();
                if let Some(first) = self.executed.insert(*call, event.node) {
                    let (one, other) =
                        (scene.lattice.name_of(first), scene.lattice.name_of(event.node));
                    let text = format!("call {call} is executed on {one}, and then on {other}");
                    self.findings.breach(event.at, event.node, Some(first), text);
                }
            }
            _ => {}
        }
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}
