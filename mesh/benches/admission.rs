//! What the door costs: a QUIC handshake alone, and one after which both sides have knocked,
//! and shown and checked their papers, on one machine.
//!
//! `cargo bench -p wattle-mesh --bench admission -- [PAIRS]`. Both are measured in turn, a pair at a time, from
//! the first packet until the dialler is done; the medians and their ratio are printed. Nothing is
//! asserted of time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a measurement")]

#[path = "../tests/net_common/mod.rs"]
mod net_common;

use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};

use libp2p::core::muxing::StreamMuxerExt as _;
use libp2p::core::transport::{ListenerId, Transport as _, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, quic};
use net_common::raw::{Raw, hello, say};
use net_common::{World, start};
use tokio::sync::oneshot;
use wattle_contracts::id::{InviteKey, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::Labels;
use wattle_contracts::trust::{Invitation, InvitationBody, Invited, Paper, UnixMillis};
use wattle_contracts::wire::Greeting;
use wattle_mesh::net::{Mesh, WallClock};

/// Between two handshakes: the listener lets an address knock 33 times a second for long, and is
/// to be done with the one before.
const PAUSE: Duration = Duration::from_millis(75);

/// Who dials, and what with.
struct Dialler {
    number: u8,
    paper: Paper,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments = std::env::args().skip(1);
    let pairs: usize = arguments.filter_map(|argument| argument.parse().ok()).next().unwrap_or(200);
    let world = World::new();
    let listener = start(world.config(1)).await;
    let bare = listen_without_a_door().await;

    let now = WallClock::default().now();
    let issued = Paper::issue(&world.authority, Raw::id(2), now, None).unwrap();
    println!("QUIC handshake alone, with admission, and the ratio; medians of {pairs} pairs");
    measure(
        "a paper by the authority",
        &bare,
        &listener,
        Dialler { number: 2, paper: issued },
        pairs,
    )
    .await;
    let paper = invited(&world, Raw::id(3), now);
    measure("a paper by an invitation", &bare, &listener, Dialler { number: 3, paper }, pairs)
        .await;
}

async fn measure(what: &str, bare: &Multiaddr, listener: &Mesh, dialler: Dialler, pairs: usize) {
    let at = listener.listen_addresses()[0].clone();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..pairs {
        let begun = Instant::now();
        let connected = Raw::connect_at(dialler.number, bare.clone()).await;
        without.push(begun.elapsed());
        drop(connected);
        tokio::time::sleep(PAUSE).await;

        let begun = Instant::now();
        let mut connected = Raw::connect_at(dialler.number, at.clone()).await;
        show(&mut connected, &dialler.paper, listener.node_id()).await;
        with.push(begun.elapsed());
        drop(connected);
        tokio::time::sleep(PAUSE).await;
    }
    let (without, with) = (median(without), median(with));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    println!("{what}: {without:.2?}, {with:.2?}, {ratio:.2}x");
}

/// The dialler's side of the door, which checks the listener's paper as a node does.
async fn show(raw: &mut Raw, paper: &Paper, listener: NodeId) {
    let (mut door, answer) = raw.show(paper.body.mesh, listener, hello(paper.clone())).await;
    let Greeting::Hello(theirs) = answer else { panic!("{answer:?}") };
    theirs.paper.verify(paper.body.mesh, listener, WallClock::default().now()).unwrap();
    say(&mut door, &Greeting::Admitted).await.unwrap();
}

fn invited(world: &World, node: NodeId, now: UnixMillis) -> Paper {
    let key = SigningKey::from_seed([60; 32]).unwrap();
    let body = InvitationBody {
        mesh: world.mesh(),
        key: InviteKey::from_bytes(key.public()),
        invited: Invited::Node,
        labels: Labels::new(),
        uses: 1,
        issued: now,
        expires: now.plus(Duration::from_secs(3600)),
        papers: None,
    };
    let invitation = Invitation::sign(&world.authority, body).unwrap();
    Paper::by_invitation(invitation, &key, node, now).unwrap()
}

/// A listener that takes every connection and asks for nothing. Gives back where.
async fn listen_without_a_door() -> Multiaddr {
    let keypair = Keypair::ed25519_from_bytes([99; 32]).unwrap();
    let mut transport = quic::tokio::Transport::new(quic::Config::new(&keypair)).boxed();
    let at = "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap();
    transport.listen_on(ListenerId::next(), at).unwrap();
    let (said, listens) = oneshot::channel();
    let mut said = Some(said);
    tokio::spawn(async move {
        loop {
            match poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await {
                TransportEvent::NewAddress { listen_addr, .. } => {
                    let _ = said.take().map(|said| said.send(listen_addr));
                }
                // Held until the dialler closes it.
                TransportEvent::Incoming { upgrade, .. } => drop(tokio::spawn(async move {
                    let Ok((_, mut connection)) = upgrade.await else { return };
                    let _ = poll_fn(|cx| connection.poll_inbound_unpin(cx)).await;
                })),
                _ => {}
            }
        }
    });
    listens.await.unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
