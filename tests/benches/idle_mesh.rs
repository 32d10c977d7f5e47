//! What a node really costs that has nothing to do, in a mesh of many: whole `wattle` processes on
//! the loopback interface of a network namespace, everything included (gossip, pings, QUIC, records,
//! the outbox, the API).
//!
//! `cargo bench -p wattle-tests --bench idle_mesh NAME`, as root, with iproute2 and nftables; the
//! node's binary is the one of the same profile. About two minutes for each of the three meshes, and
//! some 30 MiB of memory for each node.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The port of the first node; the others follow.
const FIRST_PORT: usize = 20_000;
/// How long what nodes do when they find each other may take, and then goes on to die down.
const FORMS: Duration = Duration::from_secs(240);
const REST: Duration = Duration::from_secs(20);
/// How long is measured.
const WATCH: Duration = Duration::from_secs(40);
/// The cells of the large mesh that is computed from what two cells cost.
const MANY_CELLS: usize = 20;

fn main() -> Result<()> {
    let Some(only) = env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        // Among all benches it would take most of the time, and root.
        println!("idle_mesh: name a mesh to measure: one-50, one-100 or two-50");
        return Ok(());
    };
    ensure!(
        rustix::process::getuid().is_root(),
        "only root can make a network namespace: run this as root"
    );
    for (name, sizes) in [("one-50", &[50][..]), ("one-100", &[100][..]), ("two-50", &[50, 50][..])]
    {
        if name.contains(only.as_str()) {
            measure(name, sizes)?;
        }
    }
    Ok(())
}

/// Starts a cell of each size, waits until nothing happens any more, and watches.
fn measure(name: &str, sizes: &[usize]) -> Result<()> {
    let mesh = Mesh::start(sizes)?;
    let formed = mesh.wait_until_formed()?;
    std::thread::sleep(REST);
    let ambassadors = mesh.ambassadors()?;
    mesh.count_bytes()?;
    let (begun, before) = (Instant::now(), mesh.usage()?);
    std::thread::sleep(WATCH);
    let (after, time) = (mesh.usage()?, begun.elapsed().as_secs_f64());
    let used: Vec<Usage> = before.iter().zip(&after).map(|(b, a)| a.since(*b, time)).collect();
    let profile = if cfg!(debug_assertions) { "unoptimised build" } else { "release build" };
    println!(
        "{name}: {} nodes up after {formed:.0?}; watched for {time:.0} s; {profile}",
        used.len()
    );
    let of = |is_ambassador: bool| -> Vec<Usage> {
        let all = used.iter().enumerate();
        all.filter(|(at, _)| ambassadors.contains(at) == is_ambassador).map(|(_, u)| *u).collect()
    };
    let members = Kind::of(&of(false));
    println!("  a member: {members}");
    if sizes.len() > 1 {
        let doors = Kind::of(&of(true));
        println!("  an ambassador ({} of them): {doors}", ambassadors.len());
        let links = (MANY_CELLS - 1) as f64;
        let more =
            |of: fn(&Kind) -> f64| of(&members) + links * (of(&doors) - of(&members)).max(0.0);
        println!(
            "  computed, not measured: in {MANY_CELLS} cells of {} a member costs the same, and each of \
             the 2 ambassadors of a cell, with {links} connections, {:.0} bytes per second and {:.0} ms \
             of CPU per minute",
            sizes.first().copied().unwrap_or_default(),
            more(|kind| kind.bytes),
            more(|kind| kind.cpu),
        );
    }
    Ok(())
}

/// What one node has used, or uses in a second.
#[derive(Clone, Copy, Default)]
struct Usage {
    /// Sent, with the heads of IP and UDP.
    bytes: f64,
    packets: f64,
    /// Milliseconds of CPU.
    cpu: f64,
    /// Resident, now.
    mebibytes: f64,
}

impl Usage {
    fn since(self, before: Self, seconds: f64) -> Self {
        Self {
            bytes: (self.bytes - before.bytes) / seconds,
            packets: (self.packets - before.packets) / seconds,
            cpu: (self.cpu - before.cpu) / seconds,
            mebibytes: self.mebibytes,
        }
    }
}

/// What nodes of a kind use on average, and the one that uses most.
struct Kind {
    bytes: f64,
    most_bytes: f64,
    packets: f64,
    cpu: f64,
    most_cpu: f64,
    mebibytes: f64,
}

