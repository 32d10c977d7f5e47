//! The tasks that look into the host-local directory and write the remembered peers down. Both
//! touch the disk, so neither is the driver's.

use std::time::Duration;

use libp2p::Multiaddr;
use tokio::sync::{mpsc, watch};
use wattle_contracts::id::NodeId;

use super::{HostFiles, PeersFile};
use crate::core::redial::Source;

/// Peers that come and go within this time are written down together.
const TOGETHER: Duration = Duration::from_millis(200);

/// Somebody says that a node may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::net) struct Hint {
    pub(in crate::net) node: NodeId,
    pub(in crate::net) addresses: Vec<Multiaddr>,
    pub(in crate::net) source: Source,
}

/// Keeps this node's own file, and tells of the others'. Ends with the driver.
pub(in crate::net) async fn watch_host(
    mut files: HostFiles,
    mut addresses: watch::Receiver<Vec<Multiaddr>>,
    hints: mpsc::Sender<Hint>,
    interval: Duration,
) {
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let anew = tokio::select! {
            changed = addresses.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
            _ = tick.tick() => false,
        };
        let own = addresses.borrow_and_update().clone();
        let looked = tokio::task::spawn_blocking(move || {
            if !own.is_empty() && (anew || !files.is_announced()) {
                files.announce(&own).unwrap_or_else(|error| complain(&error));
            }
            let others = files.news().unwrap_or_else(|error| {
                complain(&error);
                Vec::new()
            });
            (files, others)
        });
        let Ok((back, others)) = looked.await else { return };
        files = back;
        for (node, addresses) in others {
            let hint = Hint { node, addresses, source: Source::HostDirectory };
            if hints.send(hint).await.is_err() {
                return;
            }
        }
    }
}

fn complain(error: &std::io::Error) {
    tracing::warn!(%error, "the host-local directory can't be used");
}

/// Writes down whom to remember, whenever that changes. Ends with the driver.
pub(in crate::net) async fn remember(
    mut file: PeersFile,
    mut peers: watch::Receiver<Vec<(NodeId, Vec<Multiaddr>)>>,
) {
    loop {
        let over = peers.changed().await.is_err();
        if !over {
            tokio::time::sleep(TOGETHER).await;
        }
        let known = peers.borrow_and_update().clone();
        let written = tokio::task::spawn_blocking(move || {
            if let Err(error) = file.write(known) {
                tracing::warn!(%error, "the peers can't be written down for the next start");
            }
            file
        });
        match written.await {
            Ok(back) if !over => file = back,
            _ => return,
        }
    }
}
