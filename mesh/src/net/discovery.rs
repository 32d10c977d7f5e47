//! Where a node hears of other nodes. Every source ends in a hint for the redial loop.

mod address;
mod host_directory;
mod remembered;
mod watch;

pub use address::{AddressError, JoinTarget};
pub(super) use address::{canonical, for_others, node_of, peer_id};
pub(super) use host_directory::HostFiles;
pub(super) use remembered::PeersFile;
pub(super) use watch::{Hint, remember, watch_host};
