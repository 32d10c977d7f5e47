//! What a node keeps on its disk besides its identity.

mod artifacts;
mod database;
mod keyvalue;
mod messages;
mod records;
mod reserve;

pub(crate) use artifacts::{ArtifactStore, StoreArtifactError};
pub(crate) use database::Database;
pub(crate) use keyvalue::KeyValueTables;
pub(crate) use messages::MessageTables;
pub(crate) use records::RecordTable;
