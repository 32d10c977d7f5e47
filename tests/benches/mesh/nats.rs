//! NATS request/reply: a broker, a responder in a process of its own, and a client.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::StreamExt as _;
use tempfile::TempDir;

use crate::helper::{self, Helper};
use crate::statistics::nanos_since;
use crate::threads::{Threads, Workshop};

/// The role of the process that answers.
pub(crate) const RESPONDER: &str = "nats-responder";

const SUBJECT: &str = "bench.echo";

/// How long the broker may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A responder and a client at a broker.
pub(crate) struct Nats {
    client: async_nats::Client,
    workshop: Workshop,
    _responder: Helper,
}

impl Nats {
    pub(crate) async fn start(broker: &Broker, threads: Threads) -> Result<Self> {
        let responder = Helper::start(RESPONDER, threads, Some(&broker.address))?;
        let workshop = Workshop::open(threads)?;
        let address = broker.address.clone();
        let client = workshop.run(async move { Ok(async_nats::connect(address).await?) }).await?;
        Ok(Self { client, workshop, _responder: responder })
    }

    /// `calls` requests, one after the other: the nanoseconds of each.
    pub(crate) async fn one_in_flight(&self, calls: u32, payload: &Bytes) -> Result<Vec<u64>> {
        let (client, payload) = (self.client.clone(), payload.clone());
        let requests = async move {
            let mut times = Vec::with_capacity(calls as usize);
            for _ in 0..calls {
                let begun = Instant::now();
                client.request(SUBJECT, payload.clone()).await?;
                times.push(nanos_since(begun));
            }
            Ok(times)
        };
        self.workshop.run(requests).await
    }

    /// `tasks` at once, each with `calls` requests, one after the other: how long all of it took.
    pub(crate) async fn in_flight(
        &self,
        tasks: u32,
        calls: u32,
        payload: &Bytes,
    ) -> Result<Duration> {
        let (client, payload) = (self.client.clone(), payload.clone());
        let requests = async move {
            let begun = Instant::now();
            let requests = (0..tasks).map(|_| {
                let (client, payload) = (client.clone(), payload.clone());
                tokio::spawn(async move {
                    for _ in 0..calls {
                        client.request(SUBJECT, payload.clone()).await?;
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

/// The responder's process.
pub(crate) async fn respond(address: &str) -> Result<()> {
    let client = async_nats::connect(address).await?;
    let mut requests = client.subscribe(SUBJECT).await?;
    client.flush().await?;
    helper::ready("ready")?;
    while let Some(request) = requests.next().await {
        if let Some(reply) = request.reply {
            client.publish(reply, request.payload).await?;
        }
    }
    Ok(())
}

/// Says which `nats-server` is taken, where that is not the one of the system.
pub(crate) const SERVER: &str = "WATTLE_NATS_SERVER";

/// Where `nats-server` is: where [`SERVER`] says, else where it is installed, if it is. Debian has
/// it where only an administrator looks.
pub(crate) fn server() -> Option<String> {
    if let Some(server) = std::env::var_os(SERVER).filter(|server| !server.is_empty()) {
        return Some(server.to_string_lossy().into_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin"].map(Into::into);
    let found = std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join("nats-server"))
        .find(|program| program.is_file())?;
    Some(found.to_string_lossy().into_owned())
}

/// A broker, which ends when this is dropped.
pub(crate) struct Broker {
    process: Child,
    pub(crate) address: String,
    folder: TempDir,
}

impl Broker {
    pub(crate) fn start(server: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wattle-bench-nats-").tempdir()?;
        Self::start_at(server, folder, &[])
    }

    /// The same with more flags, in a folder of one's own.
    pub(crate) fn start_at(server: &str, folder: TempDir, flags: &[OsString]) -> Result<Self> {
        let process = Command::new(server)
            .args(flags)
            // A free port, which it writes into a file.
            .args(["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir"])
            .arg(folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("can't start `{server}`; {SERVER} says which nats-server"))?;
        let mut broker = Self { process, address: String::new(), folder };
        let ports = broker.folder.path().join(format!("nats-server_{}.ports", broker.process.id()));
        let begun = Instant::now();
        broker.address = loop {
            if let Some(address) = address(&ports) {
                break address;
            }
            if begun.elapsed() > PATIENCE {
                bail!("nats-server does not listen: try `{server} --port -1` by hand");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Ok(broker)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first address that the broker says it listens on.
fn address(ports: &Path) -> Option<String> {
    let text = fs::read_to_string(ports).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(value.get("nats")?.get(0)?.as_str()?.into())
}
