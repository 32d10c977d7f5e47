//! Messages by subject: how they are named, and what nodes tell each other to deliver them.
//!
//! A [`Delivery`] and its [`Receipt`] are the payloads of a call with
//! [`crate::call::Encoding::Message`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{AppName, Digest, IdError, LocalName, NodeId, Subject};
use crate::key::{Purpose, Signature, SigningKey};
use crate::wire::{self, WireError};

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
    /// The node that took it from its publisher, as it was called first.
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
    /// What it was called first, if it has had another key: by that the receiver remembers what it
    /// has handled.
    pub first: Option<NodeId>,
    /// For whom they are.
    pub group: Group,
    /// Everything of this publisher and for this group below this sequence is settled, and never
    /// comes again.
    pub floor: u64,
    /// What they are about.
    pub subject: Subject,
    /// Their sequences and bodies.
    pub messages: Vec<(u64, Vec<u8>)>,
    /// The publisher's signature, where a third node passes this on.
    pub proof: Option<Signature>,
}

impl Delivery {
    /// The name by which the publisher is remembered.
    pub fn remembered_as(&self) -> NodeId {
        self.first.unwrap_or(self.publisher)
    }

    /// Signs it with the publisher's key, for the node `to` alone: whoever passes it on can
    /// neither change it nor give it to another.
    pub fn sign(&mut self, key: &SigningKey, to: NodeId) -> Result<(), WireError> {
        self.proof = Some(key.sign(Purpose::Delivery, &self.statement(to)?));
        Ok(())
    }

    /// Whether its publisher has signed it for the node `to`.
    pub fn is_signed_for(&self, to: NodeId) -> bool {
        let (Some(proof), Ok(statement)) = (&self.proof, self.statement(to)) else { return false };
        proof.verifies(self.publisher.as_bytes(), Purpose::Delivery, &statement)
    }

    /// What is signed: everything, with the digest of each body in its place.
    fn statement(&self, to: NodeId) -> Result<Vec<u8>, WireError> {
        let Self { publisher, first, group, floor, subject, messages, proof: _ } = self;
        let one = |(sequence, body): &(u64, Vec<u8>)| (*sequence, Digest::of(body));
        let messages: Vec<(u64, Digest)> = messages.iter().map(one).collect();
        wire::encode(&(to, publisher, first, group, floor, subject, messages))
    }
}

/// How far a delivery came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReply {
    /// So many of its messages, from the first, are handled and will be known as such.
    pub handled: u32,
    /// Why it did not go on. Without a reason, it only had no more time: please go on.
    pub stopped: Option<DeliveryStop>,
}

/// A reply as it travels back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The reply.
    pub reply: DeliveryReply,
    /// The answering node's signature, where a third node passes this on: that one could say that
    /// messages were handled which it has kept to itself.
    pub proof: Option<Signature>,
}

impl Receipt {
    /// Signs the reply to `delivery`, which was signed by its publisher.
    pub fn signed(
        reply: DeliveryReply,
        key: &SigningKey,
        delivery: &Signature,
    ) -> Result<Self, WireError> {
        let proof = key.sign(Purpose::Receipt, &wire::encode(&(delivery, &reply))?);
        Ok(Self { reply, proof: Some(proof) })
    }

    /// Whether `node` has signed this as its reply to `delivery`.
    pub fn is_signed_by(&self, node: NodeId, delivery: &Signature) -> bool {
        let (Some(proof), Ok(statement)) = (&self.proof, wire::encode(&(delivery, &self.reply)))
        else {
            return false;
        };
        proof.verifies(node.as_bytes(), Purpose::Receipt, &statement)
    }
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

    fn delivery(publisher: NodeId) -> Delivery {
        Delivery {
            publisher,
            first: None,
            group: "shop/ledger".parse().unwrap(),
            floor: 3,
            subject: "orders.placed".parse().unwrap(),
            messages: vec![(300, b"one".to_vec())],
            proof: None,
        }
    }

    #[test]
    fn whoever_passes_a_delivery_on_can_not_change_it_or_give_it_to_another() {
        let key = SigningKey::from_seed([2; 32]).unwrap();
        let to = NodeId::from_bytes([9; 32]);
        let mut signed = delivery(NodeId::from_bytes(key.public()));
        assert!(!signed.is_signed_for(to));
        signed.sign(&key, to).unwrap();
        assert!(signed.is_signed_for(to) && !signed.is_signed_for(signed.publisher));
        for change in [
            |delivery: &mut Delivery| delivery.publisher = NodeId::from_bytes([8; 32]),
            |delivery: &mut Delivery| delivery.first = Some(NodeId::from_bytes([8; 32])),
            |delivery: &mut Delivery| delivery.group = "shop/other".parse().unwrap(),
            |delivery: &mut Delivery| delivery.floor += 1,
            |delivery: &mut Delivery| delivery.subject = "orders.sent".parse().unwrap(),
            |delivery: &mut Delivery| delivery.messages[0].0 += 1,
            |delivery: &mut Delivery| delivery.messages[0].1.push(0),
            |delivery: &mut Delivery| delivery.messages.clear(),
            |delivery: &mut Delivery| delivery.proof = None,
        ] {
            let mut changed = signed.clone();
            change(&mut changed);
            assert!(!changed.is_signed_for(to), "{changed:?}");
        }
    }

    #[test]
    fn whoever_passes_a_receipt_on_can_not_change_it_or_use_it_again() {
        let key = SigningKey::from_seed([2; 32]).unwrap();
        let node = NodeId::from_bytes(key.public());
        let signatures = [3, 4].map(|floor| {
            let mut delivery = Delivery { floor, ..delivery(node) };
            delivery.sign(&key, node).unwrap();
            delivery.proof.unwrap()
        });
        let [of, other] = signatures;
        let reply = DeliveryReply { handled: 1, stopped: None };
        let signed = Receipt::signed(reply, &key, &of).unwrap();
        assert!(signed.is_signed_by(node, &of) && !signed.is_signed_by(node, &other));
        assert!(!signed.is_signed_by(NodeId::from_bytes([9; 32]), &of));
        let mut changed = signed.clone();
        changed.reply.handled = 2;
        assert!(!changed.is_signed_by(node, &of));
        assert!(!Receipt { proof: None, ..signed }.is_signed_by(node, &of));
    }

    /// The format on the wire: when this changes, `wire::VERSION` must.
    #[test]
    fn the_bytes_of_a_delivery_are_those_of_version_1() {
        let delivery = delivery(NodeId::from_bytes([7; 32]));
        let bytes = wire::encode(&delivery).unwrap();
        assert_eq!(hex::encode(&bytes), GOLDEN);
        assert_eq!(wire::decode::<Delivery>(&bytes).unwrap(), delivery);
        let reply = DeliveryReply { handled: 2, stopped: Some(DeliveryStop::Failed("no".into())) };
        let receipt = Receipt { reply, proof: None };
        let bytes = wire::encode(&receipt).unwrap();
        assert_eq!(hex::encode(&bytes), "020100026e6f00");
        assert_eq!(wire::decode::<Receipt>(&bytes).unwrap(), receipt);
    }
    const GOLDEN: &str = "0707070707070707070707070707070707070707070707070707070707070707000b\
        73686f702f6c6564676572030d6f72646572732e706c6163656401fb2c01036f6e6500";

    #[test]
    fn a_group_is_named_with_its_app_or_by_it() {
        let group: Group = "shop".parse().unwrap();
        assert_eq!(group.to_string(), "shop/shop");
        assert!("shop/".parse::<Group>().is_err() && "a/b/c".parse::<Group>().is_err());
    }
}
