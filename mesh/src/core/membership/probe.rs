//! Asks whether nodes are there: each by itself, and if it does not answer, through others.
//!
//! The scheme is SWIM's (Das, Gupta, Motivala, 2002, section 3), with one difference: every peer
//! is pinged by the transport all the time, so a question is asked only of one that was not heard
//! for longer than that takes. A node that answers through a third one is there, whatever
//! became of the way to it: that tells a partial cut from a dead node within a second or two, long
//! before a connection times out.
//!
//! Nodes without a connection are asked for ever, with backoff: a way through a third node may
//! come up at any time.
//!
//! Bounds: [`Config::at_once`] questions of this node's own, [`MAX_RELAYED`] of others.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::seq::IteratorRandom as _;
use wattle_contracts::control::Probe;
use wattle_contracts::id::NodeId;

use crate::core::time::Time;

/// How many questions of others may be under way through this node.
pub const MAX_RELAYED: usize = 1024;

/// How eagerly to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// A connected node that was not heard for so long is asked: longer than the transport's
    /// pings are apart.
    pub silent_after: Duration,
    /// A node that does not answer by itself for so long is asked through others.
    pub patience: Duration,
    /// After so long without an answer there is none.
    pub give_up: Duration,
    /// Between two questions about a node that is not reached directly.
    pub again: Duration,
    /// The longest time between two questions about a node that nobody reaches.
    pub slowest: Duration,
    /// Through how many others (the k of SWIM).
    pub relays: usize,
    /// About how many nodes at once.
    pub at_once: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            silent_after: Duration::from_millis(2500),
            patience: Duration::from_millis(400),
            give_up: Duration::from_millis(1500),
            again: Duration::from_secs(1),
            slowest: Duration::from_secs(15),
            relays: 3,
            at_once: 32,
        }
    }
}

/// How a node was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// It answers.
    Direct,
    /// It answers when this node asks it, and not otherwise.
    Via(NodeId),
    /// It does not answer.
    Silent,
}

/// A node to keep an eye on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Whether there is a connection to it.
    pub linked: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this to a connected node.
    Send(NodeId, Probe),
    /// A node was found to be so.
    Found(NodeId, Probed),
}

/// The questions under way.
#[derive(Debug)]
pub struct Prober {
    config: Config,
    watched: BTreeMap<NodeId, Watch>,
    asked: BTreeMap<u64, Asked>,
    relayed: BTreeMap<u64, Relayed>,
}

#[derive(Debug)]
struct Watch {
    linked: bool,
    heard: Time,
    /// When it may be asked again.
    next: Time,
    wait: Duration,
    found: Probed,
    asking: bool,
}

#[derive(Debug)]
struct Asked {
    target: NodeId,
    /// When to ask others, if that has not been done.
    indirect: Option<Time>,
    relays: Vec<NodeId>,
    until: Time,
}

/// A question of another node that is asked here on its behalf.
#[derive(Debug)]
struct Relayed {
    asker: NodeId,
    nonce: u64,
    target: NodeId,
    until: Time,
}

impl Prober {
    /// Nothing asked yet.
    pub fn new(config: Config) -> Self {
        Self { config, watched: BTreeMap::new(), asked: BTreeMap::new(), relayed: BTreeMap::new() }
    }

    /// `node` itself has answered something. That something came from it is not enough: where a cut
    /// is a one-way one, it does.
    pub fn heard(&mut self, now: Time, node: NodeId, out: &mut Vec<Action>) {
        let Some(watch) = self.watched.get_mut(&node) else { return };
        watch.heard = now;
        watch.wait = self.config.again;
        if watch.linked && watch.found != Probed::Direct {
            watch.found = Probed::Direct;
            out.push(Action::Found(node, Probed::Direct));
        }
    }

    /// Takes in what `from` sent.
    pub fn receive(
        &mut self,
        now: Time,
        from: NodeId,
        probe: Probe,
        rng: &mut impl Rng,
        out: &mut Vec<Action>,
    ) {
        match probe {
            Probe::Ping { nonce } => out.push(Action::Send(from, Probe::Ack { nonce })),
            Probe::PingFor { nonce, target } => {
                let linked = self.watched.get(&target).is_some_and(|watch| watch.linked);
                if linked && target != from && self.relayed.len() < MAX_RELAYED {
                    let until = now.plus(self.config.give_up);
                    let own = rng.random();
                    self.relayed.insert(own, Relayed { asker: from, nonce, target, until });
                    out.push(Action::Send(target, Probe::Ping { nonce: own }));
                }
            }
            Probe::Ack { nonce } => self.answered(now, from, nonce, out),
        }
    }

    fn answered(&mut self, now: Time, from: NodeId, nonce: u64, out: &mut Vec<Action>) {
        // Only from whom it was asked: nobody answers for another.
        if self.relayed.get(&nonce).is_some_and(|relayed| relayed.target == from)
            && let Some(Relayed { asker, nonce, .. }) = self.relayed.remove(&nonce)
        {
            out.push(Action::Send(asker, Probe::Ack { nonce }));
        }
        let Some(asked) = self.asked.get(&nonce) else { return };
        let (target, until) = (asked.target, asked.until);
        let found = match () {
            () if target == from => Probed::Direct,
            () if asked.relays.contains(&from) => Probed::Via(from),
            () => return,
        };
        self.asked.remove(&nonce);
        if let Some(watch) = self.watched.get_mut(&target) {
            watch.asking = false;
            watch.wait = self.config.again;
            // It has been heard by itself since: the way through another is what was, not what is.
            let heard = watch.linked && watch.heard.plus(self.config.give_up) > until;
            if heard && found != Probed::Direct {
                return;
            }
            watch.found = found;
            if found == Probed::Direct {
                watch.heard = now;
            }
            out.push(Action::Found(target, found));
        }
    }

