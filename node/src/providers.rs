//! The capability providers that are built into every node.

pub(crate) mod http_client;
pub(crate) mod http_message;
pub(crate) mod keyvalue;
pub(crate) mod messaging;
pub(crate) mod outgoing;
