//! No durable message is lost that was acknowledged to its publisher, and in a calm mesh each is
//! handled in time.

use std::collections::BTreeMap;

use wattle_contracts::message::{Group, MessageId};
use wattle_mesh::core::time::Time;

use super::{Findings, Oracle, Scene};
use crate::lattice::happening::{Happened, Happening};
use crate::scenario::Scenario;

#[derive(Default)]
pub(super) struct MessagesKept {
    findings: Findings,
    /// Those that nobody has handled: since when, and on which node they wait.
    open: BTreeMap<(Group, MessageId), (Time, usize)>,
}

impl Oracle for MessagesKept {
    fn name(&self) -> &'static str {
        "messages-kept"
    }

    fn promise(&self, scenario: &Scenario) -> String {
        let within = scenario.expect.deliver;
        format!("every message that was published is handled {within:?} after the last fault")
    }

    fn see(&mut self, event: &Happened, scene: &mut Scene<'_>) {
        match &event.what {
            Happening::Published { id, groups } => {
                for group in groups {
                    self.findings.checked();
                    self.open.insert((group.clone(), *id), (event.at, event.node));
                }
            }
            Happening::Handled { group, id } => _ = self.open.remove(&(group.clone(), *id)),
            Happening::Settled { group, id, how } => {
                let was_open = self.open.remove(&(group.clone(), *id)).is_some();
                if was_open && *how == "handled" {
                    let name = scene.lattice.name_of(event.node);
                    let text = format!(
                        "{name} is done with message {} for {group}, which nobody has handled",
                        id.sequence
                    );
                    self.findings.breach(event.at, event.node, None, text);
                }
            }
            Happening::Ends(what) if what == crate::run::NEW_DISK => {
                self.open.retain(|_, (_, publisher)| *publisher != event.node);
            }
            _ => {}
        }
    }

    fn end(&mut self, scene: &mut Scene<'_>) {
        let within = scene.scenario.expect.deliver;
        let (now, calm) = (scene.lattice.now(), scene.calm);
        for ((group, id), (at, publisher)) in &self.open {
            let up = scene.up.get(*publisher).copied().flatten();
            let name = scene.lattice.name_of(*publisher);
            if !scene.lattice.is_kept(*id, group) {
                let text = format!("{name} has lost message {} for {group}", id.sequence);
                self.findings.breach(now, *publisher, None, text);
            } else if let (Some(up), Some(calm)) = (up, calm)
                && now >= calm.max(up).max(*at).plus(within)
            {
                let text = format!(
                    "message {} of {name} for {group} is not handled {within:?} after all was well",
                    id.sequence
                );
                self.findings.breach(now, *publisher, None, text);
            }
        }
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}