    /// Asks what is to be asked now. `members` are all nodes but this one, and those that left.
    pub fn tick(
        &mut self,
        now: Time,
        members: &[Member],
        rng: &mut impl Rng,
        out: &mut Vec<Action>,
    ) {
        self.take_over(now, members, out);
        self.relayed.retain(|_, relayed| now < relayed.until);
        self.expire(now, out);
        self.ask_others(now, rng, out);
        let silent_after = self.config.silent_after;
        let mut due: Vec<(Time, NodeId, bool)> = self
            .watched
            .iter()
            .filter(|(_, watch)| !watch.asking && watch.next <= now)
            .filter(|(_, watch)| !watch.linked || watch.heard.plus(silent_after) <= now)
            .map(|(node, watch)| (watch.next, *node, watch.linked))
            .collect();
        due.sort_unstable();
        due.truncate(self.config.at_once.saturating_sub(self.asked.len()));
        for (_, target, linked) in due {
            if let Some(watch) = self.watched.get_mut(&target) {
                watch.asking = true;
                watch.next = now.plus(watch.wait);
            }
            let nonce = rng.random();
            let indirect = if linked { now.plus(self.config.patience) } else { now };
            let until = now.plus(self.config.give_up);
            let asked = Asked { target, indirect: Some(indirect), relays: Vec::new(), until };
            self.asked.insert(nonce, asked);
            if linked {
                out.push(Action::Send(target, Probe::Ping { nonce }));
            }
        }
        self.ask_others(now, rng, out);
    }

    /// When [`Prober::tick`] has something to do, as long as the members are the same and nothing
    /// is heard or received.
    pub fn wake_at(&self) -> Time {
        let silent_after = self.config.silent_after;
        let watched = self.watched.values().filter(|watch| !watch.asking);
        let watched = watched.map(|watch| match watch.linked {
            true => watch.next.max(watch.heard.plus(silent_after)),
            false => watch.next,
        });
        let asked = self.asked.values().map(|asked| asked.indirect.unwrap_or(asked.until));
        let asked = asked.chain(self.asked.values().map(|asked| asked.until));
        let relayed = self.relayed.values().map(|relayed| relayed.until);
        watched.chain(asked).chain(relayed).min().unwrap_or(Time::NEVER)
    }

    fn take_over(&mut self, now: Time, members: &[Member], out: &mut Vec<Action>) {
        let again = self.config.again;
        let known: BTreeMap<NodeId, bool> =
            members.iter().map(|member| (member.node, member.linked)).collect();
        self.watched.retain(|node, _| known.contains_key(node));
        self.asked.retain(|_, asked| known.contains_key(&asked.target));
        for (node, linked) in known {
            let watch = self.watched.entry(node).or_insert_with(|| Watch {
                linked,
                heard: now,
                next: now,
                wait: again,
                found: Probed::Direct,
                asking: false,
            });
            if watch.linked != linked {
                (watch.linked, watch.heard, watch.next, watch.wait) = (linked, now, now, again);
                if linked && watch.found != Probed::Direct {
                    watch.found = Probed::Direct;
                    // An answer through another may have come after the connection.
                    out.push(Action::Found(node, Probed::Direct));
                }
            }
        }
    }

    fn expire(&mut self, now: Time, out: &mut Vec<Action>) {
        let over = self.asked.extract_if(.., |_, asked| asked.until <= now);
        for (_, Asked { target, .. }) in over {
            let Some(watch) = self.watched.get_mut(&target) else { continue };
            watch.asking = false;
            // It may have been heard by itself meanwhile.
            let heard = watch.linked && now < watch.heard.plus(self.config.silent_after);
            if !heard {
                watch.wait = (watch.wait * 2).min(self.config.slowest);
                watch.next = now.plus(watch.wait);
                watch.found = Probed::Silent;
                out.push(Action::Found(target, Probed::Silent));
            }
        }
    }

    fn ask_others(&mut self, now: Time, rng: &mut impl Rng, out: &mut Vec<Action>) {
        let Self { asked, watched, config, .. } = self;
        for (nonce, asked) in asked {
            if asked.indirect.is_none_or(|at| now < at) {
                continue;
            }
            asked.indirect = None;
            let target = asked.target;
            let answers = |watch: &Watch| watch.linked && watch.found == Probed::Direct;
            let others = watched
                .iter()
                .filter(|(node, watch)| **node != target && answers(watch))
                .map(|(node, _)| *node);
            asked.relays = others.choose_multiple(rng, config.relays);
            let ask =
                |relay: &NodeId| Action::Send(*relay, Probe::PingFor { nonce: *nonce, target });
            out.extend(asked.relays.iter().map(ask));
        }
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
