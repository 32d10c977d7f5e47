//! A node never gives a message to its component again that it has handled.

use std::collections::{BTreeMap, BTreeSet};

use wattle_contracts::message::{Group, MessageId};

use super::{Findings, Oracle, Scene};
use crate::lattice::happening::{Happened, Happening};
use crate::scenario::Scenario;

#[derive(Default)]
pub(super) struct MessagesOnce {
    findings: Findings,
    /// Handled since the node started.
    handled: BTreeMap<usize, BTreeSet<(Group, MessageId)>>,
    /// Handled, and on its disk.
    kept: BTreeMap<usize, BTreeSet<(Group, MessageId)>>,
}

impl Oracle for MessagesOnce {
    fn name(&self) -> &'static str {
        "messages-once"
    }

    fn promise(&self, _: &Scenario) -> String {
        "no node handles a message again that it has handled".into()
    }

    fn see(&mut self, event: &Happened, scene: &mut Scene<'_>) {
        let node = event.node;
        match &event.what {
            Happening::Handled { group, id } => {
                self.findings.checked();
                let what = (group.clone(), *id);
                let known = self.kept.get(&node).is_some_and(|kept| kept.contains(&what));
                let again = !self.handled.entry(node).or_default().insert(what);
                if known || again {
                    let name = scene.lattice.name_of(node);
                    let text = format!("{name} handles message {} for {group} again", id.sequence);
                    let other = scene.lattice.number_of(id.publisher);
                    self.findings.breach(event.at, node, other, text);
                }
            }
            Happening::HandledKept { group, id } => {
                self.kept.entry(node).or_default().insert((group.clone(), *id));
            }
            Happening::Started => _ = self.handled.remove(&node),
            Happening::Ends(what) if what == crate::run::NEW_DISK => _ = self.kept.remove(&node),
            _ => {}
        }
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}
