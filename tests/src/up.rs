//! How a node is started.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use crate::mesh::Site;
use crate::network::Place;
use crate::node::TestNode;
use crate::paths;
use crate::publisher::Publisher;
use crate::wire::Wire;

/// `wattle up` with the flags that tests give it: on loopback, on a port of the system's choice,
/// without multicast, in a host-local directory of the mesh's own.
#[derive(Debug, Clone)]
pub struct Up {
    site: Arc<Site>,
    name: String,
    data: PathBuf,
    /// What the first start needs and no later one.
    admission: Vec<OsString>,
    listen: Vec<OsString>,
    discovery: Vec<OsString>,
    trust: Vec<OsString>,
    more: Vec<OsString>,
    place: Option<Place>,
}

impl Up {
    pub(crate) fn new(site: Arc<Site>, name: &str) -> Self {
        let data = site.folder().join(name);
        let admission = vec!["--mesh-key".into(), site.mesh_key().into()];
        let publisher = site.publisher().clone();
        let up = Self {
            site,
            name: name.into(),
            data,
            admission,
            listen: vec!["--listen".into(), "127.0.0.1:0".into()],
            discovery: vec!["--no-mdns".into()],
            trust: Vec::new(),
            more: Vec::new(),
            place: None,
        };
        // By its label a node is known to have spoken, not only to be connected.
        up.trusting(&publisher).label("name", name)
    }

    /// Adds a label.
    #[must_use]
    pub fn label(self, key: &str, value: &str) -> Self {
        self.args(["--label", &format!("{key}={value}")])
    }

    /// Adds flags.
    #[must_use]
    pub fn args<I>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        self.more.extend(args.into_iter().map(Into::into));
        self
    }

    /// Serves HTTP.
    #[must_use]
    pub fn http(self) -> Self {
        self.args(["--http", "127.0.0.1:0"])
    }

    /// Keeps its data elsewhere.
    #[must_use]
    pub fn data(mut self, folder: PathBuf) -> Self {
        self.data = folder;
        self
    }

    /// Shows this paper instead of having the mesh's key.
    #[must_use]
    pub fn paper(mut self, paper: PathBuf) -> Self {
        self.admission = vec!["--paper".into(), paper.into()];
        self
    }

    /// Comes by an invitation instead of having the mesh's key.
    #[must_use]
    pub fn invited(mut self, token: &str) -> Self {
        self.admission = vec!["--invite".into(), token.into()];
        self
    }

    /// Makes a mesh of its own, for development.
    #[must_use]
    pub fn dev(mut self) -> Self {
        self.admission = vec!["--dev".into()];
        self.listen.clear();
        self
    }

    /// Trusts `publisher` alone.
    #[must_use]
    pub fn trusting(mut self, publisher: &Publisher) -> Self {
        self.trust = vec!["--trust".into(), publisher.public().into()];
        self
    }

    /// Trusts nobody.
    #[must_use]
    pub fn trusting_nobody(mut self) -> Self {
        self.trust.clear();
        self
    }

    /// Listens on `address`, and on nothing else.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = vec!["--listen".into(), address.to_string().into()];
        self
    }

    /// Listens behind `wire`, whose address the others are told.
    #[must_use]
    pub fn behind(self, wire: &Wire) -> Self {
        let outside = wire.outside().to_string();
        self.listen(wire.inside()).args(["--advertise", &outside])
    }

    /// Looks for others as `flags` say, in the place of [`Up`]'s own.
    #[must_use]
    pub fn discovery<I>(mut self, flags: I) -> Self
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        self.discovery = flags.into_iter().map(Into::into).collect();
        self
    }

    /// Runs in a place of a network of the test's own, which is a machine of its own: nothing is
    /// said of where to listen and where to look.
    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self.listen.clear();
        self.discovery.clear();
        self
    }

    /// Starts it, and waits until it answers.
    pub async fn start(self) -> TestNode {
        let mut node = TestNode::new(self);
        node.ready().await;
        node
    }

    /// Starts several at once.
    pub async fn start_all<const N: usize>(nodes: [Self; N]) -> [TestNode; N] {
        let mut nodes = nodes.map(TestNode::new);
        for node in &mut nodes {
            node.ready().await;
        }
        nodes
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn data_folder(&self) -> &PathBuf {
        &self.data
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.site.folder().join(format!("{}.log", self.name))
    }

    /// The command of the first start.
    pub(crate) fn first(&self) -> Command {
        let mut command = self.again();
        command.args(&self.admission);
        command
    }

    /// The command of a later start: with the same flags, but nothing about admission.
    pub(crate) fn again(&self) -> Command {
        let mut command = self.bare();
        for flags in [&self.listen, &self.discovery, &self.trust, &self.more] {
            command.args(flags);
        }
        command
    }

    /// The command without any flag but the one that names the data folder.
    pub(crate) fn bare(&self) -> Command {
        let wattle = paths::wattle();
        let mut command = match &self.place {
            Some(place) => place.command(&wattle),
            None => Command::new(wattle),
        };
        command.arg("up").arg("--data").arg(&self.data);
        // Where nodes on one machine find each other when nothing is said.
        let machine = match self.place {
            Some(_) => format!("run-{}", self.name),
            None => "run".into(),
        };
        command.env("XDG_RUNTIME_DIR", self.site.folder().join(machine));
        // What the person who runs the tests has set is not to change them.
        command.env_remove("WATTLE_LOG").env_remove("WATTLE_DATA");
        command
    }
}
