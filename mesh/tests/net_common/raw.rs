//! A peer made by hand: QUIC and libp2p's negotiation, and whatever a test wants to say.

use std::future::poll_fn;
use std::io;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::core::Endpoint;
use libp2p::core::muxing::StreamMuxerExt as _;
use libp2p::core::transport::{DialOpts, ListenerId, PortUse, Transport as _, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::{PeerId, quic};
use tokio::sync::{mpsc, oneshot};
use wattle_contracts::id::{CellName, MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::Paper;
use wattle_contracts::wire::{self, Greeting, Hello, Knock};
use wattle_mesh::net::{Mesh, Multiaddr};

pub struct Raw {
    pub node: NodeId,
    connection: quic::Connection,
}

impl Raw {
    pub fn key(number: u8) -> SigningKey {
        SigningKey::from_seed([number; 32]).unwrap()
    }

    pub fn id(number: u8) -> NodeId {
        NodeId::from_bytes(Self::key(number).public())
    }

    /// Connects, and has said nothing yet.
    pub async fn connect(number: u8, to: &Mesh) -> Self {
        Self::connect_at(number, to.listen_addresses()[0].clone()).await
    }

    pub async fn connect_at(number: u8, address: Multiaddr) -> Self {
        let keypair = Keypair::ed25519_from_bytes([number; 32]).unwrap();
        let mut transport = quic::tokio::Transport::new(quic::Config::new(&keypair));
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = transport.dial(address, options).unwrap();
        let (_, connection) = dial.await.unwrap();
        Self { node: Self::id(number), connection }
    }

    /// Connects, and is admitted.
    pub async fn admitted(number: u8, to: &Mesh, paper: Paper) -> Self {
        let mut raw = Self::connect(number, to).await;
        let (mut door, answer) = raw.show(paper.body.mesh, to.node_id(), hello(paper)).await;
        assert!(matches!(answer, Greeting::Hello(_)), "{answer:?}");
        say(&mut door, &Greeting::Admitted).await.unwrap();
        raw
    }

    /// Knocks at the node `to` as one who knows `mesh`, and if that is answered in kind, shows
    /// `hello`. What was said last, and the stream.
    pub async fn show(
        &mut self,
        mesh: MeshId,
        to: NodeId,
        hello: Hello,
    ) -> (quic::Stream, Greeting) {
        let mut door = self.open().await;
        say(&mut door, &Greeting::Knock(Knock::new(mesh, self.node, to))).await.unwrap();
        let mut answer: Greeting = hear(&mut door).await.unwrap();
        if let Greeting::Knock(theirs) = answer {
            assert!(theirs.is_of(mesh, to, self.node));
            say(&mut door, &Greeting::Hello(Box::new(hello))).await.unwrap();
            answer = hear(&mut door).await.unwrap();
        }
        (door, answer)
    }

    /// The same, and expects to be refused, for this reason.
    pub async fn expect_refused(mut self, mesh: MeshId, to: NodeId, hello: Hello, why: &str) {
        match self.show(mesh, to, hello).await.1 {
            Greeting::Refused { reason } => assert!(reason.contains(why), "{reason}"),
            other => panic!("{other:?}, where refused was expected: {why}"),
        }
    }

    /// A substream of which nothing is negotiated.
    pub async fn open(&mut self) -> quic::Stream {
        poll_fn(|cx| self.connection.poll_outbound_unpin(cx)).await.unwrap()
    }

    /// A substream for `protocol` (multistream-select 1.0).
    pub async fn open_for(&mut self, protocol: &str) -> quic::Stream {
        let mut stream = self.open().await;
        let line = |text: &str| [&[text.len() as u8 + 1], text.as_bytes(), b"\n"].concat();
        let expected = [line("/multistream/1.0.0"), line(protocol)].concat();
        stream.write_all(&expected).await.unwrap();
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, expected);
        stream
    }

    /// Waits until the other side has closed the connection. It never opens a stream before.
    pub async fn until_closed(&mut self) {
        let opened = poll_fn(|cx| self.connection.poll_inbound_unpin(cx)).await;
        assert!(opened.is_err(), "it opened a stream");
    }
}

/// Somebody who is dialled.
pub struct Host {
    pub node: NodeId,
    pub address: Multiaddr,
    /// Who has connected.
    came: mpsc::Receiver<(PeerId, quic::Connection)>,
}

impl Host {
    pub async fn listen(number: u8) -> Self {
        let keypair = Keypair::ed25519_from_bytes([number; 32]).unwrap();
        let mut transport = quic::tokio::Transport::new(quic::Config::new(&keypair)).boxed();
        let at = "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap();
        transport.listen_on(ListenerId::next(), at).unwrap();
        let (said, listens) = oneshot::channel();
        let (comes, came) = mpsc::channel(8);
        tokio::spawn(async move {
            let mut said = Some(said);
            loop {
                match poll_fn(|cx| std::pin::Pin::new(&mut transport).poll(cx)).await {
                    TransportEvent::NewAddress { listen_addr, .. } => {
                        let _ = said.take().map(|said| said.send(listen_addr));
                    }
                    TransportEvent::Incoming { upgrade, .. } => {
                        let comes = comes.clone();
                        tokio::spawn(async move {
                            if let Ok(connected) = upgrade.await {
                                let _ = comes.send(connected).await;
                            }
                        });
                    }
                    _ => {}
                }
            }
        });
        Self { node: Raw::id(number), address: listens.await.unwrap(), came }
    }

    /// The next one who connects, and the first stream that it opens.
    pub async fn next(&mut self) -> (NodeId, quic::Connection, quic::Stream) {
        let (peer, mut connection) = self.came.recv().await.unwrap();
        let node = NodeId::from_peer_id_bytes(&peer.to_bytes()).unwrap();
        let stream = poll_fn(|cx| connection.poll_inbound_unpin(cx)).await.unwrap();
        (node, connection, stream)
    }
}

pub fn hello(paper: Paper) -> Hello {
    Hello { paper, cell: CellName::default() }
}

/// All that comes on a stream until it ends, however it ends.
pub async fn rest(stream: &mut quic::Stream) -> Vec<u8> {
    let (mut came, mut part) = (Vec::new(), [0; 1024]);
    while let Ok(bytes @ 1..) = stream.read(&mut part).await {
        came.extend_from_slice(&part[..bytes]);
    }
    came
}

/// The bytes of a message, with its length before it.
pub fn framed<T: serde::Serialize>(message: &T) -> Vec<u8> {
    let body = wire::encode(message).unwrap();
    [(body.len() as u32).to_le_bytes().as_slice(), &body].concat()
}

pub async fn say<T: serde::Serialize>(stream: &mut quic::Stream, message: &T) -> io::Result<()> {
    stream.write_all(&framed(message)).await?;
    stream.flush().await
}

pub async fn hear<T: serde::de::DeserializeOwned>(stream: &mut quic::Stream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut body).await?;
    Ok(wire::decode(&body).unwrap())
}
