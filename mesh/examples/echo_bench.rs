//! How fast two nodes call each other over loopback: 128-byte echo, one at a time and 64 at once.
//!
//! `cargo run --release -p wattle-mesh --example echo_bench [SECONDS [AT_ONCE BYTES]]`

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use wattle_contracts::call::{CallError, CallHeader, CallRoute, Encoding, Source, TraceContext};
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::Paper;
use wattle_mesh::core::records::Write;
use wattle_mesh::net::{
    ArtifactSource, BodyStream, HostDirectory, Loaded, Mesh, MeshConfig, RecordStore, Reply,
    Service, StoreError, WallClock,
};

struct Echo;

#[async_trait]
impl Service for Echo {
    async fn call(
        &self,
        _: NodeId,
        _: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        Ok(Reply { payload, body })
    }

    async fn artifact(&self, _: Digest) -> Option<ArtifactSource> {
        None
    }
}

/// No disk at all: what is measured declares nothing.
#[derive(Default)]
struct Memory;

impl RecordStore for Memory {
    fn load(&self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn persist(&self, _: &[Write]) -> Result<(), StoreError> {
        Ok(())
    }
}

async fn node(authority: &SigningKey, join: &[Mesh]) -> Result<Mesh, Box<dyn Error>> {
    let key = SigningKey::generate()?;
    let node = NodeId::from_bytes(key.public());
    let paper = Paper::issue(authority, node, WallClock::default().now(), None)?;
    let mut config = MeshConfig::new(Arc::new(key), paper);
    config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse()?];
    config.mdns = false;
    config.host_directory = HostDirectory::Off;
    for address in join.iter().flat_map(Mesh::listen_addresses) {
        config.join.push(address.to_string().parse()?);
    }
    Ok(Mesh::start(config, Arc::<Memory>::default(), Arc::new(Echo)).await?)
}

fn header() -> Result<CallHeader, Box<dyn Error>> {
    Ok(CallHeader {
        time_left: Duration::from_secs(30),
        trace: TraceContext::default(),
        route: Arc::new(CallRoute {
            source: Source::Component("bench/caller".parse()?),
            target: "bench/echo".parse()?,
            contract: "wattle:bench/echo@0.1.0".parse()?,
            function: "echo".into(),
            encoding: Encoding::Values,
        }),
        hops: 0,
        relay: None,
    })
}

/// Calls with so many under way at once, for `time`: how many, and how long each took.
async fn measure(
    from: &Mesh,
    to: NodeId,
    at_once: usize,
    size: usize,
    time: Duration,
) -> Result<(f64, Vec<Duration>), Box<dyn Error>> {
    let begun = Instant::now();
    let mut callers = Vec::new();
    for _ in 0..at_once {
        let (mesh, header, payload) = (from.clone(), header()?, Bytes::from(vec![7; size]));
        callers.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while begun.elapsed() < time {
                let call = Instant::now();
                mesh.call(to, header.clone(), payload.clone(), None).await?;
                took.push(call.elapsed());
            }
            Ok::<_, CallError>(took)
        }));
    }
    let mut took = Vec::new();
    for caller in callers {
        took.extend(caller.await??);
    }
    let rate = took.len() as f64 / begun.elapsed().as_secs_f64();
    took.sort();
    Ok((rate, took))
}

fn percentile(took: &[Duration], per_mille: usize) -> Duration {
    let at = (took.len() * per_mille / 1000).min(took.len().saturating_sub(1));
    took.get(at).copied().unwrap_or_default()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = |nth| std::env::args().nth(nth).and_then(|text| text.parse::<usize>().ok());
    let time = Duration::from_secs(argument(1).unwrap_or(3) as u64);
    let cases = match (argument(2), argument(3)) {
        (Some(at_once), Some(size)) => vec![(at_once, size)],
        _ => vec![(1, 128), (8, 128), (64, 128), (256, 128), (1, 65_536), (16, 900_000)],
    };
    let authority = SigningKey::generate()?;
    let two = node(&authority, &[]).await?;
    let one = node(&authority, std::slice::from_ref(&two)).await?;
    one.watch_view().wait_for(|view| view.connected() == 1).await?;
    measure(&one, two.node_id(), 8, 128, Duration::from_millis(500)).await?;
    for (at_once, size) in cases {
        let (rate, took) = measure(&one, two.node_id(), at_once, size, time).await?;
        println!(
            "{at_once:>4} at once, {size:>7} bytes: {rate:>9.0} calls/s, p50 {:>9.1?}, p99 {:>9.1?}, max {:>9.1?}",
            percentile(&took, 500),
            percentile(&took, 990),
            percentile(&took, 1000),
        );
    }
    Ok(())
}