impl Kind {
    fn of(all: &[Usage]) -> Self {
        let mean =
            |of: fn(&Usage) -> f64| all.iter().map(of).sum::<f64>() / all.len().max(1) as f64;
        let most = |of: fn(&Usage) -> f64| all.iter().map(of).fold(0.0, f64::max);
        Self {
            bytes: mean(|used| used.bytes),
            most_bytes: most(|used| used.bytes),
            packets: mean(|used| used.packets),
            cpu: 60.0 * mean(|used| used.cpu),
            most_cpu: 60.0 * most(|used| used.cpu),
            mebibytes: mean(|used| used.mebibytes),
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, most_bytes, packets, cpu, most_cpu, mebibytes } = self;
        write!(
            f,
            "sends {bytes:.0} bytes per second (at most {most_bytes:.0}) in {packets:.0} packets, \
             {cpu:.0} ms of CPU per minute (at most {most_cpu:.0}), {mebibytes:.1} MiB resident"
        )
    }
}

/// Nodes in a network namespace of their own.
struct Mesh {
    namespace: Namespace,
    folder: TempDir,
    wattle: PathBuf,
    nodes: Vec<Node>,
}

struct Node {
    process: Child,
    data: PathBuf,
}

impl Mesh {
    fn start(sizes: &[usize]) -> Result<Self> {
        let wattle = wattle()?;
        let folder = tempfile::Builder::new().prefix("wattle-").tempdir()?;
        let key = folder.path().join("mesh.key");
        run(Command::new(&wattle).args(["mesh", "init", "--out"]).arg(&key))?;
        let namespace = Namespace::new()?;
        let mut mesh = Self { namespace, folder, wattle, nodes: Vec::new() };
        for (cell, size) in sizes.iter().enumerate() {
            for number in 0..*size {
                mesh.start_node(cell, number == 0 && cell > 0, &key)?;
                // All at once would be a measurement of something else.
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(mesh)
    }

    /// Nodes of a cell find each other by its directory; its first joins the first cell.
    fn start_node(&mut self, cell: usize, joins: bool, key: &Path) -> Result<()> {
        let number = self.nodes.len();
        let at = |name: String| self.folder.path().join(name);
        let data = at(format!("n{number}"));
        let mut command = self.namespace.command(&self.wattle);
        command.args(["up", "--no-mdns", "--label", &format!("cell=c{cell}"), "--listen"]);
        command.arg(format!("127.0.0.1:{}", FIRST_PORT + number));
        command.arg("--data").arg(&data).arg("--mesh-key").arg(key);
        command.arg("--host-directory").arg(at(format!("cell{cell}")));
        if joins {
            command.args(["--join", &format!("127.0.0.1:{FIRST_PORT}")]);
        }
        command.env("WATTLE_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null());
        let log = File::create(at(format!("n{number}.log")))?;
        let process = command.stderr(log).spawn().context("can't start a node")?;
        self.nodes.push(Node { process, data });
        Ok(())
    }

    /// Until each node holds all to be alive.
    fn wait_until_formed(&self) -> Result<Duration> {
        let begun = Instant::now();
        let mut left: Vec<usize> = (0..self.nodes.len()).collect();
        while let Some(number) = left.last().copied() {
            let alive = self.seen_by(number).unwrap_or_default();
            let alive = alive.iter().filter(|node| text(node, "standing") == "alive").count();
            if alive == self.nodes.len() {
                left.pop();
            } else if begun.elapsed() > FORMS {
                let log = self.folder.path().join(format!("n{number}.log"));
                let said = fs::read_to_string(log).unwrap_or_default();
                bail!("node {number} sees only {alive} of {}; it said\n{said}", self.nodes.len());
            } else {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        Ok(begun.elapsed())
    }

    /// How a node sees all.
    fn seen_by(&self, number: usize) -> Result<Vec<Value>> {
        let node = self.nodes.get(number).context("no such node")?;
        let mut verb = Command::new(&self.wattle);
        let said = run(verb.args(["nodes", "--json", "--data"]).arg(&node.data))?;
        let reply: Value = serde_json::from_str(&said)?;
        let nodes = reply.get("nodes").and_then(Value::as_array);
        Ok(nodes.context("no list of nodes")?.clone())
    }

    /// The numbers of those that are connected to another cell.
    fn ambassadors(&self) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        for number in 0..self.nodes.len() {
            let seen = self.seen_by(number)?;
            let is_self = |node: &&Value| node.get("self") == Some(&Value::Bool(true));
            let own = seen.iter().find(is_self).map(|node| text(node, "cell").to_owned());
            let is_far = |node: &&Value| Some(text(node, "cell")) != own.as_deref();
            let is_connected = |node: &Value| node.get("connected") == Some(&Value::Bool(true));
            if seen.iter().filter(is_far).any(is_connected) {
                found.push(number);
            }
        }
        Ok(found)
    }

    /// Counts what leaves from each node's port from now on.
    fn count_bytes(&self) -> Result<()> {
        let ports: Vec<String> =
            (0..self.nodes.len()).map(|number| (FIRST_PORT + number).to_string()).collect();
        let elements = format!("add element inet idle ports {{ {} }}", ports.join(", "));
        for command in [
            "add table inet idle",
            "add set inet idle ports { type inet_service ; counter ; }",
            &elements,
            "add chain inet idle out { type filter hook output priority 0 ; }",
            "add rule inet idle out udp sport @ports",
        ] {
            run(self.namespace.command(Path::new("nft")).arg(command))?;
        }
        Ok(())
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        let mut list = self.namespace.command(Path::new("nft"));
        let said = run(list.args(["-j", "list", "set", "inet", "idle", "ports"]))?;
        let said: Value = serde_json::from_str(&said)?;
        let counted = said.pointer("/nftables/1/set/elem").and_then(Value::as_array);
        let counted = counted.context("nft lists no counters")?;
        let of_port = |number: usize| {
            let is_it = |element: &&Value| {
                element.pointer("/elem/val").and_then(Value::as_u64)
                    == Some((FIRST_PORT + number) as u64)
            };
            let element = counted.iter().find(is_it);
            let count = |what: &str| {
                let path = format!("/elem/counter/{what}");
                element.and_then(|e| e.pointer(&path)).and_then(Value::as_f64)
            };
            Some((count("bytes")?, count("packets")?))
        };
        let usage = |(number, node): (usize, &Node)| {
            let (bytes, packets) = of_port(number).context("a port is not counted")?;
            let cpu = node.cpu()?.as_secs_f64() * 1000.0;
            Ok(Usage { bytes, packets, cpu, mebibytes: node.resident()? })
        };
        self.nodes.iter().enumerate().map(usage).collect()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        for node in &self.nodes {
            let id = i32::try_from(node.process.id()).ok().and_then(Pid::from_raw);
            if let Some(id) = id {
                let _ = kill_process(id, Signal::KILL);
            }
        }
        for node in &mut self.nodes {
            let _ = node.process.wait();
        }
    }
}

impl Node {
    /// How long its threads have computed.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))
            .context("a node is gone")?;
        // proc(5): the name may hold spaces; user time and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').context("no name in its stat")?;
        let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = times.sum::<Result<u64, _>>()?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    fn resident(&self) -> Result<f64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.process.id()))?;
        let pages: f64 = statm.split(' ').nth(1).context("no resident pages")?.parse()?;
        Ok(pages * rustix::param::page_size() as f64 / f64::from(1 << 20))
    }
}

/// A network namespace with nothing but loopback; removed when this is dropped.
struct Namespace(String);

impl Namespace {
    fn new() -> Result<Self> {
        let name = format!("wattle-{}-idle", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let made = Self(name);
        run(Command::new("ip").args(["-n", &made.0, "link", "set", "lo", "up"]))?;
        Ok(made)
    }

    /// A command that runs `program` there. Its process is the program's own.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("ip").args(["netns", "delete", &self.0])) {
            eprintln!("the network namespace {} is still there: {error:#}", self.0);
        }
    }
}

fn text<'a>(node: &'a Value, key: &str) -> &'a str {
    node.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The node's binary: target/PROFILE/deps holds this program, target/PROFILE the node.
fn wattle() -> Result<PathBuf> {
    let own = env::current_exe().context("can't tell where this program is")?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("wattle"));
    let found = found.into_iter().find(|path| path.is_file());
    found.context("the node's binary is not there: run `cargo build --release` first")
}

/// Runs a command, and gives back what it printed.
fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed: {}", said.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
