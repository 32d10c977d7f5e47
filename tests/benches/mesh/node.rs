//! Real nodes: `wattle up` with folders of their own, and their API.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::places;

/// How long a node may take for anything that is not measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mesh with a publisher that its nodes trust, in a temporary folder.
pub(crate) struct Site {
    folder: TempDir,
    wattle: PathBuf,
    publisher: String,
}

impl Site {
    pub(crate) fn new() -> Result<Self> {
        Self::at(tempfile::Builder::new().prefix("wattle-bench-").tempdir()?)
    }

    /// The same, in a folder of one's own.
    pub(crate) fn at(folder: TempDir) -> Result<Self> {
        let wattle = places::wattle()?;
        let at = |name| folder.path().join(name);
        run(Command::new(&wattle).args(["mesh", "init", "--out"]).arg(at("mesh.key")))?;
        let publisher =
            run(Command::new(&wattle).args(["key", "new", "--out"]).arg(at("publisher.key")))?;
        Ok(Self { wattle, publisher: publisher.trim().into(), folder })
    }

    /// Starts a node with the label `role=NAME`, and waits until its API answers.
    pub(crate) async fn start(&self, name: &str, http: bool) -> Result<Node> {
        let data = self.folder.path().join(name);
        let log = data.with_extension("log");
        let mut command = Command::new(&self.wattle);
        command
            .args(["up", "--no-mdns", "--listen", "127.0.0.1:0", "--trust", &self.publisher])
            .args(["--label", &format!("role={name}")])
            .arg("--data")
            .arg(&data)
            .arg("--mesh-key")
            .arg(self.folder.path().join("mesh.key"))
            .arg("--host-directory")
            .arg(self.folder.path().join("host"))
            .env("WATTLE_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        if http {
            command.args(["--http", "127.0.0.1:0"]);
        }
        let process = command.spawn().context("can't start a node")?;
        let mut node = Node { process, data, log };
        wait("the node's API", async || {
            node.check_alive()?;
            node.get("/v1/nodes").await.map(drop)
        })
        .await?;
        Ok(node)
    }

    /// Signs the guests that the manifest names, and applies it at `node`.
    pub(crate) fn apply(&self, node: &Node, manifest: &str, guests: &[&str]) -> Result<()> {
        for guest in guests {
            let signed = self.folder.path().join(guest).with_extension("wasm");
            let mut sign = Command::new(&self.wattle);
            sign.arg("sign").arg(places::guest_path(guest)).arg("--out").arg(&signed);
            run(sign.arg("--key").arg(self.folder.path().join("publisher.key")))?;
        }
        let path = self.folder.path().join("app.toml");
        fs::write(&path, manifest)?;
        run(Command::new(&self.wattle).arg("apply").arg(&path).arg("--data").arg(&node.data))?;
        Ok(())
    }
}

/// A node process, which stops when this is dropped.
pub(crate) struct Node {
    process: Child,
    data: PathBuf,
    log: PathBuf,
}

impl Node {
    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// How long its threads have computed, of all that run.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process_id()))
            .context("the node is gone")?;
        // proc(5): the name may hold spaces; user time and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').context("no name in its stat")?;
        let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = times.sum::<Result<u64, _>>()?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }

    /// Waits until it is connected to `others` nodes that it believes to be alive.
    pub(crate) async fn sees(&self, others: usize) -> Result<()> {
        wait("the nodes to find each other", async || {
            let reply = self.get("/v1/nodes").await?;
            let nodes = reply.get("nodes").and_then(Value::as_array).context("no list of nodes")?;
            let alive = |node: &&Value| {
                let is = |key: &str| node.get(key).and_then(Value::as_bool) == Some(true);
                let named = node
                    .get("labels")
                    .and_then(Value::as_object)
                    .is_some_and(|map| !map.is_empty());
                is("connected") && !is("self") && named
            };
            let seen = nodes.iter().filter(alive).count();
            ensure!(seen == others, "it sees {seen} of {others}: {reply}");
            Ok(())
        })
        .await
    }

    /// Where it serves HTTP.
    pub(crate) async fn http(&self) -> Result<std::net::SocketAddr> {
        let reply = self.get("/v1/nodes").await?;
        let nodes = reply.get("nodes").and_then(Value::as_array).context("no list of nodes")?;
        let own = nodes.iter().find(|node| node.get("self").and_then(Value::as_bool) == Some(true));
        let address =
            own.and_then(|node| node.get("http")?.as_str()).context("it serves no HTTP")?;
        Ok(address.parse()?)
    }

    /// Calls a function with arguments in WAVE text.
    pub(crate) async fn call(
        &self,
        target: &str,
        function: &str,
        arguments: &str,
    ) -> Result<String> {
        let request = json!({
            "target": target,
            "function": function,
            "arguments": arguments,
            "timeout_millis": 30_000,
        });
        let reply = self.ask(Method::POST, "/v1/calls", request.to_string()).await?;
        let result = reply.get("result").and_then(Value::as_str);
        result.map(Into::into).with_context(|| format!("no result in {reply}"))
    }

    /// The same, again and again until it works: an app needs a moment to start.
    pub(crate) async fn call_when_ready(
        &self,
        target: &str,
        function: &str,
        arguments: &str,
    ) -> Result<()> {
        wait(target, async || self.call(target, function, arguments).await.map(drop)).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, String::new()).await
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> Result<Value> {
        let stream = UnixStream::connect(self.data.join("api.sock")).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "node")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        connection.abort();
        if status != StatusCode::OK {
            bail!("the node answered {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            return Err(Ended(format!("the node ended early ({status}); it said\n{log}")).into());
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("no process id")?, Signal::TERM)?;
        let begun = Instant::now();
        while self.process.try_wait()?.is_none() {
            ensure!(begun.elapsed() < Duration::from_secs(15), "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("a node had to be killed: {error:#}");
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// What no waiting mends.
#[derive(Debug)]
struct Ended(String);

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Ended {}

/// Tries until it works.
async fn wait(what: &str, mut attempt: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(()) => return Ok(()),
            Err(error) if error.is::<Ended>() => return Err(error),
            Err(error) if begun.elapsed() > PATIENCE => {
                return Err(error).with_context(|| format!("waited in vain for {what}"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Runs a verb of `wattle`, and gives back what it printed.
fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let program = Path::new(command.get_program()).file_name().unwrap_or_default();
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{} {}` failed: {}", program.display(), words.join(" "), said.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
