//! No acknowledged record is lost: not by a crash, and not against a change that nobody made.

use std::collections::{BTreeMap, BTreeSet};

use wattle_contracts::record::{RecordKey, Version};

use super::{Findings, Oracle, Scene};
use crate::lattice::happening::{Happened, Happening};
use crate::scenario::Scenario;

#[derive(Default)]
pub(super) struct RecordsKept {
    findings: Findings,
    written: BTreeSet<(RecordKey, Version)>,
    /// What each node has acknowledged, the latest of each key.
    by_node: BTreeMap<usize, BTreeMap<RecordKey, Version>>,
}

impl Oracle for RecordsKept {
    fn name(&self) -> &'static str {
        "records-kept"
    }

    fn promise(&self, _: &Scenario) -> String {
        "no acknowledged record is lost, and none is current that nobody wrote".into()
    }

    fn see(&mut self, event: &Happened, scene: &mut Scene<'_>) {
        let node = event.node;
        match &event.what {
            Happening::Wrote { key, version } => _ = self.written.insert((key.clone(), *version)),
            Happening::Acknowledged { key, version, .. } => {
                self.by_node.entry(node).or_default().insert(key.clone(), *version);
            }
            Happening::Current { key, version: Some(version), .. } => {
                self.findings.checked();
                if !self.written.contains(&(key.clone(), *version)) {
                    let name = scene.lattice.name_of(node);
                    let text = format!("{name} holds a record of {key} that nobody wrote");
                    self.findings.breach(event.at, node, None, text);
                }
            }
            Happening::Started => self.check(node, scene),
            // Another disk has other records, and what only this node had is gone with its own.
            Happening::Ends(what) if what == crate::run::NEW_DISK => {
                self.by_node.remove(&node);
            }
            _ => {}
        }
    }

    fn end(&mut self, scene: &mut Scene<'_>) {
        let nodes: Vec<usize> = self.by_node.keys().copied().collect();
        for node in nodes {
            if scene.lattice.has_records(node) {
                self.check(node, scene);
            }
        }
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}

impl RecordsKept {
    /// A node holds what it once said that it has.
    fn check(&mut self, node: usize, scene: &mut Scene<'_>) {
        let Some(acknowledged) = self.by_node.get(&node) else { return };
        for (key, version) in acknowledged {
            self.findings.checked();
            let held = scene.lattice.record(node, key).map(|record| record.version);
            if held < Some(*version) {
                let name = scene.lattice.name_of(node);
                let text = format!("{name} said that it has a change of {key}, and has lost it");
                self.findings.breach(scene.lattice.now(), node, None, text);
            }
        }
    }
}
