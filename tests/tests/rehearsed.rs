//! One cut, once for real and once rehearsed: three processes in namespaces, and three simulated
//! nodes, are told the same things in the same order, and in the end hold the same.
//!
//! Clocks and versions differ, so what is compared is what a person sees: what holds for each key
//! on each node, what lost against it, how the node that is cut off stands, and which messages
//! were handled, in which order. Which change is the later one is settled by the order of the
//! steps: there is time between any two.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use wattle_contracts::record::{Config, Record, RecordBody, RecordKey};
use wattle_sim::lattice::happening::Happening;
use wattle_sim::lattice::nodes::NodeSet;
use wattle_sim::{Lattice, Scenario, Settings};
use wattle_tests::manifest::ManifestText;
use wattle_tests::network::{Network, Place};
use wattle_tests::node::meet;
use wattle_tests::requirement::networks;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up};

const NODES: [&str; 3] = ["a", "b", "c"];
const KEYS: [&str; 7] = ["fought", "gone", "revived", "buried", "main", "far", "same"];
/// The last one is cut off.
const FAR: usize = 2;
/// The subscriber runs on the first.
const LEDGER: usize = 0;

/// Something that somebody does at one node.
#[derive(Debug, Clone, Copy)]
enum Step {
    Put(usize, &'static str, &'static str),
    Delete(usize, &'static str),
    Publish(usize),
}
use Step::{Delete, Publish, Put};

/// While all are together.
const BEFORE: [Step; 7] = [
    Put(0, "fought", "white"),
    Put(1, "gone", "here"),
    Put(0, "revived", "first"),
    Put(2, "buried", "first"),
    Put(1, "same", "same"),
    Publish(1),
    Publish(2),
];

/// While the last one is alone.
const DURING: [Step; 20] = [
    Put(0, "fought", "blue"),
    Publish(2),
    Put(2, "fought", "red"),
    Delete(2, "gone"),
    Publish(0),
    Delete(2, "revived"),
    Put(1, "revived", "again"),
    Publish(1),
    Put(1, "buried", "edited"),
    Publish(2),
    Delete(2, "buried"),
    Put(1, "main", "one"),
    Put(0, "main", "two"),
    Put(2, "far", "one"),
    Put(2, "far", "two"),
    Publish(2),
    Publish(0),
    Publish(1),
    Publish(2),
    Publish(0),
];

/// What is seen of a mesh: of each thing, in words.
type Seen = BTreeMap<String, String>;

fn key_seen(current: String, lost: &[String]) -> String {
    match lost.is_empty() {
        true => current,
        false => format!("{current} (lost: {})", lost.join(", ")),
    }
}

/// `wattle history KEY --json`.
#[derive(Deserialize)]
struct History {
    current: Option<Change>,
    lost: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    is_delete: bool,
    body: Option<Value>,
}

impl Change {
    fn text(&self) -> String {
        match &self.body {
            _ if self.is_delete => "deleted".into(),
            Some(body) => body["Config"]["value"].as_str().unwrap().to_owned(),
            None => "nothing".into(),
        }
    }
}

/// Three processes.
struct Real {
    nodes: [TestNode; 3],
    far: Place,
    published: [usize; 3],
    is_cut: bool,
    _network: Network,
}

impl Real {
    async fn start(mesh: &TestMesh, manifest: &Path) -> Self {
        let mut network = Network::new();
        let places = NODES.map(|_| network.place());
        let nodes: [Up; 3] = std::array::from_fn(|n| mesh.node(NODES[n]).at(&places[n]));
        let nodes = Up::start_all(nodes).await;
        meet(&nodes.each_ref(), PATIENCE).await;
        nodes[LEDGER].apply(manifest).await.ok();
        for node in &nodes {
            node.sees_running("messages/ledger", &[&nodes[LEDGER]]).await;
        }
        let [_, _, far] = places;
        Self { nodes, far, published: [0; 3], is_cut: false, _network: network }
    }

    async fn does(&mut self, steps: &[Step]) {
        for step in steps {
            let (node, args) = match step {
                Put(node, key, value) => (
                    *node,
                    ["config", "put", "messages/ledger", &format!("{key}={value}")]
                        .map(str::to_owned),
                ),
                Delete(node, key) => {
                    (*node, ["config", "rm", "messages/ledger", key].map(str::to_owned))
                }
                Publish(node) => {
                    self.published[*node] += 1;
                    let text = format!("{}{}", NODES[*node], self.published[*node]);
                    (*node, ["publish", "notes.all", &text, "--durable"].map(str::to_owned))
                }
            };
            self.nodes[node].verb(args).await.ok();
            match step {
                Put(_, key, value) => self.is_known(node, key, value).await,
                Delete(_, key) => self.is_known(node, key, "deleted").await,
                Publish(_) => {}
            }
        }
    }

    /// Waits until all that `node` reaches know this of `key`: the next change of it is then a
    /// later one, and not one that was made at the same time.
    async fn is_known(&self, node: usize, key: &str, text: &str) {
        let reached = (0..3).filter(|other| !self.is_cut || (*other == FAR) == (node == FAR));
        for other in reached {
            eventually(&format!("{key} is {text}"), PATIENCE, async || {
                let now = self.history(other, key).await.current.map(|change| change.text());
                holds(now.as_deref() == Some(text), now)
            })
            .await;
        }
    }

