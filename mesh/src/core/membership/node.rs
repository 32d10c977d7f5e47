//! What is known of one node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;

use super::probe::Probed;
use super::reach::{self, Report, Seen};
use super::{Config, LEFT, Standing};
use crate::core::time::Time;

/// One node of the mesh, as this one knows it.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    admitted: bool,
    linked: bool,
    linked_at: Time,
    unlinked: Option<Time>,
    gossip: Gossip,
    /// What came of the last question about it; `None` where nothing is in doubt.
    found: Option<Probed>,
    knocked: Option<Time>,
    left: bool,
    round_trip: Option<Duration>,
    facts: BTreeMap<String, Fact>,
    report: Option<Arc<Report>>,
    heard: Time,
    standing: Standing,
    since: Time,
}

/// What gossip's failure detector last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gossip {
    Nothing,
    Live,
    Dead,
}

impl Node {
    pub(super) fn new(id: NodeId, now: Time, admitted: bool) -> Self {
        Self {
            id,
            admitted,
            linked: false,
            linked_at: now,
            unlinked: None,
            gossip: Gossip::Nothing,
            found: None,
            knocked: None,
            left: false,
            round_trip: None,
            facts: BTreeMap::new(),
            report: None,
            heard: now,
            standing: Standing::Unreachable,
            since: now,
        }
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Since when it stands so.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Whether there is a connection to it now. A node that is alive and not linked is heard
    /// through others only.
    pub fn is_linked(&self) -> bool {
        self.linked
    }

    /// What came of the last question whether it is there; `None` where nothing is in doubt.
    pub fn found(&self) -> Option<Probed> {
        self.found
    }

    /// Whether it can be talked to over a connection.
    pub fn answers(&self) -> bool {
        self.linked && !self.left && self.found.is_none()
    }

    /// Whether it tries to connect and does not hear the answers, so that the cut between here and
    /// there is a one-way one.
    pub(super) fn is_one_way(&self, now: Time, config: Config) -> bool {
        let lately = |then| now.since(then) < config.knock_lasts;
        !self.linked && !self.left && self.knocked.is_some_and(lately)
    }

    /// How it sees the others, if it has said so.
    pub fn report(&self) -> Option<&Arc<Report>> {
        self.report.as_ref()
    }

    /// How this node tells others that it sees it.
    pub(super) fn seen(&self, now: Time, config: Config) -> Seen {
        match (self.standing, self.found) {
            (Standing::Left, _) => Seen::Left,
            (Standing::Alive, None) if self.linked => {
                let millis = self.round_trip.unwrap_or_default().as_millis();
                Seen::Direct { rtt_millis: u16::try_from(millis).unwrap_or(u16::MAX) }
            }
            _ if self.is_one_way(now, config) => Seen::OneWay,
            (Standing::Alive, Some(Probed::Via(_))) => Seen::Relayed,
            (Standing::Alive, _) => Seen::Heard,
            (Standing::Suspect, _) => Seen::Suspect,
            (Standing::Unreachable, _) => Seen::Unreachable,
        }
    }

    /// Whether it ever proved to belong to the mesh, and is not only known by hearsay.
    pub fn was_admitted(&self) -> bool {
        self.admitted
    }

    /// The round trip to it, smoothed; `None` until one was measured.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The newest fact of it on `topic`, as it signed it.
    pub fn fact(&self, topic: &str) -> Option<&Fact> {
        self.facts.get(topic)
    }

    /// What it says on `topic`; `None` if it says nothing, or nothing of this form.
    pub fn statement<T: DeserializeOwned>(&self, topic: &str) -> Option<T> {
        self.facts.get(topic).and_then(|fact| fact.statement().ok())
    }

    pub(super) fn topics(&self) -> usize {
        self.facts.len()
    }

    pub(super) fn heard(&self) -> Time {
        self.heard
    }

    pub(super) fn link(&mut self, now: Time) {
        self.admitted = true;
        if !self.linked {
            self.linked_at = now;
        }
        self.linked = true;
        self.left = false;
        self.unlinked = None;
        // What gossip and others said was about the time before.
        self.gossip = Gossip::Nothing;
        (self.found, self.knocked) = (None, None);
        self.heard = now;
    }

    pub(super) fn unlink(&mut self, now: Time) {
        if self.linked {
            self.linked = false;
            self.unlinked = Some(now);
        }
    }

    /// Gossip may go on for a while about a node that has left; only a word to the contrary in
    /// between makes its next word news. One that has signed that it leaves is only believed to be
    /// back when it says so itself: a heart that gossip has just learned of beats late.
    pub(super) fn gossip(&mut self, word: Gossip) {
        let signed = self.facts.contains_key(LEFT);
        if self.left && !signed && self.gossip == Gossip::Dead && word == Gossip::Live {
            self.left = false;
        }
        self.gossip = word;
    }

    pub(super) fn leave(&mut self) {
        self.left = true;
        self.gossip = Gossip::Nothing;
    }

    pub(super) fn probed(&mut self, found: Probed) {
        self.found = Some(found).filter(|found| *found != Probed::Direct);
    }

    pub(super) fn knocked(&mut self, now: Time) {
        self.knocked = Some(now);
    }

    /// Smooths as TCP does (RFC 6298, section 2): an eighth of what is new.
    pub(super) fn measured(&mut self, time: Duration) {
        self.round_trip = Some(match self.round_trip {
            Some(smooth) => (smooth * 7 + time) / 8,
            None => time,
        });
    }

    pub(super) fn take_fact(&mut self, now: Time, fact: Fact) {
        self.heard = now;
        if fact.topic == reach::TOPIC {
            self.report = fact.statement().ok().map(Arc::new);
        }
        // All facts of a node are numbered together. Where there is a connection, its own goodbye
        // comes over that.
        let last = self.facts.values().map(|fact| fact.sequence).max().unwrap_or(0);
        let parted = self.facts.get(LEFT).map_or(0, |fact| fact.sequence);
        if fact.topic == LEFT {
            if fact.sequence > last && !self.linked {
                self.leave();
            }
        } else if fact.sequence > parted && parted > 0 {
            self.left = false;
        }
        self.facts.insert(fact.topic.clone(), fact);
    }

    /// Works out how it stands at `now`.
    pub(super) fn settle(&mut self, now: Time, config: Config) -> Standing {
        let standing = self.standing_at(now, config);
        if standing != self.standing {
            self.standing = standing;
            self.since = now;
        }
        standing
    }

    fn standing_at(&self, now: Time, config: Config) -> Standing {
        let since_link = self.unlinked.map(|then| now.since(then));
        match (self.linked, self.gossip) {
            _ if self.left => Standing::Left,
            _ if matches!(self.found, Some(Probed::Via(_))) => Standing::Alive,
            // A connection that is not closed yet, and on which nothing comes.
            (true, _) if self.found.is_some() => Standing::Suspect,
            (true, Gossip::Nothing | Gossip::Live) => Standing::Alive,
            // Gossip calls a node dead until it has heard its heart beat a few times.
            (true, Gossip::Dead) if now.since(self.linked_at) < config.gossip_lags => {
                Standing::Alive
            }
            // A connection that stands while the heart does not beat.
            (true, Gossip::Dead) => Standing::Suspect,
            (false, Gossip::Live) => match since_link {
                Some(time) if time < config.gossip_lags => Standing::Suspect,
                _ => Standing::Alive,
            },
            (false, Gossip::Dead) => Standing::Unreachable,
            (false, Gossip::Nothing) => match since_link {
                Some(time) if time < config.suspect_for => Standing::Suspect,
                _ => Standing::Unreachable,
            },
        }
    }

    /// When time alone makes it stand otherwise.
    pub(super) fn changes_at(&self, config: Config) -> Time {
        if self.linked && self.gossip == Gossip::Dead && self.standing == Standing::Alive {
            return self.linked_at.plus(config.gossip_lags);
        }
        let wait = match self.gossip {
            Gossip::Live => config.gossip_lags,
            Gossip::Nothing => config.suspect_for,
            Gossip::Dead => return Time::NEVER,
        };
        match self.unlinked {
            Some(then) if self.standing == Standing::Suspect => then.plus(wait),
            _ => Time::NEVER,
        }
    }
}
