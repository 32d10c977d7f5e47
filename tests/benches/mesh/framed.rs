//! The least that carries calls between two processes with encryption: raw quinn, one stream,
//! frames of a length, a number and a payload.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, Endpoint, RecvStream, SendStream, ServerConfig};
use tokio::sync::{Notify, oneshot};

use crate::helper::{self, Helper};
use crate::statistics::nanos_since;
use crate::threads::{Threads, Workshop};

/// The role of the process that answers.
pub(crate) const SERVER: &str = "framed-server";

const NAME: &str = "localhost";

/// Bytes before a payload: its length and the call's number.
const HEAD: usize = 4 + 8;

/// How much is read at once.
const READ: usize = 64 << 10;

/// A client and the process that it calls.
pub(crate) struct Framed {
    line: Arc<Line>,
    workshop: Workshop,
    _endpoint: Endpoint,
    _server: Helper,
}

/// The client's end of the stream.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
    written: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Frames that nobody has sent yet.
    out: BytesMut,
    waiting: HashMap<u64, oneshot::Sender<Bytes>>,
}

impl Framed {
    pub(crate) async fn start(threads: Threads) -> Result<Self> {
        let server = Helper::start(SERVER, threads, None)?;
        let said = server.said.clone();
        let workshop = Workshop::open(threads)?;
        let (line, endpoint) = workshop.run(async move { connect(&said).await }).await?;
        Ok(Self { line, workshop, _endpoint: endpoint, _server: server })
    }

    /// `calls`, one after the other: the nanoseconds of each.
    pub(crate) async fn one_in_flight(&self, calls: u32, payload: &Bytes) -> Result<Vec<u64>> {
        let (line, payload) = (self.line.clone(), payload.clone());
        let requests = async move {
            let mut times = Vec::with_capacity(calls as usize);
            for _ in 0..calls {
                let begun = Instant::now();
                line.call(&payload).await?;
                times.push(nanos_since(begun));
            }
            Ok(times)
        };
        self.workshop.run(requests).await
    }

    /// `tasks` at once, each with `calls`, one after the other: how long all of it took.
    pub(crate) async fn in_flight(
        &self,
        tasks: u32,
        calls: u32,
        payload: &Bytes,
    ) -> Result<Duration> {
        let (line, payload) = (self.line.clone(), payload.clone());
        let requests = async move {
            let begun = Instant::now();
            let requests = (0..tasks).map(|_| {
                let (line, payload) = (line.clone(), payload.clone());
                tokio::spawn(async move {
                    for _ in 0..calls {
                        line.call(&payload).await?;
                    }
                    Ok::<_, anyhow::Error>(())
                })
            });
            for task in requests.collect::<Vec<_>>() {
                task.await??;
            }
            Ok(begun.elapsed())
        };
        self.workshop.run(requests).await
    }
}

/// Opens the stream to a server that said this.
async fn connect(said: &str) -> Result<(Arc<Line>, Endpoint)> {
    let (port, certificate) = said.split_once(' ').context("the server said nothing")?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(hex::decode(certificate)?))?;
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let connection = endpoint.connect(address, NAME)?.await?;
    let (send, receive) = connection.open_bi().await?;
    let line = Arc::<Line>::default();
    tokio::spawn(write_all(line.clone(), send));
    tokio::spawn(read_all(line.clone(), receive));
    Ok((line, endpoint))
}

impl Line {
    async fn call(&self, payload: &Bytes) -> Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.next += 1;
            let call = state.next;
            put(&mut state.out, call, payload);
            state.waiting.insert(call, answer);
        }
        self.written.notify_one();
        answered.await.context("the stream ended")
    }
}

async fn write_all(line: Arc<Line>, mut stream: SendStream) -> Result<()> {
    loop {
        line.written.notified().await;
        let mut out = {
            let mut state = line.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.out.split()
        };
        stream.write_all(&out).await?;
        out.clear();
    }
}

async fn read_all(line: Arc<Line>, mut stream: RecvStream) -> Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        read(&mut stream, &mut buffer).await?;
        let mut state = line.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((call, payload)) = take(&mut buffer) {
            if let Some(answer) = state.waiting.remove(&call) {
                let _ = answer.send(payload);
            }
        }
    }
}

/// The server's process.
pub(crate) async fn serve() -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.into()])?;
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.key_pair.serialize_der());
    let config = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
    let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
    helper::ready(&format!("{} {}", endpoint.local_addr()?.port(), hex::encode(&certificate)))?;
    let connection = endpoint.accept().await.context("nobody came")?.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    let (mut buffer, mut out) = (BytesMut::new(), BytesMut::new());
    loop {
        read(&mut receive, &mut buffer).await?;
        while let Some((call, payload)) = take(&mut buffer) {
            put(&mut out, call, &payload);
        }
        send.write_all(&out).await?;
        out.clear();
    }
}

async fn read(stream: &mut RecvStream, buffer: &mut BytesMut) -> Result<()> {
    match stream.read_chunk(READ, true).await? {
        Some(chunk) => buffer.extend_from_slice(&chunk.bytes),
        None => bail!("the stream ended"),
    }
    Ok(())
}

fn put(out: &mut BytesMut, call: u64, payload: &[u8]) {
    out.put_u32(payload.len() as u32);
    out.put_u64(call);
    out.extend_from_slice(payload);
}

/// The next whole frame.
fn take(buffer: &mut BytesMut) -> Option<(u64, Bytes)> {
    let length = u32::from_be_bytes(*buffer.first_chunk()?) as usize;
    if buffer.len() < HEAD + length {
        return None;
    }
    buffer.advance(4);
    let call = buffer.get_u64();
    Some((call, buffer.split_to(length).freeze()))
}
