//! What happens to connections, and what a node then does: it dials, closes, tells and remembers.

use wattle_contracts::control::{Control, PeerHint};
use wattle_contracts::id::NodeId;
use wattle_mesh::core::membership::Evidence;
use wattle_mesh::core::redial::{Dial, MAX_HINTS, Source, Target, hints_for, superfluous};
use wattle_mesh::core::time::Time;

use super::Standing;
use crate::lattice::disk::{Kept, Op};
use crate::lattice::happening::Happening;
use crate::machine::{Cx, Effect, Machine, Payload, Then};
use crate::mutant::Mutant;

impl Machine {
    pub(in crate::machine) fn first_hints(
        &mut self,
        kept: &Kept,
        hints: &[String],
        cx: &mut Cx<'_>,
    ) {
        for (node, addresses) in kept.remembered() {
            self.hint(Target::Node(*node), addresses, Source::Remembered, cx);
        }
        for address in hints {
            self.hint(Target::Address(address.clone()), &[], Source::Flag, cx);
        }
        self.links.remembered = kept.remembered().to_vec();
    }

    /// Somebody is told of by multicast.
    pub(crate) fn introduced(&mut self, node: NodeId, address: &str, cx: &mut Cx<'_>) {
        self.hint(Target::Node(node), &[address.to_owned()], Source::Mdns, cx);
    }

    /// Whether there is a connection to a node.
    pub(crate) fn has_link(&self, node: NodeId) -> bool {
        self.links.is_linked(node)
    }

    /// Who may be known is dialled.
    pub(in crate::machine) fn hint(
        &mut self,
        target: Target,
        addresses: &[String],
        source: Source,
        cx: &mut Cx<'_>,
    ) {
        if let (Target::Node(node), Some(circle)) = (&target, &self.circle)
            && !circle.contains(node)
        {
            return;
        }
        self.links.dials = Time::ZERO;
        self.links.news |=
            self.links.redial.hint(cx.now, target, addresses.iter().cloned(), source);
    }

    pub(in crate::machine) fn on_hints(&mut self, hints: Vec<PeerHint>, cx: &mut Cx<'_>) {
        for PeerHint { node, addresses } in hints.into_iter().take(MAX_HINTS) {
            self.hint(Target::Node(node), &addresses, Source::Told, cx);
        }
        self.dial_due(cx);
    }

    /// A connection stands.
    pub(crate) fn connected(
        &mut self,
        (connection, peer): (u64, NodeId),
        dialled: Option<(&Target, &str)>,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now;
        if let Some((Target::Address(text), _)) = dialled {
            self.links.redial.answered(now, text, peer);
        }
        let dialler = if dialled.is_some() { self.me } else { peer };
        let is_first = self.links.of(peer).next().is_none();
        let near = self.is_near(peer);
        let standing = Standing { peer, dialler, near, since: now, heard: now };
        self.links.standing.insert(connection, standing);
        (self.links.news, self.links.dials) = (true, Time::ZERO);
        let address = dialled.map(|(_, address)| address.to_string());
        self.links.redial.connected(now, peer, address);
        if is_first {
            cx.happens(Happening::Linked(peer));
            self.evidence(Evidence::Linked(peer), cx);
        }
        let was_linked = self.links.is_linked(peer);
        if let Some(best) = self.links.best(peer, now) {
            self.links.used.insert(peer, best);
        }
        if !was_linked {
            self.links.turns += 1;
            if near {
                self.links.far.remove(&peer);
                self.tell_peer(peer, cx);
                self.greet(peer, cx);
            } else {
                self.links.far.insert(peer);
            }
        }
        self.peers_changed(cx);
        self.changed = true;
        self.settle(cx);
    }

    /// A connection is gone.
    pub(crate) fn disconnected(&mut self, connection: u64, cx: &mut Cx<'_>) {
        let Some(one) = self.links.standing.remove(&connection) else { return };
        let (now, peer) = (cx.now, one.peer);
        match self.links.best(peer, now) {
            Some(best) => _ = self.links.used.insert(peer, best),
            None => {
                self.links.used.remove(&peer);
                self.links.far.remove(&peer);
                self.links.turns += 1;
            }
        }
        if self.links.of(peer).next().is_none() {
            self.links.dials = Time::ZERO;
            if !self.is_broken(Mutant::NoRedial) {
                self.links.redial.disconnected(now, peer, cx.rng);
            }
            cx.happens(Happening::Unlinked(peer));
            self.evidence(Evidence::Unlinked(peer), cx);
            self.peers_changed(cx);
        }
        self.calls_lost(connection, cx);
        self.changed = true;
        self.settle(cx);
    }

    /// An attempt came to nothing.
    pub(crate) fn dial_failed(&mut self, target: &Target, cx: &mut Cx<'_>) {
        self.links.dials = Time::ZERO;
        if !self.is_broken(Mutant::NoRedial) {
            self.links.redial.failed(cx.now, target, cx.rng);
        }
        self.settle(cx);
    }

