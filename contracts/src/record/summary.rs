//! What a cell lets the other cells know: who is there, where, and what each serves.
//!
//! One node of the cell writes it for all. It is no declaration of a person but hearsay with a
//! time: it counts while it is young, is replaced by the next one, and loses without a trace.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Hlc, Labels};
use crate::id::{ComponentId, NodeId};
use crate::wire;

/// The nodes of a cell, as one of them knows them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Those that live.
    pub members: Vec<CellMember>,
}

/// A node of another cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellMember {
    /// The node.
    pub node: NodeId,
    /// Where it is reached, as multiaddresses in text.
    pub addresses: Vec<String>,
    /// The labels that it carries.
    pub labels: Labels,
    /// The components and providers that it serves, each by which declaration.
    pub serves: BTreeMap<ComponentId, Declaration>,
}

/// One of the declarations that a component or provider has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Declaration {
    /// The version of its app's record.
    pub app: Hlc,
    /// A hash over the versions of the configuration values that are records of their own; 0
    /// where there is none.
    pub config: u64,
}

impl Summary {
    /// How many members one may list.
    pub const MAX_MEMBERS: usize = 256;

    /// How many bytes it may have as it travels.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// How many addresses one may have.
    pub const MAX_ADDRESSES: usize = 4;

    /// Whether `writer` may say this, or why not: it speaks of its own cell, of each node once,
    /// and of no more than others keep.
    pub fn check(&self, writer: NodeId) -> Result<(), String> {
        if self.members.len() > Self::MAX_MEMBERS {
            return Err(format!("it lists more than {} nodes", Self::MAX_MEMBERS));
        }
        let nodes: BTreeSet<NodeId> = self.members.iter().map(|member| member.node).collect();
        if nodes.len() < self.members.len() {
            return Err("it lists a node twice".into());
        }
        if !nodes.contains(&writer) {
            return Err("its writer is not of that cell".into());
        }
        if self.members.iter().any(|member| member.addresses.len() > Self::MAX_ADDRESSES) {
            return Err(format!("a node has more than {} addresses", Self::MAX_ADDRESSES));
        }
        let bytes = wire::encode(self).map_err(|error| error.to_string())?.len();
        if bytes > Self::MAX_BYTES {
            return Err(format!("it has {bytes} bytes, more than {}", Self::MAX_BYTES));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(byte: u8) -> CellMember {
        CellMember {
            node: NodeId::from_bytes([byte; 32]),
            addresses: vec![format!("/ip4/10.0.0.{byte}/udp/4747/quic-v1")],
            labels: [("role".to_string(), "store".to_string())].into(),
            serves: [("shop/basket".parse().unwrap(), Declaration::default())].into(),
        }
    }

    #[test]
    fn a_node_speaks_for_its_own_cell_and_within_bounds() {
        let writer = NodeId::from_bytes([1; 32]);
        let of = |members: Vec<CellMember>| Summary { members }.check(writer);
        of(vec![member(1), member(2)]).unwrap();
        assert!(of(vec![member(2)]).unwrap_err().contains("not of that cell"));
        assert!(of(vec![member(1), member(2), member(2)]).unwrap_err().contains("twice"));
        assert!(of(vec![member(1); 300]).is_err());
        let many = CellMember { addresses: vec!["x".into(); 5], ..member(1) };
        assert!(of(vec![many]).is_err());
        let long = ("note".to_string(), "x".repeat(Summary::MAX_BYTES));
        let large = CellMember { labels: [long].into(), ..member(1) };
        assert!(of(vec![large]).unwrap_err().contains("bytes"));
    }

    #[test]
    fn a_member_of_a_cell_takes_about_a_hundred_bytes() {
        let members: Vec<CellMember> = (1..=100).map(member).collect();
        let bytes = wire::encode(&Summary { members }).unwrap().len();
        println!("100 members, each with a label and a component: {bytes} bytes");
        assert!(bytes <= 12_000, "{bytes} bytes");
    }
}
