//! What this node does about the other cells: what that is, [`Cells`] says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot, watch};
use wattle_contracts::id::{CellName, NodeId};
use wattle_contracts::record::{CellMember, Record, RecordBody, RecordKey, Summary};
use wattle_contracts::trust::UnixMillis;

use super::Driver;
use crate::core::cells::author::{Author, Current, draft};
use crate::core::cells::{Cells, Config, Plan, ranked};
use crate::core::redial::{Source, Target};
use crate::core::time::Time;
use crate::net::discovery::{canonical, for_others};
use crate::net::records::{Put, Records};
use crate::net::statement::{About, Load, Runs};
use crate::net::view::{FoundBy, NodeView, Standing, View};

/// Between two looks at the cells, where nothing in particular has happened.
const LOOK: Duration = Duration::from_millis(500);

/// What this node knows of other cells, and does about them.
#[derive(Debug)]
pub(super) struct Abroad {
    cells: Cells,
    author: Author,
    plan: Arc<Plan>,
    looked: Time,
    /// The records, and where declarations go. Set once, when the plane of records has started.
    plane: Option<(watch::Receiver<Arc<Records>>, mpsc::Sender<Put>)>,
    /// The summary of this node's own cell.
    own: Option<Record>,
    /// Who speaks now for a cell that it is not in.
    strangers: Vec<(CellName, NodeId)>,
}

impl Abroad {
    pub(super) fn new(me: NodeId, cell: CellName) -> Self {
        Self {
            cells: Cells::new(me, cell, Config::default()),
            author: Author::new(me, Time::ZERO),
            plan: Arc::default(),
            looked: Time::ZERO,
            plane: None,
            own: None,
            strangers: Vec::new(),
        }
    }

    pub(super) fn attach(
        &mut self,
        records: watch::Receiver<Arc<Records>>,
        puts: mpsc::Sender<Put>,
    ) {
        let mut records = records;
        records.mark_changed();
        self.plane = Some((records, puts));
    }

    /// Asks something of the plane of records. What becomes of it is seen there.
    pub(super) fn put(&self, put: Put) -> bool {
        self.plane.as_ref().is_some_and(|(_, puts)| puts.try_send(put).is_ok())
    }

    /// Through whom nodes of other cells are reached that are not connected.
    pub(super) fn ways(&self) -> &BTreeMap<NodeId, NodeId> {
        &self.plan.ways
    }

    /// Takes over what the records say now. Whether that may be something new, and who spoke for a
    /// cell that it is not in.
    fn read_records(
        &mut self,
        met: impl FnOnce() -> BTreeMap<NodeId, CellName>,
    ) -> (bool, Vec<(CellName, NodeId)>) {
        let nothing = (false, Vec::new());
        let Some((records, _)) = &mut self.plane else { return nothing };
        if !records.has_changed().unwrap_or(false) {
            return nothing;
        }
        let records = records.borrow_and_update().clone();
        let summaries = records.iter().filter_map(|record| match (&record.key, &record.body) {
            (RecordKey::Cell(cell), RecordBody::Cell(summary)) => {
                Some((cell, record.version, summary))
            }
            _ => None,
        });
        let strangers = self.cells.hear(summaries, &met());
        let key = RecordKey::Cell(self.cells.cell().clone());
        self.own = records.get(&key).cloned();
        (true, strangers)
    }

    /// The members of this node's own cell, by its summary.
    fn own_members(&self) -> &[CellMember] {
        match self.own.as_ref().map(|record| &record.body) {
            Some(RecordBody::Cell(summary)) => &summary.members,
            _ => &[],
        }
    }

