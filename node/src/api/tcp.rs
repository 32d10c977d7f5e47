//! The API over the network: TLS, from the first byte on, and a token in every request.

mod place;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use wattle_contracts::key::SigningKey;

pub(super) use place::{Door, Place};

use super::gate::Gate;
use super::hosts::{HostName, Hosts};
use super::{handlers, tls};
use crate::daemon::Node;

/// A client has so long for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// And so long for the head of each request; a connection on which none comes ends.
const HEAD: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes, and how many headers it has.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 32;

/// How long answers under way have to end when the node stops.
const END: Duration = Duration::from_secs(1);

/// Listens for people and programs elsewhere.
pub(crate) struct Remote {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    hosts: Hosts,
}

impl Remote {
    /// Listens on `address`, with the threads of `work`. Proves to be the node whose key this is,
    /// which is also reached as `named`.
    pub(crate) async fn bind(
        work: &Handle,
        address: SocketAddr,
        named: Vec<HostName>,
        key: &SigningKey,
    ) -> Result<Self> {
        // A socket belongs to the threads that it was made on.
        let listener = work.spawn(TcpListener::bind(address)).await?.with_context(|| {
            format!("can't serve the API on {address}; name another address with --api")
        })?;
        let hosts = Hosts::new(listener.local_addr()?, named);
        let acceptor = TlsAcceptor::from(Arc::new(tls::server(key)?));
        Ok(Self { listener, acceptor, hosts })
    }

    /// The address it listens on.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("can't read the API's address")
    }

    /// Serves until `stop`.
    pub(crate) async fn serve(self, node: Arc<Node>, stop: CancellationToken) {
        let Self { listener, acceptor, hosts } = self;
        let door = Arc::new(Door::new());
        let gate = Arc::new(Gate::new(Arc::clone(&node), hosts));
        let app = gate.before(handlers::router(node, stop.clone()));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file handles, usually: wait until some are free again.
                    tracing::warn!(%error, "can't accept a connection to the API");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let place = match door.knock(from) {
                Ok(place) => place,
                Err(why) => {
                    tracing::debug!(%from, %why, "turned away a connection to the API");
                    continue;
                }
            };
            let (acceptor, app, watcher) = (acceptor.clone(), app.clone(), graceful.watcher());
            tokio::spawn(async move {
                if let Err(error) = converse(stream, place, acceptor, app, watcher).await {
                    tracing::debug!(%from, error, "a connection to the API broke off");
                }
            });
        }
        drop(listener);
        if timeout(END, graceful.shutdown()).await.is_err() {
            tracing::debug!("some answers of the API were cut off");
        }
    }
}

async fn converse(
    stream: TcpStream,
    place: Place,
    acceptor: TlsAcceptor,
    app: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), String> {
    // Small answers must not wait for more to send with them.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream = timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| format!("no handshake within {HANDSHAKE:?}"))?
        .map_err(|error| tls::why(&error))?;
    let service = TowerToHyperService::new(app.layer(Extension(Arc::new(place))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await.map_err(|error| error.to_string())
}
