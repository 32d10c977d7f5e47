//! A peer made by hand: QUIC and libp2p's negotiation, and whatever a test wants to say.

use std::future::poll_fn;
use std::io;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::core::Endpoint;
use libp2p::core::muxing::StreamMuxerExt as _;
use libp2p::core::transport::{DialOpts, PortUse, Transport as _};
use libp2p::identity::{Keypair, PublicKey};
use libp2p::quic;
use wattle_contracts::id::{CellName, MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::Paper;
use wattle_contracts::wire::{self, Hello, Knock, Verdict};
use wattle_mesh::net::{Mesh, Multiaddr};

pub struct Raw {
    pub node: NodeId,
    /// Whom it has dialled.
    pub listener: NodeId,
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
        let (peer, connection) = dial.await.unwrap();
        let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).unwrap();
        let listener = NodeId::from_bytes(key.try_into_ed25519().unwrap().to_bytes());
        Self { node: Self::id(number), listener, connection }
    }

    /// Connects, and is admitted.
    pub async fn admitted(number: u8, to: &Mesh, paper: Paper) -> Self {
        let mut raw = Self::connect(number, to).await;
        let mut door = raw.knock(paper.body.mesh).await;
        say(&mut door, &hello(paper)).await.unwrap();
        assert_eq!(hear::<Verdict>(&mut door).await.unwrap(), Verdict::Admitted);
        let _theirs: Hello = hear(&mut door).await.unwrap();
        say(&mut door, &Verdict::Admitted).await.unwrap();
        raw
    }

    /// Knocks as one that knows `mesh`, and is answered by one that does.
    pub async fn knock(&mut self, mesh: MeshId) -> quic::Stream {
        let mut door = self.open().await;
        say(&mut door, &Knock::new(mesh, self.node, self.listener)).await.unwrap();
        assert_eq!(hear::<Verdict>(&mut door).await.unwrap(), Verdict::Admitted);
        let theirs: Knock = hear(&mut door).await.unwrap();
        assert!(theirs.is_of(mesh, self.listener, self.node));
        door
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

pub fn hello(paper: Paper) -> Hello {
    Hello { paper, cell: CellName::default() }
}

pub async fn say<T: serde::Serialize>(stream: &mut quic::Stream, message: &T) -> io::Result<()> {
    let body = wire::encode(message).unwrap();
    stream.write_all(&(body.len() as u32).to_le_bytes()).await?;
    stream.write_all(&body).await?;
    stream.flush().await
}

pub async fn hear<T: serde::de::DeserializeOwned>(stream: &mut quic::Stream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut body).await?;
    Ok(wire::decode(&body).unwrap())
}