    /// Puts what the summaries tell into the view.
    pub(super) fn widen(
        &self,
        wall: UnixMillis,
        met: &BTreeMap<NodeId, CellName>,
        addresses: impl Fn(NodeId) -> Vec<Multiaddr>,
        view: &mut View,
    ) {
        for node in view.nodes.values_mut() {
            let cell = met.get(&node.id).filter(|_| !node.is_self);
            node.cell = cell.unwrap_or(self.cells.cell()).clone();
            node.ambassador = self.plan.ambassadors.contains(&node.id);
        }
        let mut others = BTreeMap::<&CellName, Vec<NodeId>>::new();
        for (cell, member) in self.cells.believed(wall) {
            others.entry(cell).or_default().push(member.node);
            let reached = self.plan.cells.get(cell).copied().unwrap_or(false);
            let standing = if reached { Standing::Alive } else { Standing::Unreachable };
            let node = view.nodes.entry(member.node).or_insert_with(|| NodeView {
                id: member.node,
                is_self: false,
                cell: cell.clone(),
                told: true,
                ambassador: false,
                standing,
                connected: false,
                via: None,
                one_way: false,
                sees: None,
                addresses: addresses(member.node),
                found_by: FoundBy::Summary,
                rtt: None,
                about: About::default(),
                runs: Runs::default(),
                load: Load::default(),
                audit: None,
            });
            let is_near = node.cell == *self.cells.cell();
            if node.is_self || (is_near && node.standing != Standing::Unreachable) {
                continue;
            }
            node.cell = cell.clone();
            node.told = true;
            node.about.labels.clone_from(&member.labels);
            node.runs.components.clone_from(&member.serves);
            if node.addresses.is_empty() {
                node.addresses = parse(&member.addresses);
            }
            if !node.connected {
                node.standing = standing;
                let way = self.plan.ways.get(&node.id).copied();
                node.via = node.via.or(way).filter(|_| reached);
            }
        }
        for (cell, nodes) in others {
            for node in ranked(cell, nodes).into_iter().take(Config::default().ambassadors) {
                if let Some(node) = view.nodes.get_mut(&node) {
                    node.ambassador = true;
                }
            }
        }
    }
}

impl Driver {
    /// Looks what is to be done about other cells, and does it.
    pub(super) fn tend_cells(&mut self, now: Time) {
        let connected = || {
            let mut met = self.met.all();
            met.retain(|node, _| self.peers.link(*node).is_some());
            met
        };
        let (news, strangers) = self.abroad.read_records(connected);
        if news {
            self.note_strangers(strangers);
        }
        let called = self.peers.take_called();
        if !news && called.is_empty() && now.since(self.abroad.looked) < LOOK {
            return;
        }
        self.abroad.looked = now;
        for node in &called {
            self.abroad.cells.called(now, *node);
        }
        let wall = self.config.clock.now();
        let met = self.met.all();
        let usable = |node| self.peers.link(node).is_some() && self.census.answers(node);
        let linked = self.peers.connected_far().into_iter().filter(|node| usable(*node)).collect();
        let near = self.census.near(usable);
        let plan = self.abroad.cells.look(now, wall, &near, &linked, &met);
        self.note_term(&plan);

        self.hint_members(now, &plan);
        let far = self.abroad.cells.believed(wall).map(|(_, member)| member.node);
        let here: BTreeSet<NodeId> = near.iter().map(|near| near.node).collect();
        let far: BTreeSet<NodeId> =
            far.filter(|node| *node != self.node && !here.contains(node)).collect();
        self.peers.set_far(&far, &plan.envoys);
        let revoked = self.roster.rights().revoked_nodes().collect::<Vec<_>>();
        self.dialling.rest(plan.resting.iter().copied().chain(revoked).collect());
        for node in called {
            self.dialling.need(now, node);
        }
        let settle = self.config.timing.settle;
        for id in
            self.connections.unwanted(self.node, now, settle, |node| plan.wanted.contains(&node))
        {
            self.swarm.close_connection(id);
        }
        if news || plan != self.abroad.plan {
            self.abroad.plan = plan;
            self.census.touch();
        }
        self.write_summary(now, wall);
    }

