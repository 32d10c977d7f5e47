//! What is known of one node.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;

use super::{Config, Standing};
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
    left: bool,
    round_trip: Option<Duration>,
    facts: BTreeMap<String, Fact>,
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
            left: false,
            round_trip: None,
            facts: BTreeMap::new(),
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
        // What gossip said was about the time before.
        self.gossip = Gossip::Nothing;
        self.heard = now;
    }

    pub(super) fn unlink(&mut self, now: Time) {
        if self.linked {
            self.linked = false;
            self.unlinked = Some(now);
        }
    }

    /// Gossip may go on for a while about a node that has left; only a word to the contrary in
    /// between makes its next word news.
    pub(super) fn gossip(&mut self, word: Gossip) {
        if self.left && self.gossip == Gossip::Dead && word == Gossip::Live {
            self.left = false;
        }
        self.gossip = word;
    }

    pub(super) fn leave(&mut self) {
        self.left = true;
        self.gossip = Gossip::Nothing;
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
