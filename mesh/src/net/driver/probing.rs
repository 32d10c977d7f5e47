//! Asking whether nodes are there, and telling others who is reached.

use std::time::Duration;

use wattle_contracts::control::{Control, Probe};
use wattle_contracts::id::NodeId;

use super::Driver;
use crate::core::membership::probe::{Action, Config, Prober};
use crate::core::membership::reach::Reporter;
use crate::core::time::Time;
use crate::net::statement::Topic;

/// The questions under way, and what others were last told.
#[derive(Debug)]
pub(super) struct Probing {
    prober: Prober,
    reporter: Reporter,
}

impl Probing {
    pub(super) fn new(ping: Duration) -> Self {
        let silent_after = ping + Duration::from_millis(500);
        let prober = Prober::new(Config { silent_after, ..Config::default() });
        Self { prober, reporter: Reporter::default() }
    }
}

impl Driver {
    /// Asks whoever was not heard for too long.
    pub(super) fn probe(&mut self, now: Time) {
        let mut actions = Vec::new();
        let members = self.census.members();
        self.probing.prober.tick(now, &members, &mut self.rng, &mut actions);
        self.act(now, actions);
    }

    /// A peer asks, or answers.
    pub(super) fn on_probe(&mut self, now: Time, from: NodeId, probe: Probe) {
        let mut actions = Vec::new();
        self.probing.prober.receive(now, from, probe, &mut self.rng, &mut actions);
        self.act(now, actions);
    }

    /// A peer has shown that it is there.
    pub(super) fn on_sign_of_life(&mut self, now: Time, node: NodeId) {
        let mut actions = Vec::new();
        self.probing.prober.heard(now, node, &mut actions);
        self.act(now, actions);
    }

    fn act(&mut self, now: Time, actions: Vec<Action>) {
        let mut found = false;
        for action in actions {
            match action {
                Action::Send(to, probe) => {
                    self.peers.tell(to, Control::Probe(probe));
                }
                Action::Found(node, how) => {
                    self.census.probed(now, node, how);
                    found = true;
                }
            }
        }
        if found {
            self.publish();
        }
    }

    /// Tells the others who is reached from here, when that has changed.
    pub(super) fn say_reach(&mut self, now: Time) {
        if !self.probing.reporter.is_due(now) {
            return;
        }
        let report = self.census.report(now, |node| self.peers.link(node).is_some());
        if !self.probing.reporter.is_news(now, &report) {
            return;
        }
        match self.speaker.sign(Topic::Reach, &report) {
            Ok(said) => self.say(said),
            Err(size) => tracing::warn!(size, "the report of who is reached is too long"),
        }
        self.probing.reporter.told(now, report);
    }
}