    /// Who speaks for a cell that it is not in is not believed, and told of once.
    fn note_strangers(&mut self, strangers: Vec<(CellName, NodeId)>) {
        for (cell, writer) in &strangers {
            if !self.abroad.strangers.contains(&(cell.clone(), *writer)) {
                self.metrics.summaries_refused.one();
                tracing::warn!(
                    %cell, %writer,
                    "a node that is not in that cell has written its summary; what was known of the \
                     cell before still counts. See what runs on that node"
                );
            }
        }
        self.abroad.strangers = strangers;
    }

    fn note_term(&self, plan: &Plan) {
        let was = self.abroad.plan.ambassadors.contains(&self.node);
        match (was, plan.ambassadors.contains(&self.node)) {
            (false, true) => {
                self.metrics.ambassador_terms.one();
                tracing::info!(cell = %self.abroad.cells.cell(), "this node is an ambassador of its cell");
            }
            (true, false) => {
                tracing::info!(cell = %self.abroad.cells.cell(), "this node is no ambassador any more");
            }
            _ => {}
        }
        for (cell, reached) in &plan.cells {
            if self.abroad.plan.cells.get(cell).unwrap_or(&false) != reached {
                match reached {
                    true => tracing::info!(%cell, "another cell is reached"),
                    false => tracing::warn!(%cell, "another cell is not reached any more"),
                }
            }
        }
    }

    /// Where those are reached that are to be dialled.
    fn hint_members(&mut self, now: Time, plan: &Plan) {
        let abroad = &self.abroad;
        let far = abroad.cells.addresses().filter(|(node, _)| plan.wanted.contains(node));
        let own =
            abroad.own_members().iter().map(|member| (member.node, member.addresses.as_slice()));
        for (node, addresses) in far.chain(own) {
            let known = self.dialling.addresses(node);
            let new: Vec<Multiaddr> = parse(addresses);
            if new.iter().any(|address| !known.contains(address)) {
                self.dialling.hint(now, Target::Node(node), &new, Source::Told);
            }
        }
    }

    /// Writes the summary of this node's cell, if that is this node's task and is due.
    fn write_summary(&mut self, now: Time, wall: UnixMillis) {
        if !self.abroad.plan.is_author(self.abroad.own.is_some()) {
            return;
        }
        // Nobody takes a summary by a node of which it is not known how it came.
        if !self.roster.rights().is_written(self.node) {
            return;
        }
        let own_addresses = self.reachable_at();
        let cell = self.abroad.cells.cell().clone();
        let mut members = self.census.members_of_cell(&own_addresses);
        members.retain(|member| self.roster.is_member(member.node, wall));
        let (mine, bytes) = draft(&cell, members);
        let current = self.abroad.own.as_ref().and_then(|record| match &record.body {
            RecordBody::Cell(summary) => {
                let at = UnixMillis(record.version.at.millis);
                Some(Current { writer: record.version.writer, at, summary })
            }
            _ => None,
        });
        if !self.abroad.author.is_due(now, wall, current, &mine, bytes) {
            return;
        }
        let Some((_, puts)) = &self.abroad.plane else { return };
        // What becomes of it is seen in the records.
        let (answer, _) = oneshot::channel();
        let put = Put::Sign { key: RecordKey::Cell(cell), body: RecordBody::Cell(mine), answer };
        if puts.try_send(put).is_ok() {
            self.abroad.author.wrote(now);
            self.metrics.summaries_written.one();
            tracing::debug!(bytes, "wrote the summary of this cell");
        }
    }
}

fn parse(addresses: &[String]) -> Vec<Multiaddr> {
    let addresses = addresses.iter().filter_map(|text| text.parse::<Multiaddr>().ok());
    addresses.filter_map(|address| canonical(&address)).collect()
}

/// The addresses that a summary gives for a node.
pub(super) fn told(addresses: Vec<Multiaddr>) -> Vec<String> {
    let addresses = for_others(addresses);
    addresses.iter().take(Summary::MAX_ADDRESSES).map(ToString::to_string).collect()
}
