//! Who can talk to whom, and what becomes of a message on its way.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand::Rng;

/// How the links are.
#[derive(Debug, Clone)]
pub struct Links {
    /// How long a message is on its way. A range that is not a point also reorders.
    pub latency: RangeInclusive<Duration>,
    /// The share of messages that are lost.
    pub loss: f64,
    /// The share of messages that arrive twice.
    pub duplication: f64,
}

impl Default for Links {
    fn default() -> Self {
        let (least, most) = (Duration::from_millis(2), Duration::from_millis(50));
        Self { latency: least..=most, loss: 0.0, duplication: 0.0 }
    }
}

/// A network of numbered nodes.
#[derive(Debug)]
pub struct Network {
    links: Links,
    /// One side of each cut.
    cuts: Vec<BTreeSet<usize>>,
}

impl Network {
    /// A network in which everybody can talk to everybody.
    pub fn new(links: Links) -> Self {
        Self { links, cuts: Vec::new() }
    }

    /// Changes the links from now on; what is on its way arrives as it would have.
    pub fn set_links(&mut self, links: Links) {
        self.links = links;
    }

    /// Lets nothing pass between `side` and the other nodes.
    pub fn cut(&mut self, side: &BTreeSet<usize>) {
        self.cuts.push(side.clone());
    }

    /// Undoes every cut.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Whether messages pass between two nodes.
    pub fn passes(&self, one: usize, other: usize) -> bool {
        self.cuts.iter().all(|side| side.contains(&one) == side.contains(&other))
    }

    /// The delays after which a message sent now arrives: none if it is lost, two if it arrives
    /// twice.
    pub fn arrivals(&self, from: usize, to: usize, rng: &mut impl Rng) -> Vec<Duration> {
        if !self.passes(from, to) || rng.random_bool(self.links.loss) {
            return Vec::new();
        }
        let copies = if rng.random_bool(self.links.duplication) { 2 } else { 1 };
        let (least, most) = (self.links.latency.start(), self.links.latency.end());
        let delay = |_| least.saturating_add(most.saturating_sub(*least).mul_f64(rng.random()));
        (0..copies).map(delay).collect()
    }
}
