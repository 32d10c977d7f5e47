//! QUIC, with the door in front.

use std::sync::Arc;

use libp2p::core::connection::ConnectedPoint;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, Transport as _};
use libp2p::identity::Keypair;
use libp2p::{PeerId, quic};
use wattle_contracts::key::SigningKey;

use super::admission::{Door, Role};
use super::config::Timing;
use super::error::MeshError;

/// Streams that a peer may have open on one connection: a control, a call stream, artifacts, and
/// libp2p's own short ones.
const MAX_STREAMS: u32 = 64;

/// Bytes in flight on one stream. Also the most that a peer can make a node buffer before it is
/// admitted: it has one stream until then.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;

/// Bytes in flight on one connection.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// The node's key in libp2p's type.
pub(super) fn keypair(key: &SigningKey) -> Result<Keypair, MeshError> {
    let mut seed = *key.seed();
    Keypair::ed25519_from_bytes(&mut seed).map_err(|error| MeshError::Transport(error.to_string()))
}

/// A transport whose connections are all admitted.
pub(super) fn build(
    keypair: &Keypair,
    timing: &Timing,
    door: Arc<Door>,
) -> Boxed<(PeerId, StreamMuxerBox)> {
    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = timing.admission;
    config.max_idle_timeout = u32::try_from(timing.idle_timeout.as_millis()).unwrap_or(u32::MAX);
    config.keep_alive_interval = timing.keep_alive;
    config.max_concurrent_stream_limit = MAX_STREAMS;
    config.max_stream_data = STREAM_WINDOW;
    config.max_connection_data = CONNECTION_WINDOW;
    quic::tokio::Transport::new(config)
        .and_then(move |(peer, connection), point: ConnectedPoint| {
            let role = match point.is_dialer() {
                true => Role::Dialler,
                false => Role::Listener,
            };
            door.admit(peer, connection, role)
        })
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .boxed()
}
