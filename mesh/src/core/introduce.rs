//! How two nodes that only reach a third one come to reach each other.
//!
//! A node behind a NAT, or behind a firewall that lets in nothing but answers, can't be dialled.
//! Two of them can dial each other, if they do it at the same moment and at the addresses under
//! which they are seen from outside: each one's first packet makes its own NAT take the other's for
//! an answer (Ford, Srisuresh, Kegel, "Peer-to-Peer Communication Across Network Address
//! Translators", 2005). That works where a NAT keeps one port outside for each port inside
//! (endpoint-independent mapping, RFC 4787), and does not where it takes another port for each
//! address that it talks to.
//!
//! Each of the two asks a neighbour of both ([`Seeker`]); once both have asked, the neighbour tells
//! both where it sees the other ([`Matchmaker`]), and both dial. So nobody's address is told to
//! anybody unless it has asked for that, and nobody dials whom it has not asked for. Where a few
//! attempts come to nothing, the two stay with their neighbour, and try again only after a long
//! rest, or when this node is seen at another address.

mod matchmaker;
mod seeker;
#[cfg(test)]
mod tests;

pub use matchmaker::{MAX_ASKS, Match, Matchmaker};
pub use seeker::{Action, Config, MAX_MEETING_ADDRESSES, Seeker};
