//! The node's messenger: made when the mesh is there, and answering the messengers of others.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use wattle_contracts::call::{CallError, CallHeader, ErrorKind};
use wattle_contracts::id::NodeId;
use wattle_mesh::core::outbox::Config;
use wattle_mesh::net::{Mesh, Messenger, Reply};

use super::node::Node;
use crate::providers::messaging::LocalHandlers;
use crate::state::MessageTables;

/// Takes up the messages on disk, and delivers them until `stop`.
pub(super) fn start(
    node: &Arc<Node>,
    mesh: &Mesh,
    tables: MessageTables,
    config: Config,
) -> Result<Messenger> {
    let handlers = Arc::new(LocalHandlers { node: Arc::downgrade(node) });
    let messenger = Messenger::new(mesh.clone(), Arc::new(tables), handlers, config)
        .map_err(|error| anyhow::anyhow!("can't take up the messages on disk: {error}"))?;
    node.attach_messenger(messenger.clone());
    Ok(messenger)
}

/// Delivers until `stop`.
pub(super) async fn run(messenger: Messenger, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = messenger.run() => {}
    }
}

impl Node {
    /// Answers the messenger of another node.
    pub(super) async fn serve_messages(
        &self,
        from: NodeId,
        header: &CallHeader,
        payload: Bytes,
    ) -> Result<Reply, CallError> {
        let starting = || CallError::new(ErrorKind::Unreachable, "this node is still starting");
        let messenger = self.messenger().ok_or_else(starting)?;
        messenger.serve(from, header, payload).await.map(Reply::new)
    }
}
