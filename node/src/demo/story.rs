//! What happens in the demo, told as it happens. Every sentence is checked before it is said.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use wattle_contracts::artifact;
use wattle_contracts::id::{MeshId, PublisherKey};
use wattle_contracts::key::SigningKey;

use super::nodes::{DemoNode, Site};
use super::wire::Cut;
use crate::api::AppsReply;
use crate::cli::send_app;
use crate::home::write_private;

/// The counter, as `cargo xtask guests` builds it from `tests/guests/counter`.
const COUNTER: &[u8] = include_bytes!("counter.wasm");

const MANIFEST: &str = r#"app = "counter"

[component.counter]
wasm = "counter.wasm"
on = { role = "compute" }

[provider.counts]
contract = "wasi:keyvalue"
on = { role = "store" }

[[link]]
from = "counter"
contract = "wasi:keyvalue"
to = "counts"

[[http]]
component = "counter"
"#;

/// Nothing in the demo may take longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Story {
    begun: Instant,
    nodes: Vec<DemoNode>,
}

impl Story {
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), nodes: Vec::new() }
    }

    pub(super) async fn play(&mut self, keep: bool) -> Result<()> {
        println!("A Wattle mesh on this machine: three processes, no broker, no leader.\n");
        let folder = tempfile::Builder::new().prefix("wattle-demo-").tempdir()?;
        let (site, manifest) = self.prepare(folder.path())?;
        self.start_nodes(&site).await?;
        let http = self.apply(&manifest).await?;
        let counted = self.count(http).await?;
        self.cut_and_heal(&site.cut, http, counted).await?;
        if keep {
            self.keep(http).await?;
        }
        self.stop().await?;
        self.say("all three nodes stopped, their folders are removed. Every step held.");
        Ok(())
    }

    /// Keys for a mesh and a publisher, and the signed app.
    fn prepare(&self, folder: &std::path::Path) -> Result<(Site, PathBuf)> {
        let authority = SigningKey::generate()?;
        let publisher = SigningKey::generate()?;
        let mesh_key = folder.join("mesh.key");
        write_private(&mesh_key, authority.to_text().as_bytes())?;
        std::fs::write(folder.join("counter.wasm"), artifact::sign(COUNTER, &publisher)?)?;
        let manifest = folder.join("app.toml");
        std::fs::write(&manifest, MANIFEST)?;
        let trust = PublisherKey::from_bytes(publisher.public()).to_string();
        let mesh = MeshId::from_bytes(authority.public());
        self.say(&format!("made {mesh}"));
        self.say(&format!("signed the counter app as {trust}"));
        Ok((Site { folder: folder.into(), mesh_key, trust, cut: Cut::default() }, manifest))
    }

    async fn start_nodes(&mut self, site: &Site) -> Result<()> {
        let begun = Instant::now();
        for (role, http) in [("store", false), ("compute", false), ("edge", true)] {
            self.nodes.push(DemoNode::start(site, role, http).await?);
        }
        self.say("started three nodes: store, compute, edge; no addresses were given to them");
        for at in 0..self.nodes.len() {
            self.wait_for_mesh(at).await?;
        }
        self.say(&format!("each node sees the two others alive, after {}", seconds(begun)));
        Ok(())
    }

    async fn wait_for_mesh(&mut self, at: usize) -> Result<()> {
        let begun = Instant::now();
        loop {
            let node = self.node(at)?;
            if let Some(reply) = node.nodes().await? {
                // A node's labels come by gossip: it must have spoken, not only be connected.
                let known = |node: &crate::api::NodeInfo| {
                    node.is_self
                        || (node.standing == "alive" && node.connected && !node.labels.is_empty())
                };
                if reply.nodes.iter().filter(|node| known(node)).count() == 3 {
                    return Ok(());
                }
            }
            ensure!(begun.elapsed() < PATIENCE, "the {} node does not see the others", node.role);
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn apply(&mut self, manifest: &std::path::Path) -> Result<SocketAddr> {
        let begun = Instant::now();
        let edge = self.node(2)?;
        send_app(&edge.client(), manifest).await?;
        let component = loop {
            let apps: AppsReply = edge.client().get("/v1/apps").await?;
            let running = apps.apps.first().and_then(|app| app.components.first());
            if let Some(node) = running.and_then(|component| component.running.first()) {
                break *node;
            }
            ensure!(begun.elapsed() < PATIENCE, "the component was not started: {apps:?}");
            sleep(Duration::from_millis(20)).await;
        };
        let nodes = edge.nodes().await?.context("the edge node does not answer")?;
        let label = |id| {
            let node = nodes.nodes.iter().find(|node| node.id == id);
            node.and_then(|node| node.labels.get("role").cloned()).unwrap_or_default()
        };
        ensure!(label(component) == "compute", "the component runs on the wrong node");
        let apps: AppsReply = edge.client().get("/v1/apps").await?;
        let home = apps.apps.first().and_then(|app| app.providers.first()?.home);
        ensure!(home.is_some_and(|home| label(home) == "store"), "the store has the wrong home");
        let http = edge.http().await?;
        self.say(&format!(
            "applied the app on edge: its component went to compute (fetched, verified, compiled), \
             its store to store, after {}",
            seconds(begun)
        ));
        self.say(&format!("edge serves it at http://{http}/"));
        Ok(http)
    }

    /// Counts to twenty from four clients at once. Each number must come exactly once.
    async fn count(&mut self, http: SocketAddr) -> Result<u64> {
        let begun = Instant::now();
        let clients = (0..4).map(|_| async move {
            let mut numbers = Vec::new();
            for _ in 0..5 {
                numbers.push(number(&get(http).await?)?);
            }
            Ok::<_, anyhow::Error>(numbers)
        });
        let all = futures::future::try_join_all(clients).await?;
        let numbers: Vec<u64> = all.into_iter().flatten().collect();
        let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
        ensure!(
            distinct.into_iter().eq(1..=20),
            "expected each number from 1 to 20 once, got {numbers:?}"
        );
        self.say(&format!(
            "20 requests from 4 clients went edge -> compute -> store and back, in {}: counted 1 \
             to 20, none twice, none lost",
            seconds(begun)
        ));
        Ok(20)
    }

    async fn cut_and_heal(&mut self, cut: &Cut, http: SocketAddr, counted: u64) -> Result<()> {
        let compute = self.node(1)?;
        cut.around(&compute.wire);
        self.say("CUT: every packet to and from compute is dropped from here on");
        let mut kinds = BTreeSet::new();
        for _ in 0..2 {
            let begun = Instant::now();
            let response = get(http).await?;
            let kind = response.kind.clone().unwrap_or_default();
            ensure!(
                response.status >= 500 && ["unreachable", "deadline"].contains(&&*kind),
                "expected a typed error during the cut, got {response:?}"
            );
            self.say(&format!(
                "a request got HTTP {} after {}: {}",
                response.status,
                seconds(begun),
                response.body.trim()
            ));
            kinds.insert(kind);
        }
        ensure!(kinds.contains("unreachable"), "the cut was never told: {kinds:?}");
        cut.heal();
        self.say("HEAL: packets flow again");
        let begun = Instant::now();
        let next = loop {
            let response = get(http).await?;
            if response.status == 200 {
                break number(&response)?;
            }
            ensure!(begun.elapsed() < PATIENCE, "the mesh did not heal: {response:?}");
            sleep(Duration::from_millis(100)).await;
        };
        ensure!(next == counted + 1, "expected {} after the cut, got {next}", counted + 1);
        self.say(&format!(
            "after {} the count goes on with {next}: nothing was lost, nothing ran twice",
            seconds(begun)
        ));
        for at in 0..self.nodes.len() {
            self.wait_for_mesh(at).await?;
        }
        self.say("each node sees the two others alive again");
        Ok(())
    }

    async fn keep(&mut self, http: SocketAddr) -> Result<()> {
        let binary = std::env::current_exe()?;
        println!("\nThe mesh stays up until Ctrl-C. Talk to it:\n  curl http://{http}/");
        for node in &self.nodes {
            println!(
                "  {} nodes --data {}   # {}",
                binary.display(),
                node.data().display(),
                node.role
            );
        }
        tokio::signal::ctrl_c().await?;
        println!();
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.stop().await?;
        }
        self.nodes.clear();
        Ok(())
    }

    pub(super) fn failed(&mut self, error: &anyhow::Error) {
        println!("{:>7}  FAILED: {error:#}", seconds(self.begun));
        for node in &self.nodes {
            println!("\nthe end of the log of {}:\n{}", node.role, node.tail());
        }
    }

    fn node(&mut self, at: usize) -> Result<&mut DemoNode> {
        self.nodes.get_mut(at).context("the demo lost a node")
    }

    fn say(&self, sentence: &str) {
        println!("{:>7}  {sentence}", seconds(self.begun));
        let _ = std::io::stdout().flush();
    }
}

fn seconds(since: Instant) -> String {
    format!("{:.2} s", since.elapsed().as_secs_f64())
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// The kind of error, as the gateway tells it.
    kind: Option<String>,
    body: String,
}

/// One request on a connection of its own.
async fn get(http: SocketAddr) -> Result<Answer> {
    let ask = async {
        let stream = TcpStream::connect(http).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method("POST")
            .uri("/")
            .header(http::header::HOST, http.to_string())
            .body(Empty::<bytes::Bytes>::new())?;
        let response: Response<_> = sender.send_request(request).await?;
        let header = response.headers().get("wattle-error");
        let kind = header.and_then(|kind| kind.to_str().ok()).map(String::from);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, kind, body: String::from_utf8_lossy(&body).into_owned() })
    };
    match timeout(PATIENCE, ask).await {
        Ok(answer) => answer,
        Err(_) => bail!("a request was not answered within {PATIENCE:?}"),
    }
}

fn number(answer: &Answer) -> Result<u64> {
    ensure!(answer.status == 200, "a request failed: {answer:?}");
    answer.body.trim().parse().with_context(|| format!("not a number: {answer:?}"))
}
