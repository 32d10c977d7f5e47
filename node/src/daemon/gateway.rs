//! The HTTP server of a node: requests from outside the mesh, to whatever component their host
//! and path belong to, wherever that runs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wattle_contracts::call::{CallError, ErrorKind, Source};
use wattle_runtime::{CallContext, HttpBody};

use super::node::Node;
use super::trace;
use crate::providers::http_message::error_response;

/// Connections at once; more wait in the system's queue.
const CONNECTIONS: usize = 4096;
/// Of these, from one address: some thousand people may share one, and nobody takes all places.
const OF_ONE_ADDRESS: usize = CONNECTIONS / 4;
/// A client has so long for the head of its request.
const HEAD: Duration = Duration::from_secs(15);

/// The connections of each address.
#[derive(Debug, Default)]
struct Clients(Mutex<HashMap<IpAddr, usize>>);

/// A place among them, until it is dropped.
struct Client {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Clients {
    /// A place for one more of this address, if it has not too many.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Client> {
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= OF_ONE_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Client { clients: Arc::clone(self), address })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.clients.counts().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Listens for requests.
pub(crate) struct Gateway {
    listener: TcpListener,
    timeout: Duration,
}

impl Gateway {
    /// Listens on `address`, with the threads of `work`. Each request has `timeout` to be answered.
    pub(crate) async fn bind(
        work: &Handle,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<Self> {
        // A socket belongs to the threads that it was made on.
        let listener = work.spawn(TcpListener::bind(address)).await?.with_context(|| {
            format!("can't serve HTTP on {address}; name another address with --http")
        })?;
        Ok(Self { listener, timeout })
    }

    /// The address it listens on.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("can't read the HTTP server's address")
    }

    /// Serves until `stop`, then finishes the requests under way.
    pub(crate) async fn serve(self, node: Arc<Node>, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let clients = Arc::<Clients>::default();
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).half_close(true);
        server.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(20)));
        loop {
            let Some((stream, address, permit)) = self.accept(&connections, &stop).await else {
                break;
            };
            let Some(client) = clients.enter(address) else {
                tracing::debug!(%address, "too many HTTP connections from one address: closed");
                continue;
            };
            let node = Arc::clone(&node);
            let timeout = self.timeout;
            // Nothing below this has a clock before it knows which HTTP is spoken.
            let asked = Arc::<AtomicBool>::default();
            let asks = Arc::clone(&asked);
            let answer = service_fn(move |request: Request<Incoming>| {
                asks.store(true, Ordering::Relaxed);
                let node = Arc::clone(&node);
                async move { Ok::<_, Infallible>(handle(&node, timeout, request).await) }
            });
            let connection = server.serve_connection(TokioIo::new(stream), answer).into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                tokio::select! {
                    outcome = connection => if let Err(error) = outcome {
                        tracing::debug!(%error, "an HTTP connection broke off");
                    },
                    () = silent(&asked) => {
                        tracing::debug!(%address, "an HTTP connection that asked for nothing: closed");
                    }
                }
                drop((permit, client));
            });
        }
        drop(self.listener);
        graceful.shutdown().await;
    }

    async fn accept(
        &self,
        connections: &Arc<Semaphore>,
        stop: &CancellationToken,
    ) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
        let next = async {
            loop {
                let permit = Arc::clone(connections).acquire_owned().await.ok()?;
                match self.listener.accept().await {
                    Ok((stream, from)) => {
                        // Small answers must not wait for more to send with them.
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%error, "can't send at once on an HTTP connection");
                        }
                        return Some((stream, from.ip(), permit));
                    }
                    Err(error) => {
                        // Out of file handles, usually: wait until some are free again.
                        tracing::warn!(%error, "can't accept an HTTP connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => None,
            next = next => next,
        }
    }
}

/// Ends when a client has had its time and has asked for nothing.
async fn silent(asked: &AtomicBool) {
    tokio::time::sleep(HEAD).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

async fn handle(
    node: &Arc<Node>,
    timeout: Duration,
    request: Request<Incoming>,
) -> Response<HttpBody> {
    let outcome = match to_absolute(request) {
        Ok(request) => route(node, timeout, request).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        tracing::debug!(%error, "a request failed");
        error_response(&error)
    })
}

async fn route(
    node: &Arc<Node>,
    timeout: Duration,
    request: Request<HttpBody>,
) -> Result<Response<HttpBody>, CallError> {
    let table = node.table();
    let host = request.uri().host().unwrap_or("");
    let Some(target) = table.route(host, request.uri().path()) else {
        let message = format!("no route for `{host}{}`", request.uri().path());
        return Err(CallError::new(ErrorKind::NotLinked, message));
    };
    let mut context = CallContext::new(Source::Gateway, Instant::now() + timeout);
    context.trace = trace::of(request.headers());
    node.http(context, target, request).await
}

/// A component sees the whole target, as `wasi:http` wants it: HTTP/1 sends the host apart.
fn to_absolute(request: Request<Incoming>) -> Result<Request<HttpBody>, CallError> {
    let (mut parts, body) = request.into_parts();
    if parts.uri.authority().is_none() {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = Uri::builder()
            .scheme("http")
            .authority(host.unwrap_or("localhost"))
            .path_and_query(path)
            .build()
            .map_err(|_| {
                CallError::new(ErrorKind::NotLinked, "the request's Host header is malformed")
            })?;
    }
    Ok(Request::from_parts(parts, HttpBody::new(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_a_part_of_the_places_and_gives_them_back() {
        let clients = Arc::<Clients>::default();
        let [one, other] = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
        let mut held: Vec<_> = (0..OF_ONE_ADDRESS).map(|_| clients.enter(one).unwrap()).collect();
        assert!(clients.enter(one).is_none());
        let elsewhere = clients.enter(other).unwrap();
        held.pop();
        let again = clients.enter(one).unwrap();
        assert!(clients.enter(one).is_none());
        drop((held, again, elsewhere));
        assert!(clients.counts().is_empty(), "nothing is remembered of who is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_is_given_up_and_who_has_asked_is_not() {
        let asked = AtomicBool::new(false);
        silent(&asked).await;
        let served = async {
            asked.store(true, Ordering::Relaxed);
            silent(&asked).await;
        };
        assert!(tokio::time::timeout(HEAD * 10, served).await.is_err());
    }
}
