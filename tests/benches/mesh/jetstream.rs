//! JetStream: a file stream with one replica, and publishers that wait for each acknowledgement.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_nats::jetstream;
use bytes::Bytes;

use crate::nats::Broker;
use crate::places;
use crate::statistics::nanos_since;

const STREAM: &str = "bench";
const SUBJECT: &str = "bench.kept";

/// A stream, and a client.
pub(crate) struct JetStream {
    context: jetstream::Context,
    /// Whether a message is synced to disk before it is acknowledged.
    pub(crate) synced: bool,
    _broker: Broker,
}

impl JetStream {
    pub(crate) async fn start(server: &str) -> Result<Self> {
        let synced = knows_sync(server)?;
        let folder = places::on_disk("nats")?;
        let config = configuration(folder.path(), synced)?;
        let flags = [OsString::from("--config"), config];
        let broker = Broker::start_at(server, folder, &flags)?;
        let context = jetstream::new(async_nats::connect(&broker.address).await?);
        let stream = jetstream::stream::Config {
            name: STREAM.into(),
            subjects: vec![SUBJECT.into()],
            storage: jetstream::stream::StorageType::File,
            num_replicas: 1,
            ..Default::default()
        };
        context.create_stream(stream).await.context("nats-server makes no stream")?;
        Ok(Self { context, synced, _broker: broker })
    }

    /// `tasks` at once, each with `count` messages, one after the other: how long all of it took,
    /// and the nanoseconds of each.
    pub(crate) async fn publish(
        &self,
        tasks: u32,
        count: u32,
        body: &Bytes,
    ) -> Result<(Duration, Vec<u64>)> {
        let begun = Instant::now();
        let publishers = (0..tasks).map(|_| {
            let (context, body) = (self.context.clone(), body.clone());
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(count as usize);
                for _ in 0..count {
                    let begun = Instant::now();
                    context.publish(SUBJECT, body.clone()).await?.await?;
                    times.push(nanos_since(begun));
                }
                Ok::<_, anyhow::Error>(times)
            })
        });
        let mut times = Vec::new();
        for publisher in publishers.collect::<Vec<_>>() {
            times.extend(publisher.await??);
        }
        Ok((begun.elapsed(), times))
    }
}

fn configuration(folder: &Path, synced: bool) -> Result<OsString> {
    let sync = if synced { ", sync_interval: always" } else { "" };
    let path = folder.join("nats.conf");
    let store = folder.join("store");
    fs::write(&path, format!("jetstream {{ store_dir: \"{}\"{sync} }}\n", store.display()))?;
    Ok(path.into())
}

/// Whether this version has `sync_interval: always`, as 2.10 and later do.
fn knows_sync(server: &str) -> Result<bool> {
    let output = Command::new(server).arg("--version").output();
    let output = output.with_context(|| format!("can't run `{server} --version`"))?;
    Ok(version(&String::from_utf8_lossy(&output.stdout)) >= (2, 10))
}

/// The first two numbers of `nats-server: v2.9.10`.
fn version(text: &str) -> (u32, u32) {
    let numbers = text.rsplit_once('v').map_or("", |(_, numbers)| numbers.trim());
    let mut numbers = numbers.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
