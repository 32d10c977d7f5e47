//! Reaching nodes behind NATs: both sides dial at the same moment, brought together by a neighbour.
//! As in `mesh::net::driver::introducing`.

use wattle_contracts::control::{Control, Introduce};
use wattle_contracts::id::NodeId;
use wattle_mesh::core::introduce::{Action, Config, Match, Matchmaker, Seeker};
use wattle_mesh::core::time::Time;

use super::{Cx, Effect, Machine};
use crate::lattice::address;

/// Whom this node wants to reach, and whom it brings together.
#[derive(Debug)]
pub(super) struct Introducing {
    seeker: Seeker,
    matchmaker: Matchmaker,
    /// When the seeker has something to do, if nobody comes or goes before.
    seeks: Time,
}

impl Default for Introducing {
    fn default() -> Self {
        let seeker = Seeker::new(Config::default());
        Self { seeker, matchmaker: Matchmaker::default(), seeks: Time::ZERO }
    }
}

impl Introducing {
    pub(super) fn tick_due(&self) -> Time {
        self.seeks
    }

    /// Somebody may have come or gone.
    pub(super) fn look_again(&mut self) {
        self.seeks = Time::ZERO;
    }
}

impl Machine {
    /// Asks neighbours to bring this node together with those that it doesn't reach by itself.
    pub(super) fn seek(&mut self, cx: &mut Cx<'_>) {
        if cx.now < self.introducing.seeks {
            return;
        }
        let mut actions = Vec::new();
        let (membership, abroad) = (&self.membership, &self.abroad);
        let away = membership.away().filter(|node| abroad.is_near(*node));
        let ways = |node| membership.ways(node);
        self.introducing.seeker.tick(cx.now, away, ways, cx.rng, &mut actions);
        self.introducing.seeks = self.introducing.seeker.wake_at();
        self.approach(actions, cx);
    }

    /// A peer asks to be brought together with another, or does so.
    pub(super) fn on_introduce(&mut self, from: NodeId, said: Introduce, cx: &mut Cx<'_>) {
        let mut actions = Vec::new();
        let Introducing { seeker, matchmaker, seeks } = &mut self.introducing;
        match said {
            Introduce::Ask { node } => {
                let reached = self.links.is_linked(node);
                match matchmaker.asked(cx.now, from, node, reached) {
                    Some(Match::Tell { node, by }) => {
                        self.tell(node, Control::Introduce(Introduce::Wanted { by }), cx);
                    }
                    Some(Match::Both(one, other)) => {
                        for (whom, node) in [(one, other), (other, one)] {
                            let addresses = vec![address(node)];
                            let meet = Introduce::Meet { node, addresses };
                            self.tell(whom, Control::Introduce(meet), cx);
                        }
                    }
                    None => {}
                }
            }
            Introduce::Wanted { by } => {
                seeker.wanted(cx.now, from, by, cx.rng, &mut actions);
                *seeks = Time::ZERO;
            }
            Introduce::Meet { node, addresses } => {
                seeker.meet(cx.now, from, node, addresses, &mut actions);
            }
        }
        self.approach(actions, cx);
    }

    fn approach(&mut self, actions: Vec<Action>, cx: &mut Cx<'_>) {
        for action in actions {
            match action {
                Action::Ask { neighbour, node } => {
                    self.tell(neighbour, Control::Introduce(Introduce::Ask { node }), cx);
                }
                // It may have come by itself.
                Action::Dial { node, .. } if self.links.is_linked(node) => {}
                Action::Dial { node, .. } => cx.out.push(Effect::DialTogether { node }),
            }
        }
    }
}