    async fn history(&self, node: usize, key: &str) -> History {
        let path = format!("config/messages/ledger/{key}");
        self.nodes[node].verb(["history", &path, "--json"]).await.json()
    }

    async fn seen(&self) -> Result<Seen, String> {
        let mut seen = Seen::new();
        for (number, name) in NODES.iter().enumerate() {
            for key in KEYS {
                let history = self.history(number, key).await;
                let current = history.current.map_or("nothing".into(), |change| change.text());
                let lost: Vec<String> = history.lost.iter().map(Change::text).collect();
                seen.insert(format!("{key} on {name}"), key_seen(current, &lost));
            }
        }
        for (by, of) in [(0, FAR), (1, FAR), (FAR, 0), (FAR, 1)] {
            let standing = self.nodes[by].nodes().await.standing(self.nodes[of].id()).to_owned();
            seen.insert(format!("{} thinks of {}", NODES[by], NODES[of]), standing);
        }
        let called = self.nodes[LEDGER].call("messages/ledger", "entries", "1, 100").await;
        let text = called.map_err(|failure| failure.error)?;
        let list = text.trim_start_matches("ok([").trim_end_matches("])");
        let texts = list.split(", ").filter_map(|entry| entry.trim_matches('"').split(' ').nth(2));
        handled(&mut seen, &texts.map(str::to_owned).collect::<Vec<_>>());
        Ok(seen)
    }
}

/// Of each publisher, what was handled in which order.
fn handled(seen: &mut Seen, texts: &[String]) {
    for name in NODES {
        let own = texts.iter().filter(|text| text.starts_with(name));
        let own: Vec<&str> = own.map(String::as_str).collect();
        seen.insert(format!("messages of {name}"), own.join(" "));
    }
}

/// Three simulated nodes.
struct Simulated {
    mesh: Lattice,
    happened: Vec<(usize, Happening)>,
    cuts: Vec<u64>,
}

impl Simulated {
    fn start(manifest: &Path) -> Self {
        let node =
            |name| format!("[[nodes]]\ngroup = \"{name}\"\nlabels = {{ name = \"{name}\" }}\n");
        let nodes: String = NODES.map(node).concat();
        let text = format!(
            "name = \"three\"\nrun = \"10min\"\n{nodes}[[app]]\nmanifest = \"m\"\non = \"a\"\n"
        );
        let read = |_: &str| {
            let text = std::fs::read_to_string(manifest).map_err(|error| error.to_string())?;
            Ok(("m".to_string(), text))
        };
        let scenario = Scenario::parse("three", &text, &read).unwrap();
        let mut mesh = Lattice::new(1, &scenario.nodes, scenario.usual, Settings::default());
        (0..3).for_each(|node| mesh.start(node));
        let mut simulated = Self { mesh, happened: Vec::new(), cuts: Vec::new() };
        simulated.passes(20);
        let app = scenario.apps[0].app.clone();
        let key = RecordKey::App(app.name.clone());
        assert!(simulated.mesh.edit(LEDGER, key, RecordBody::App(Box::new(app))));
        simulated.passes(20);
        let running = simulated.mesh.running(LEDGER);
        assert!(running.contains(&"messages/ledger".parse().unwrap()), "{running:?}");
        simulated
    }

    fn passes(&mut self, seconds: u64) {
        let end = self.mesh.now().plus(Duration::from_secs(seconds));
        self.mesh.run_until(end);
        let seen = self.mesh.take_seen();
        self.happened.extend(seen.into_iter().map(|event| (event.node, event.what)));
    }

    fn cut(&mut self) {
        let sides = || (NodeSet::of([FAR]), NodeSet::of((0..3).filter(|node| *node != FAR)));
        let ((far, near), (from, to)) = (sides(), sides());
        self.cuts = vec![self.mesh.block(far, near), self.mesh.block(to, from)];
    }

    fn heal(&mut self) {
        self.cuts.drain(..).for_each(|cut| self.mesh.undo(cut));
    }

    fn does(&mut self, steps: &[Step]) {
        for step in steps {
            let taken = match step {
                Put(node, name, value) => {
                    let value = (*value).to_owned();
                    self.mesh.edit(*node, key(name), RecordBody::Config(Config { value }))
                }
                Delete(node, name) => self.mesh.edit(*node, key(name), RecordBody::Tombstone),
                Publish(node) => self.mesh.publish(*node, &"notes.all".parse().unwrap(), 2),
            };
            assert!(taken, "{step:?}");
            self.passes(1);
        }
    }

