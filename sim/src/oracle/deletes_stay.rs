//! What was deleted does not come back, unless somebody declares it anew.

use std::collections::BTreeMap;

use wattle_contracts::record::{RecordKey, Version};

use super::{Findings, Oracle, Scene};
use crate::lattice::happening::{Happened, Happening};
use crate::scenario::Scenario;

#[derive(Default)]
pub(super) struct DeletesStay {
    findings: Findings,
    /// The latest tombstone that each node has held.
    held: BTreeMap<(usize, RecordKey), Version>,
    /// The latest that was acknowledged to somebody.
    deleted: BTreeMap<RecordKey, Version>,
}

impl Oracle for DeletesStay {
    fn name(&self) -> &'static str {
        "deletes-stay"
    }

    fn promise(&self, _: &Scenario) -> String {
        "no record comes back that was deleted".into()
    }

    fn see(&mut self, event: &Happened, scene: &mut Scene<'_>) {
        let node = event.node;
        match &event.what {
            Happening::Acknowledged { key, version, is_tombstone: true } => {
                let known = self.deleted.entry(key.clone()).or_insert(*version);
                *known = (*known).max(*version);
            }
            Happening::Current { key, version: Some(version), is_tombstone: true } => {
                self.held.insert((node, key.clone()), *version);
            }
            Happening::Current { key, version: Some(version), is_tombstone: false } => {
                let Some(deleted) = self.held.get(&(node, key.clone())) else { return };
                self.findings.checked();
                if version < deleted {
                    let name = scene.lattice.name_of(node);
                    let text = format!("{name} held {key} as deleted, and has it again");
                    self.findings.breach(event.at, node, None, text);
                }
            }
            Happening::Ends(what) if what == crate::run::NEW_DISK => {
                self.held.retain(|(of, _), _| *of != node);
            }
            _ => {}
        }
    }

    fn end(&mut self, scene: &mut Scene<'_>) {
        if !scene.is_calm_for(scene.scenario.expect.converge) {
            return;
        }
        for (key, deleted) in &self.deleted {
            for node in scene.steady(scene.scenario.expect.converge) {
                let Some(record) = scene.lattice.record(node, key) else { continue };
                self.findings.checked();
                if !record.is_tombstone() && record.version < *deleted {
                    let name = scene.lattice.name_of(node);
                    let text = format!("{name} still has {key} in the end, which was deleted");
                    self.findings.breach(scene.lattice.now(), node, None, text);
                }
            }
        }
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}
