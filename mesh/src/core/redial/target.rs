//! What is known of one target, and when it is tried next.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use wattle_contracts::id::NodeId;

use super::{Config, MAX_ADDRESS, MAX_ADDRESSES, jittered};
use crate::core::time::Time;

/// What is dialled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A node.
    Node(NodeId),
    /// Whoever answers at this address. Kept for ever, also after a node answered there: another
    /// may have moved in.
    Address(String),
}

/// Where a hint comes from, the most trustworthy first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// A person gave it at the start, or an invitation holds it.
    Flag,
    /// The directory of the nodes on this machine.
    HostDirectory,
    /// Multicast DNS.
    Mdns,
    /// It connected to this node.
    Knocked,
    /// It was admitted in an earlier run of this node ([`super::Redial::to_remember`]).
    Remembered,
    /// Another node says so.
    Told,
}

impl Source {
    /// Whether it says that the target is there now, and not only that it once was.
    pub(super) fn is_first_hand(self) -> bool {
        matches!(self, Source::Flag | Source::HostDirectory | Source::Mdns)
    }

    /// Whether the target most likely has the same hint about this node.
    pub(super) fn is_mutual(self) -> bool {
        matches!(self, Source::HostDirectory | Source::Mdns | Source::Told)
    }
}

#[derive(Debug)]
struct Address {
    source: Source,
    heard: Time,
    /// When a connection was last made there.
    worked: Option<Time>,
}

/// One target.
#[derive(Debug)]
pub(super) struct Entry {
    addresses: BTreeMap<String, Address>,
    found_by: Source,
    source: Source,
    heard: Time,
    admitted: bool,
    /// When it was admitted first, or an address was new.
    learned: Time,
    failures: u32,
    next: Time,
    begun: Time,
    last_fresh: Option<Time>,
    led_to: Option<NodeId>,
    /// When the last connection to it was gone. [`Time::ZERO`] if there was none in this run.
    lost: Time,
}

impl Entry {
    pub(super) fn new(next: Time, source: Source, now: Time) -> Self {
        Self {
            addresses: BTreeMap::new(),
            found_by: source,
            source,
            heard: now,
            admitted: false,
            learned: now,
            failures: 0,
            next,
            begun: Time::ZERO,
            last_fresh: None,
            led_to: None,
            lost: Time::ZERO,
        }
    }

    pub(super) fn hinted(&mut self, now: Time, source: Source) {
        // Only who was admitted is remembered.
        if source == Source::Remembered {
            self.belongs(now);
        }
        self.source = self.source.min(source);
        self.heard = now;
    }

    /// True if the address was not known.
    pub(super) fn add_address(&mut self, now: Time, address: String, source: Source) -> bool {
        if address.is_empty() || address.len() > MAX_ADDRESS {
            return false;
        }
        if let Some(known) = self.addresses.get_mut(&address) {
            known.source = known.source.min(source);
            known.heard = now;
            return false;
        }
        self.addresses.insert(address.clone(), Address { source, heard: now, worked: None });
        while self.addresses.len() > MAX_ADDRESSES {
            let Some(worst) = self.addresses().pop() else { break };
            self.addresses.remove(&worst);
        }
        let kept = self.addresses.contains_key(&address);
        if kept {
            self.learned = now;
        }
        kept
    }

    /// The addresses, the most promising first: where a connection was made last, then by the
    /// worth of who named it, then the one named last.
    pub(super) fn addresses(&self) -> Vec<String> {
        use std::cmp::Reverse;
        let mut sorted: Vec<_> = self.addresses.iter().collect();
        sorted.sort_by_key(|(text, address)| {
            (Reverse(address.worked), address.source, Reverse(address.heard), *text)
        });
        sorted.into_iter().map(|(text, _)| text.clone()).collect()
    }

    pub(super) fn knows(&self, address: &str) -> bool {
        self.addresses.contains_key(address)
    }

    pub(super) fn has_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    pub(super) fn admitted(&mut self, now: Time, address: Option<String>) {
        self.belongs(now);
        self.failures = 0;
        if let Some(address) = address {
            self.add_address(now, address.clone(), Source::Remembered);
            if let Some(known) = self.addresses.get_mut(&address) {
                known.worked = Some(now);
            }
        }
    }

    fn belongs(&mut self, now: Time) {
        if !self.admitted {
            self.learned = now;
        }
        self.admitted = true;
    }

    pub(super) fn answered_by(&mut self, node: NodeId) {
        self.led_to = Some(node);
        self.failures = 0;
    }

    /// News that it is there: the next attempt is soon. Honoured only so often, so that a false
    /// alarm repeated for ever does not make this node dial for ever.
    pub(super) fn start_afresh(&mut self, now: Time, first: Time, every: Duration) {
        if self.last_fresh.is_some_and(|last| now.since(last) < every) {
            return;
        }
        self.last_fresh = Some(now);
        self.failures = 0;
        self.next = self.next.min(first);
    }

    pub(super) fn need(&mut self, now: Time) {
        if self.failures == 0 {
            self.next = self.next.min(now);
        }
    }

    pub(super) fn lost(&mut self, now: Time) {
        self.lost = now;
    }

    /// When it was lost, if it belongs to the mesh and was tried in vain since.
    pub(super) fn was_in_vain(&self) -> Option<Time> {
        (self.admitted && self.failures > 0).then_some(self.lost)
    }

    pub(super) fn reset(&mut self, next: Time) {
        self.failures = 0;
        self.next = next;
    }

    pub(super) fn begin(&mut self, now: Time) -> Vec<String> {
        self.begun = now;
        self.addresses()
    }

    pub(super) fn failed(&mut self, now: Time, config: Config, rng: &mut impl Rng) {
        let doublings = self.failures.min(20);
        self.failures = self.failures.saturating_add(1);
        let wait = config.first.saturating_mul(1 << doublings).min(config.slowest);
        self.next = now.plus(jittered(wait, rng));
    }

    pub(super) fn next(&self) -> Time {
        self.next
    }

    pub(super) fn begun(&self) -> Time {
        self.begun
    }

    pub(super) fn source(&self) -> Source {
        self.source
    }

    pub(super) fn found_by(&self) -> Source {
        self.found_by
    }

    pub(super) fn heard(&self) -> Time {
        self.heard
    }

    pub(super) fn learned(&self) -> Time {
        self.learned
    }

    pub(super) fn was_admitted(&self) -> bool {
        self.admitted
    }

    /// Whether it is more than a hint that anybody can make up.
    pub(super) fn is_sure(&self) -> bool {
        self.admitted || matches!(self.source, Source::Flag | Source::HostDirectory)
    }

    pub(super) fn led_to(&self) -> Option<NodeId> {
        self.led_to
    }
}
