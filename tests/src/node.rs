//! A node, from outside.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::process::Command;

use crate::command::{self, Answer};
use crate::paths;
use crate::process::Process;
use crate::publisher::Publisher;
use crate::up::Up;
use crate::view::{Apps, CallFailure, CallResult, Config, Links, Metrics, Nodes};
use crate::wait::{PATIENCE, eventually, holds};

/// A node as a process of its own. It ends with this value.
#[derive(Debug)]
pub struct TestNode {
    process: Process,
    up: Up,
    id: String,
}

impl TestNode {
    pub(crate) fn new(up: Up) -> Self {
        let process = Process::start(up.first(), &up.log());
        Self { process, up, id: String::new() }
    }

    /// The name that the test gave it.
    pub fn name(&self) -> &str {
        self.up.name()
    }

    /// Its identity.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        self.up.data_folder()
    }

    /// Waits until it answers. A node that ends instead fails the test.
    pub async fn ready(&mut self) {
        let name = self.name().to_owned();
        let nodes = eventually(&format!("{name} answers"), PATIENCE, async || {
            if let Some(status) = self.process.ended() {
                panic!("{name} ended instead of starting: {status}");
            }
            self.try_nodes().await
        })
        .await;
        let me = nodes.nodes.iter().find(|node| node.is_self);
        self.id = me.expect("a node knows itself").id.clone();
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self, within: Duration) -> ExitStatus {
        self.process.terminate();
        self.end(within).await
    }

    /// Waits until it has stopped.
    pub async fn end(&mut self, within: Duration) -> ExitStatus {
        self.process.end(within).await
    }

    /// Starts it anew on the same data, with the same flags.
    pub async fn restart(&mut self) {
        self.kill();
        self.process = Process::start(self.up.again(), &self.up.log());
        self.ready().await;
    }

    /// Starts it anew on the same data, without any flag.
    pub async fn restart_without_flags(&mut self) {
        self.kill();
        self.process = Process::start(self.up.bare(), &self.up.log());
        self.ready().await;
    }

    /// Lets its next start look for others as `flags` say.
    pub fn discover<I>(&mut self, flags: I)
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        self.up = self.up.clone().discovery(flags);
    }

    /// Lets its next start trust `publisher` alone.
    pub fn trust(&mut self, publisher: &Publisher) {
        self.up = self.up.clone().trusting(publisher);
    }

    /// Runs a verb that speaks to this node.
    pub async fn verb<I>(&self, args: I) -> Answer
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        command::run(self.command(args)).await
    }

    /// A verb that speaks to this node, to be run.
    pub fn command<I>(&self, args: I) -> Command
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut command = Command::new(paths::wattle());
        command.args(args).arg("--data").arg(self.data());
        command::without_settings(&mut command);
        command
    }

    /// What it knows of the mesh.
    pub async fn nodes(&self) -> Nodes {
        self.json(["nodes"]).await
    }

    /// The same, where the node need not be there.
    pub async fn try_nodes(&self) -> Result<Nodes, String> {
        let answer = self.verb(["nodes", "--json"]).await;
        match answer.code {
            Some(0) => Ok(answer.json()),
            _ => Err(answer.stderr),
        }
    }

    /// The declared apps as it sees them.
    pub async fn apps(&self) -> Apps {
        self.json(["apps"]).await
    }

    /// The links as it sees them.
    pub async fn links(&self) -> Links {
        self.json(["link", "ls"]).await
    }

    /// The configuration values as it sees them.
    pub async fn config(&self) -> Config {
        self.json(["config", "ls"]).await
    }

    /// Its counters.
    pub async fn metrics(&self) -> Metrics {
        self.json(["metrics"]).await
    }

    /// The entries of its audit log that are called `what`.
    pub async fn audit(&self, what: &str) -> Vec<Value> {
        let text = self.verb(["audit", "query", "--json", "--what", what]).await.ok();
        text.lines().map(|line| serde_json::from_str(line).expect("an entry is JSON")).collect()
    }

    /// The first of them that is `like` that, once there is one: a node answers before it has
    /// written down what it did.
    pub async fn written(&self, what: &str, like: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{} writes down {what}", self.name()), PATIENCE, async || {
            let entries = self.audit(what).await;
            let found = entries.iter().find(|entry| like(entry)).cloned();
            found.ok_or_else(|| format!("{entries:#?}"))
        })
        .await
    }

    /// Waits until `part` is in its log: it counts a thing before it logs it.
    pub async fn has_logged(&self, part: &str) {
        eventually(&format!("{} logs `{part}`", self.name()), PATIENCE, async || {
            let log = self.process.log();
            holds(log.contains(part), log)
        })
        .await;
    }

    /// Declares the app of `manifest` through this node.
    pub async fn apply(&self, manifest: &Path) -> Answer {
        self.verb([OsStr::new("apply"), manifest.as_os_str()]).await
    }

    /// Declares the app of `manifest`, and waits until `component` runs on `on` in the eyes of
    /// this node.
    pub async fn run(&self, manifest: &Path, component: &str, on: &TestNode) {
        self.apply(manifest).await.ok();
        self.sees_running(component, &[on]).await;
    }

    /// Waits until, in the eyes of this node, `component` runs on exactly the nodes `on`.
    pub async fn sees_running(&self, component: &str, on: &[&TestNode]) {
        let mut expected: Vec<&str> = on.iter().map(|node| node.id()).collect();
        expected.sort_unstable();
        let what = format!("{} sees {component} running", self.name());
        eventually(&what, PATIENCE, async || {
            let apps = self.apps().await;
            let mut running = match apps.component(component) {
                Some(found) => found.running.clone(),
                None => return Err(format!("{apps:#?}")),
            };
            running.sort();
            holds(running == expected, apps)
        })
        .await;
    }

    /// Calls a function with arguments in WAVE.
    pub async fn call(
        &self,
        target: &str,
        function: &str,
        arguments: &str,
    ) -> Result<String, CallFailure> {
        let answer = self.verb(["call", target, function, arguments, "--json"]).await;
        match answer.code {
            Some(0) => Ok(answer.json::<CallResult>().result),
            _ => {
                assert_eq!(answer.code, Some(1), "{answer:#?}");
                let failure = serde_json::from_str(&answer.stdout);
                Err(failure.unwrap_or_else(|error| panic!("{error}: {answer:#?}")))
            }
        }
    }

    /// Waits until it is connected to all of `others`, has heard from them, and knows nobody else.
    pub async fn sees(&self, others: &[&TestNode], within: Duration) {
        let what = format!("{} sees {} others", self.name(), others.len());
        eventually(&what, within, async || {
            let nodes = self.try_nodes().await?;
            let up = |id: &str| nodes.get(id).is_some_and(|node| node.is_up());
            let all = others.iter().all(|other| up(other.id()));
            holds(all && nodes.nodes.len() == others.len() + 1, nodes)
        })
        .await;
    }

    /// Where it serves HTTP.
    pub async fn http(&self) -> SocketAddr {
        let nodes = self.nodes().await;
        let http = nodes.get(self.id()).and_then(|node| node.http.clone());
        http.expect("the node was told to serve HTTP").parse().expect("it says where")
    }

    async fn json<T: DeserializeOwned, const N: usize>(&self, verb: [&str; N]) -> T {
        self.verb(verb.into_iter().chain(["--json"])).await.json()
    }
}

/// Waits until each of `nodes` sees all others, and nobody else.
pub async fn meet(nodes: &[&TestNode], within: Duration) {
    for node in nodes {
        let others: Vec<&TestNode> =
            nodes.iter().copied().filter(|other| other.id() != node.id()).collect();
        node.sees(&others, within).await;
    }
}

/// Waits until a counter, summed over `nodes`, is above zero.
pub async fn counts(nodes: &[&TestNode], counter: &str) {
    let names: Vec<&str> = nodes.iter().map(|node| node.name()).collect();
    eventually(&format!("{} count {counter}", names.join(" and ")), PATIENCE, async || {
        let mut all = Vec::new();
        for node in nodes {
            all.push(node.metrics().await);
        }
        let sum: u64 = all.iter().map(|metrics| metrics.counter(counter)).sum();
        holds(sum > 0, all)
    })
    .await;
}
