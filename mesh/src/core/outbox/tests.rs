//! Tests of both halves.

mod cases;
mod schedules;

use std::collections::BTreeSet;

use super::*;

const PUBLISHER: NodeId = NodeId::from_bytes([1; 32]);
const RECEIVERS: [NodeId; 2] = [NodeId::from_bytes([2; 32]), NodeId::from_bytes([3; 32])];

fn at(millis: u64) -> Time {
    Time::since_start(Duration::from_millis(millis))
}

fn group() -> Group {
    "shop/ledger".parse().unwrap()
}

fn config() -> Config {
    Config { window: 8, batch: 4, lanes: 2, tries: 5, ..Config::default() }
}

/// Who can be reached, in a test.
#[derive(Default, Clone)]
struct Roads {
    connected: BTreeSet<NodeId>,
    serving: Vec<NodeId>,
}

impl Reach for Roads {
    fn connected(&self, node: NodeId) -> bool {
        self.connected.contains(&node)
    }

    fn serving(&self, _: &Group) -> Vec<NodeId> {
        let reached = |node: &&NodeId| self.connected.contains(node);
        self.serving.iter().filter(reached).copied().collect()
    }
}