    /// An attempt on this node came to nothing, because what it answers does not arrive.
    pub(crate) fn knocked(&mut self, by: NodeId, cx: &mut Cx<'_>) {
        self.evidence(Evidence::Knocked(by), cx);
        self.changed = true;
        self.settle(cx);
    }

    /// A ping was answered.
    pub(crate) fn pinged(
        &mut self,
        connection: u64,
        round_trip: std::time::Duration,
        cx: &mut Cx<'_>,
    ) {
        let Some(one) = self.links.standing.get_mut(&connection) else { return };
        one.heard = cx.now;
        let peer = one.peer;
        self.evidence(Evidence::RoundTrip(peer, round_trip), cx);
        // Most of what happens is this, and changes nothing.
        if self.sign_of_life(peer, cx) {
            self.settle(cx);
        }
    }

    /// A ping was lost. A whole node waits for the next one.
    pub(crate) fn unanswered(&mut self, connection: u64, cx: &mut Cx<'_>) {
        if !self.is_broken(Mutant::SilenceIsDeath) {
            return;
        }
        if let Some(peer) = self.links.peer_of(connection) {
            cx.out.push(Effect::Close { connection });
            let dead = [peer].into();
            self.evidence(Evidence::Gossip { live: Default::default(), dead }, cx);
        }
        self.settle(cx);
    }

    pub(in crate::machine) fn tick_links(&mut self, cx: &mut Cx<'_>) {
        if self.links.standing.len() > self.links.used.len() {
            self.close_superfluous(cx);
        }
        self.dial_due(cx);
        self.tell_peers(cx);
    }

    fn close_superfluous(&mut self, cx: &mut Cx<'_>) {
        let (now, settle) = (cx.now, self.links.timing.settle);
        let peers: Vec<NodeId> = self.links.connected().collect();
        for peer in peers {
            let all = self.links.candidates(peer);
            if all.len() < 2 {
                continue;
            }
            if let Some(best) = self.links.best(peer, now) {
                self.links.used.insert(peer, best);
            }
            for connection in superfluous(&all, now, settle, |id| self.calls.is_idle(id)) {
                cx.out.push(Effect::Close { connection });
            }
        }
    }

    fn dial_due(&mut self, cx: &mut Cx<'_>) {
        if cx.now < self.links.dials {
            return;
        }
        for Dial { target, addresses } in self.links.redial.due(cx.now, cx.rng) {
            cx.out.push(Effect::Dial { target, addresses });
        }
        self.links.dials = self.links.redial.wake_at();
    }

    fn tell_peers(&mut self, cx: &mut Cx<'_>) {
        // In a mesh where each knows a circle of its own, there is nothing to tell.
        if self.circle.is_some() || cx.now < self.links.accounts.wake_at() {
            return;
        }
        let peers: Vec<NodeId> = self.links.near().collect();
        let Some(account) = self.links.accounts.due(cx.now, peers.iter().copied()) else { return };
        let news = self.hints(self.links.redial.learned(account.since));
        for peer in peers {
            match Some(peer) == account.whole {
                true => self.tell_peer(peer, cx),
                false => self.tell_hints(peer, news.clone(), cx),
            }
        }
    }

    fn tell_peer(&mut self, peer: NodeId, cx: &mut Cx<'_>) {
        if self.circle.is_none() {
            self.tell_hints(peer, self.hints(self.links.redial.to_remember()), cx);
        }
    }

    fn hints(&self, known: impl Iterator<Item = (NodeId, Vec<String>)>) -> Vec<PeerHint> {
        let near = known.filter(|(node, _)| self.is_near(*node));
        near.map(|(node, addresses)| PeerHint { node, addresses }).collect()
    }

    fn tell_hints(&self, peer: NodeId, known: Vec<PeerHint>, cx: &mut Cx<'_>) {
        let hints = hints_for(peer, known);
        if !hints.is_empty() {
            self.tell(peer, Control::Peers(hints), cx);
        }
    }

    /// Puts a message on the way to a peer. False if there is no connection.
    pub(in crate::machine) fn tell(&self, peer: NodeId, message: Control, cx: &mut Cx<'_>) -> bool {
        let Some(connection) = self.links.connection(peer) else { return false };
        cx.out.push(Effect::Send { connection, payload: Payload::Control(message) });
        true
    }

    /// Writes down where others were reached, if that has changed.
    pub(in crate::machine) fn remember(&mut self, cx: &mut Cx<'_>) {
        if !std::mem::take(&mut self.links.news) {
            return;
        }
        let remember: Vec<_> = self.links.redial.to_remember().collect();
        if remember != self.links.remembered {
            self.links.remembered = remember.clone();
            let ops = vec![Op::Remember(remember)];
            cx.out.push(Effect::Write { ops, then: Then::Nothing });
        }
    }

    /// Says to all peers that this node leaves, and closes.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>) {
        if let Some(fact) = self.sign_fact(wattle_mesh::core::membership::LEFT, &(), cx) {
            let peers: Vec<NodeId> = self.links.connected().collect();
            for peer in peers {
                self.tell(peer, Control::Goodbye(Box::new(fact.clone())), cx);
            }
        }
    }
}
