//! A client that asks as fast as it is answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::statistics::{nanos_since, rate};

/// What every answer must be.
const EXPECTED: &[u8] = b"hello\n";

/// Requests per second, and the nanoseconds of each.
pub(crate) struct Load {
    pub(crate) rate: f64,
    pub(crate) times: Vec<u64>,
}

/// `connections` that are kept alive, one request at a time on each, for `time`.
pub(crate) async fn put(server: SocketAddr, connections: usize, time: Duration) -> Result<Load> {
    let begun = Instant::now();
    let end = begun + time;
    let clients: Vec<_> = (0..connections).map(|_| tokio::spawn(client(server, end))).collect();
    let mut times = Vec::new();
    for client in clients {
        times.append(&mut client.await??);
    }
    Ok(Load { rate: rate(times.len() as u64, begun.elapsed()), times })
}

async fn client(server: SocketAddr, end: Instant) -> Result<Vec<u64>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut times = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        let request = Request::get("/").header("host", "bench").body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(
            status == StatusCode::OK && body == EXPECTED,
            "it answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        times.push(nanos_since(begun));
    }
    drop(sender);
    connection.await??;
    Ok(times)
}
