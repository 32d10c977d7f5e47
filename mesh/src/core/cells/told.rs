//! Which summaries are believed: those by who is in the cell, as far as this node can know.
//!
//! All nodes hold the same records. What one of them believes of those depends on whom it has met,
//! and may differ from what another one does, without harm to what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use wattle_contracts::id::{CellName, NodeId};
use wattle_contracts::record::{Summary, Version};

use super::{Cells, MAX_CELLS, Told, at, ranked, reach};

impl Cells {
    /// Takes over the summaries that are known now, this cell's own among them or not, each with the
    /// version of its record. `met` are the nodes that are connected, each with the cell that it says
    /// itself that it is in.
    ///
    /// Not believed is a summary of a cell that its writer is not in: of a writer that says itself
    /// that it is in another one, or that another cell lists, by a summary that was still young, and
    /// this one did not list before. What was believed of that cell stays so. Gives back who spoke
    /// for which cell without being in it.
    pub fn hear<'a>(
        &mut self,
        summaries: impl Iterator<Item = (&'a CellName, Version, &'a Summary)>,
        met: &BTreeMap<NodeId, CellName>,
    ) -> Vec<(CellName, NodeId)> {
        let others = summaries.filter(|(cell, _, _)| **cell != self.cell);
        let (mut told, mut strangers) = (BTreeMap::new(), Vec::new());
        let mut is_news = false;
        // Of those that were believed, how many may still come.
        let mut waiting = self.told.len();
        for (cell, version, summary) in others {
            let old = self.told.get(cell);
            // Those that are believed already find a place first.
            let has_place = old.is_some() || told.len() + waiting < MAX_CELLS;
            if !has_place {
                continue;
            }
            waiting -= usize::from(old.is_some());
            let is_same = |old: &Told| old.version == version && *old.summary == *summary;
            if old.is_some_and(is_same) {
                told.extend(old.map(|old| (cell.clone(), old.clone())));
            } else if self.is_in(version, cell, met) {
                let nodes = summary.members.iter().map(|member| member.node);
                let ranked = ranked(cell, nodes.filter(|node| *node != self.me));
                let summary = Arc::new(summary.clone());
                told.insert(cell.clone(), Told { version, summary, ranked });
                is_news = true;
            } else {
                told.extend(old.map(|old| (cell.clone(), old.clone())));
                strangers.push((cell.clone(), version.writer));
            }
        }
        is_news |= told.len() != self.told.len();
        self.told = told;
        if is_news {
            self.names.clear();
            for (cell, told) in &self.told {
                let nodes = told.ranked.iter().map(|node| (reach::short(*node), cell.clone()));
                self.names.extend(nodes);
            }
            self.told_anew();
        }
        strangers
    }

    /// Whether the writer may be in that cell: by its own word to this node, else by what was
    /// believed so far. Of whom nothing is known, it may: it may have come just now.
    fn is_in(&self, version: Version, cell: &CellName, met: &BTreeMap<NodeId, CellName>) -> bool {
        let writer = version.writer;
        if writer == self.me {
            return *cell == self.cell;
        }
        if let Some(said) = met.get(&writer) {
            return said == cell;
        }
        let lists = |told: &Told| told.summary.members.iter().any(|member| member.node == writer);
        let is_listed = self.told.get(cell).is_some_and(lists);
        let lifetime = self.config.lifetime;
        let young = |told: &Told| at(version) <= at(told.version).plus(lifetime);
        let is_elsewhere =
            |(other, told): (&CellName, &Told)| other != cell && young(told) && lists(told);
        is_listed || !self.told.iter().any(is_elsewhere)
    }
}
