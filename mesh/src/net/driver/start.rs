//! Puts a mesh node together.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::Multiaddr;
use libp2p::swarm::{Config as SwarmConfig, Swarm, SwarmEvent};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::belonging::Belonging;
use super::cells::Abroad;
use super::census::Census;
use super::connections::Connections;
use super::dialling::Dialling;
use super::introducing::Introducing;
use super::probing::Probing;
use super::renewing::Renewing;
use super::{Driver, Inputs};
use crate::core::mux;
use crate::core::redial::{Accounts, Source, Target};
use crate::core::time::Time;
use crate::net::admission::Door;
use crate::net::artifact::Onward;
use crate::net::behaviour::Behaviour;
use crate::net::calls::LinkConfig;
use crate::net::cells::Met;
use crate::net::config::{HostDirectory, MeshConfig};
use crate::net::control::Inbound;
use crate::net::discovery::{self, HostFiles, PeersFile, canonical};
use crate::net::error::MeshError;
use crate::net::gossip::{Gossip, Speaker};
use crate::net::mesh::Inner;
use crate::net::metrics::Metrics;
use crate::net::peers::Peers;
use crate::net::records;
use crate::net::relay::Relays;
use crate::net::roster::Roster;
use crate::net::service::{RecordStore, Service};
use crate::net::statement::AboutFact;
use crate::net::transport;
use crate::net::view::View;

/// Messages of gossip that wait to be read.
const GOSSIP_QUEUE: usize = 256;

/// Messages of any other kind that wait to be taken in.
const QUEUE: usize = 128;

/// How long to wait until every listener has said where it listens.
const LISTEN_WAIT: Duration = Duration::from_secs(1);

/// A connection without streams is closed after so long.
const IDLE: Duration = Duration::from_secs(30);

/// Starts everything.
pub(in crate::net) async fn start(
    config: MeshConfig,
    store: Arc<dyn RecordStore>,
    service: Arc<dyn Service>,
) -> Result<Inner, MeshError> {
    let (node, mesh) = (config.node(), config.mesh());
    config.paper.verify(mesh, node, config.clock.now())?;
    if config.listen.is_empty() {
        return Err(MeshError::NoAddress);
    }
    if let Some(address) = config.advertise.iter().find(|address| canonical(address).is_none()) {
        let (address, why) = (address.clone(), "it is to be advertised, and can't be dialled");
        return Err(MeshError::Listen { address, why: why.into() });
    }
    let metrics = Arc::new(Metrics::default());
    let peers = Arc::new(Peers::new(metrics.clone()));
    let met = Arc::new(Met::new(config.cell()?));
    let signer = (config.key.clone(), config.clock);
    let relays = Arc::new(Relays::new(node, signer, &peers, &metrics));
    let host = host_files(&config)?;
    let roster = Arc::new(Roster::new(&config));
    let remembered = config.data.as_deref().map(|data| PeersFile::new(data, config.limits.nodes));
    let speaker = Arc::new(Speaker::new(config.key.clone(), config.clock, config.data.as_deref()));

    let (gossip_in, gossip_inbox) = mpsc::channel(GOSSIP_QUEUE);
    let (says, said_here) = mpsc::channel(QUEUE);
    let (heard_in, heard) = mpsc::channel(QUEUE);
    let (driver_in, said) = mpsc::channel(QUEUE);
    let (records_in, records_inbox) = mpsc::channel(QUEUE);
    let (hints_in, hints) = mpsc::channel(QUEUE);
    let (commands_in, commands) = mpsc::channel(QUEUE);

    let inbound = Inbound {
        gossip: gossip_in,
        records: records_in,
        driver: driver_in,
        metrics: metrics.clone(),
    };
    let known = remembered.as_ref().map(PeersFile::read).unwrap_or_default();
    let (about, about_changes) =
        watch::channel(AboutFact { about: config.about.clone(), addresses: Vec::new() });
    let about = Arc::new(about);
    let mut driver = Driver {
        node,
        swarm: swarm(&config, &met, &roster, &metrics)?,
        started: Instant::now(),
        rng: SmallRng::from_os_rng(),
        peers: peers.clone(),
        metrics: metrics.clone(),
        link_config: link_config(&config, &service, &relays, &roster, &metrics),
        onward: Onward { me: node, commands: commands_in.downgrade(), metrics: metrics.clone() },
        inbound,
        connections: Connections::default(),
        dialling: Dialling::new(node),
        census: Census::new(
            node,
            met.clone(),
            Time::ZERO,
            metrics.clone(),
            known.iter().map(|(n, _)| *n),
        ),
        streams: JoinSet::new(),
        says,
        speaker: speaker.clone(),
        about: about.clone(),
        listening: watch::channel(Vec::new()).0,
        reachable: watch::channel(Vec::new()).0,
        view: watch::channel(Arc::new(View::default())).0,
        remember: watch::channel(Vec::new()).0,
        ticked: Time::ZERO,
        accounts: Accounts::new(config.timing.peers),
        probing: Probing::new(config.timing.ping),
        introducing: Introducing::default(),
        abroad: Abroad::new(node, met.own().clone()),
        met,
        belonging: Belonging::default(),
        renewing: Renewing::new(node),
        roster: roster.clone(),
        config,
    };
    // Before anybody can knock: who was revoked stands in the records.
    let config = &driver.config;
    let plane = records::start(
        config,
        roster.clone(),
        store,
        peers.clone(),
        metrics.clone(),
        records_inbox,
    );
    let (records, puts) = plane.await?;
    driver.abroad.attach(records.clone(), puts.clone());
    driver.listen().await?;
    driver.first_hints(known);

    let config = &driver.config;
    let met = driver.met.clone();
    let gossip =
        Gossip::new(config, met, peers.clone(), metrics.clone(), gossip_inbox, said_here, heard_in);
    let chitchat = gossip.start().await?;
    tokio::spawn(gossip.run(chitchat));
    if let Some(files) = host {
        let (addresses, interval) = (driver.reachable.subscribe(), config.timing.host_directory);
        tokio::spawn(discovery::watch_host(files, addresses, hints_in.clone(), interval));
    }
    if let Some(file) = remembered {
        tokio::spawn(discovery::remember(file, driver.remember.subscribe()));
    }
    let timing = config.timing.clone();
    driver.say_about();
    driver.publish();

    let inner = Inner {
        node,
        mesh,
        timing,
        peers,
        metrics,
        service,
        relays,
        speaker,
        commands: commands_in,
        puts,
        about,
        listening: driver.listening.subscribe(),
        view: driver.view.subscribe(),
        records,
        leaving: AtomicBool::new(false),
        roster,
    };
    // The sender stays alive in the driver: without discovery nobody else holds one.
    let inputs = Inputs { commands, said, hints, heard, about: about_changes, _hints: hints_in };
    tokio::spawn(driver.run(inputs));
    Ok(inner)
}