    fn seen(&self) -> Seen {
        let mut seen = Seen::new();
        let text = |record: &Record| match &record.body {
            RecordBody::Config(Config { value }) => value.clone(),
            RecordBody::Tombstone => "deleted".into(),
            other => panic!("{other:?}"),
        };
        for (number, name) in NODES.iter().enumerate() {
            for one in KEYS {
                let current = self.mesh.record(number, &key(one)).map_or("nothing".into(), text);
                let lost = self.mesh.lost(number, &key(one)).into_iter().map(text);
                let lost: Vec<String> = lost.collect();
                seen.insert(format!("{one} on {name}"), key_seen(current, &lost));
            }
        }
        for (by, of) in [(0, FAR), (1, FAR), (FAR, 0), (FAR, 1)] {
            let standing = self.mesh.standing(by, of).map_or("unknown", |one| one.name());
            seen.insert(format!("{} thinks of {}", NODES[by], NODES[of]), standing.into());
        }
        handled(&mut seen, &self.handled());
        seen
    }

    /// What the subscriber was given, by the names that the publishers' own order gives.
    fn handled(&self) -> Vec<String> {
        let published = |of: &Happening| match of {
            Happening::Published { id, .. } => Some(*id),
            _ => None,
        };
        let published: Vec<_> =
            self.happened.iter().filter_map(|(_, what)| published(what)).collect();
        let given = self.happened.iter().filter_map(|(node, what)| match what {
            Happening::Handled { id, .. } => Some((*node, *id)),
            _ => None,
        });
        let named = given.map(|(node, id)| {
            assert_eq!(node, LEDGER);
            let publisher = self.mesh.number_of(id.publisher).unwrap();
            let mut own = published.iter().filter(|other| other.publisher == id.publisher);
            let at = own.position(|other| *other == id).unwrap();
            format!("{}{}", NODES[publisher], at + 1)
        });
        named.collect()
    }
}

/// What is seen before, during and after the simulated cut. On a thread of its own: a simulated
/// node's gossip has a runtime with a clock of its own, and none can be run inside of another.
fn rehearse(manifest: PathBuf) -> [Seen; 3] {
    let rehearsal = std::thread::spawn(move || {
        let mut simulated = Simulated::start(&manifest);
        simulated.does(&BEFORE);
        simulated.passes(10);
        let together = simulated.seen();
        simulated.cut();
        simulated.passes(60);
        simulated.does(&DURING);
        simulated.passes(30);
        let cut = simulated.seen();
        simulated.heal();
        simulated.passes(90);
        [together, cut, simulated.seen()]
    });
    rehearsal.join().unwrap()
}

fn key(name: &str) -> RecordKey {
    RecordKey::Config(format!("messages/ledger/{name}").parse().unwrap())
}

/// Waits until the real mesh shows what the simulated one does, and prints both.
async fn same(when: &str, real: &Real, simulated: &Seen) {
    let mut last = Seen::new();
    eventually("both are the same", PATIENCE, async || {
        last = real.seen().await?;
        if last == *simulated { Ok(()) } else { Err(side_by_side(when, &last, simulated)) }
    })
    .await;
    println!("{}", side_by_side(when, &last, simulated));
}

fn side_by_side(when: &str, real: &Seen, simulated: &Seen) -> String {
    let none = String::new();
    let mut text = format!("\n{when:<16} | {:<32} | rehearsed\n", "real");
    for what in simulated.keys() {
        let (one, other) = (real.get(what).unwrap_or(&none), &simulated[what]);
        let mark = if one == other { "" } else { "   <--" };
        text += &format!("{what:<16} | {one:<32} | {other}{mark}\n");
    }
    text
}

#[tokio::test]
async fn a_cut_ends_as_it_was_rehearsed() {
    if !networks("a_cut_ends_as_it_was_rehearsed") {
        return;
    }
    let mesh = TestMesh::new().await;
    let manifest = ManifestText::of_example("messages")
        .on("component.ledger", NODES[LEDGER])
        .on("component.announcer", NODES[LEDGER])
        .on("provider.book", NODES[LEDGER]);
    let manifest = manifest.write(&mesh, "messages.toml").await;

    let [together, cut, healed] = rehearse(manifest.clone());
    let mut real = Real::start(&mesh, &manifest).await;
    real.does(&BEFORE).await;
    same("together", &real, &together).await;
    real.far.unplug();
    real.is_cut = true;
    real.does(&DURING).await;
    same("cut", &real, &cut).await;
    real.far.plug();
    same("healed", &real, &healed).await;

    // And that is what it should be, not only the same twice.
    assert_eq!((&*cut["fought on a"], &*cut["fought on c"]), ("blue", "red"));
    assert_eq!(cut["messages of c"], "c1");
    for name in NODES {
        assert_eq!(healed[&format!("fought on {name}")], "red (lost: blue)");
        assert_eq!(healed[&format!("gone on {name}")], "deleted");
        assert_eq!(healed[&format!("revived on {name}")], "again (lost: deleted)");
        assert_eq!(healed[&format!("buried on {name}")], "deleted (lost: edited)");
        assert_eq!(healed[&format!("main on {name}")], "two");
        assert_eq!(healed[&format!("far on {name}")], "two");
    }
    assert_eq!(healed["messages of a"], "a1 a2 a3");
    assert_eq!(healed["messages of b"], "b1 b2 b3");
    assert_eq!(healed["messages of c"], "c1 c2 c3 c4 c5");
    assert_eq!(healed["a thinks of c"], "alive");
}
