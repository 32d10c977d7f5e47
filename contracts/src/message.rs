//! Messages by subject: how they are named, and what nodes tell each other to deliver them.
//!
//! A [`Delivery`] and its [`DeliveryReply`] are the payloads of a call with
//! [`crate::call::Encoding::Message`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{AppName, IdError, LocalName, NodeId, Subject};

/// The largest body of a message, in bytes: a delivery fits into one frame.
pub const MAX_BODY: usize = 512 * 1024;

/// Who shares the messages of a subscription: each message goes to one of them. Written
/// `app/group`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The app that subscribes.
    pub app: AppName,
    /// The group's name within the app.
    pub name: LocalName,
}

impl FromStr for Group {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (app, name) = text.split_once('/').unwrap_or((text, text));
        Ok(Self { app: app.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.name)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

crate::id::serde_as_text!(Group);

/// Names a durable message: no two have the same, whatever restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// The node that took it from its publisher.
    pub publisher: NodeId,
    /// Grows with each message of that node.
    pub sequence: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.publisher, self.sequence)
    }
}

/// Durable messages for one group, all of one subject, in the order in which they were published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The node that holds them until they are acknowledged.
    pub publisher: NodeId,
    /// For whom they are.
    pub group: Group,
    /// Everything of this publisher and for this group below this sequence is settled, and never
    /// comes again.
    pub floor: u64,
    /// What they are about.
    pub subject: Subject,
    /// Their sequences and bodies.
    pub messages: Vec<(u64, Vec<u8>)>,
}

/// How far a delivery came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReply {
    /// So many of its messages, from the first, are handled and will be known as such.
    pub handled: u32,
    /// Why it did not go on. Without a reason, it only had no more time: please go on.
    pub stopped: Option<DeliveryStop>,
}

/// Why a node did not handle the next message of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryStop {
    /// The component was given it, and failed.
    Failed(String),
    /// The component was not given it now; later, please.
    Busy(String),
    /// The component does not run on this node.
    NotHere,
}

/// A live message for one group: handled at most once, and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveMessage {
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub body: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    /// The format on the wire: when this changes, `wire::VERSION` must.
    #[test]
    fn the_bytes_of_a_delivery_are_those_of_version_1() {
        let delivery = Delivery {
            publisher: NodeId::from_bytes([7; 32]),
            group: "shop/ledger".parse().unwrap(),
            floor: 3,
            subject: "orders.placed".parse().unwrap(),
            messages: vec![(300, b"one".to_vec())],
        };
        let bytes = wire::encode(&delivery).unwrap();
        assert_eq!(hex::encode(&bytes), GOLDEN);
        assert_eq!(wire::decode::<Delivery>(&bytes).unwrap(), delivery);
        let reply = DeliveryReply { handled: 2, stopped: Some(DeliveryStop::Failed("no".into())) };
        let bytes = wire::encode(&reply).unwrap();
        assert_eq!(hex::encode(&bytes), "020100026e6f");
        assert_eq!(wire::decode::<DeliveryReply>(&bytes).unwrap(), reply);
    }
    const GOLDEN: &str = "07070707070707070707070707070707070707070707070707070707070707070b\
        73686f702f6c6564676572030d6f72646572732e706c6163656401fb2c01036f6e65";

    #[test]
    fn a_group_is_named_with_its_app_or_by_it() {
        let group: Group = "shop".parse().unwrap();
        assert_eq!(group.to_string(), "shop/shop");
        assert!("shop/".parse::<Group>().is_err() && "a/b/c".parse::<Group>().is_err());
    }
}