/// The host-local directory. A machine where the usual place can't be used does without; a place
/// that somebody named has to be good.
fn host_files(config: &MeshConfig) -> Result<Option<HostFiles>, MeshError> {
    let place = &config.host_directory;
    match HostFiles::open(place, config.mesh(), config.node()) {
        Err(error) if *place == HostDirectory::Default => {
            tracing::warn!(%error, "nodes on this machine won't find each other by themselves");
            Ok(None)
        }
        opened => opened,
    }
}

fn swarm(
    config: &MeshConfig,
    met: &Arc<Met>,
    roster: &Arc<Roster>,
    metrics: &Arc<Metrics>,
) -> Result<Swarm<Behaviour>, MeshError> {
    let keypair = transport::keypair(&config.key)?;
    let door = Door {
        me: config.node(),
        mesh: config.mesh(),
        roster: roster.clone(),
        met: met.clone(),
        clock: config.clock,
        timeout: config.timing.admission,
        metrics: metrics.clone(),
        audit: config.audit.clone(),
        logged: Mutex::default(),
    };
    let transport = transport::build(&keypair, &config.timing, Arc::new(door));
    let behaviour = Behaviour::new(&keypair, config, metrics);
    let settings = SwarmConfig::with_tokio_executor().with_idle_connection_timeout(IDLE);
    let peer = keypair.public().to_peer_id();
    let mut swarm = Swarm::new(transport, behaviour, peer, settings);
    for address in &config.advertise {
        swarm.add_external_address(address.clone());
    }
    Ok(swarm)
}

fn link_config(
    config: &MeshConfig,
    service: &Arc<dyn Service>,
    relays: &Arc<Relays>,
    roster: &Arc<Roster>,
    metrics: &Arc<Metrics>,
) -> LinkConfig {
    let limits = &config.limits;
    LinkConfig {
        limits: mux::Limits { calls: limits.calls, queued_bytes: limits.outgoing_bytes },
        held_bytes: limits.held_bytes,
        service: service.clone(),
        relays: relays.clone(),
        roster: roster.clone(),
        metrics: metrics.clone(),
    }
}

impl Driver {
    /// Listens everywhere it should, or says where it can't.
    async fn listen(&mut self) -> Result<(), MeshError> {
        let mut refusal = None;
        let mut waiting = Vec::new();
        for address in self.config.listen.clone() {
            match self.swarm.listen_on(address.clone()) {
                Ok(listener) => waiting.push(listener),
                Err(error) => {
                    // libp2p wraps the cause too often to find it by type.
                    let why = format!("{error:?}");
                    if why.contains("AddrInUse") {
                        return Err(MeshError::PortInUse { address });
                    }
                    tracing::warn!(%address, %error, "can't listen there");
                    refusal = Some(MeshError::Listen { address, why: cause(&error) });
                }
            }
        }
        // A machine without IPv6 is no reason to stay away.
        if let (true, Some(refusal)) = (waiting.is_empty(), refusal) {
            return Err(refusal);
        }
        let all_said = async {
            while !waiting.is_empty() {
                let event = self.swarm.select_next_some().await;
                if let SwarmEvent::NewListenAddr { listener_id, .. } = &event {
                    waiting.retain(|listener| listener != listener_id);
                }
                self.on_swarm_event(event);
            }
        };
        // An interface may have no address yet.
        let _ = tokio::time::timeout(LISTEN_WAIT, all_said).await;
        Ok(())
    }

    fn first_hints(&mut self, remembered: Vec<(wattle_contracts::id::NodeId, Vec<Multiaddr>)>) {
        let now = self.now();
        for (node, addresses) in remembered {
            self.dialling.hint(now, Target::Node(node), &addresses, Source::Remembered);
        }
        for target in self.config.join.clone() {
            self.dialling.hint(now, Target::Address(target.to_string()), &[], Source::Flag);
        }
    }
}

/// The innermost reason, which is the one that helps.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
