//! How one node's connections are set up: its certificate, QUIC's knobs, and where its randomness
//! comes from.
//!
//! A certificate is signed with the node's own Ed25519 key, so its length, and that of what is
//! signed in a handshake, is always the same. The keys that rustls draws for a connection are
//! random; no length and no time depends on them. What QUIC itself draws comes from a seed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, ServerConfig,
    TransportConfig, ValidationTokenConfig, VarInt,
};
use rand::RngCore as _;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use ring::{hkdf, hmac};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_mesh::net::Timing;

use crate::rng::Seeded;

/// As `mesh::net::transport` sets them: streams that a peer may have open, and bytes in flight on
/// one stream and on all of a connection.
const MAX_STREAMS: u32 = 64;
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// An Ed25519 key of 32 bytes in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
/// An Ed25519 public key in a certificate (RFC 8410, section 4).
const PUBLIC: [u8; 12] = [48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0];

/// What a node shows whom it is connected to, and how.
pub(super) struct Papers {
    client: Arc<QuicClientConfig>,
    server: Arc<QuicServerConfig>,
    transport: Arc<TransportConfig>,
    secret: [u8; 32],
}

impl fmt::Debug for Papers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Papers")
    }
}

impl Papers {
    pub(super) fn new(key: &SigningKey, timing: &Timing) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let secret = PrivatePkcs8KeyDer::from([PKCS8.as_slice(), key.seed()].concat());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&secret, &PKCS_ED25519)?;
        let certificate = CertificateParams::default().self_signed(&pair)?.der().clone();
        let signatures = Arc::new(Anybody(Arc::clone(&provider)));
        let mut client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(signatures.clone())
            .with_client_auth_cert(vec![certificate.clone()], secret.clone_key().into())?;
        client.resumption = rustls::client::Resumption::disabled();
        client.alpn_protocols = vec![b"libp2p".to_vec()];
        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(signatures)
            .with_single_cert(vec![certificate], secret.into())?;
        server.send_tls13_tickets = 0;
        server.alpn_protocols = vec![b"libp2p".to_vec()];
        Ok(Self {
            client: Arc::new(client.try_into()?),
            server: Arc::new(server.try_into()?),
            transport: Arc::new(transport(timing)?),
            secret: *key.seed(),
        })
    }

    /// How this node dials.
    pub(super) fn dialling(&self, seed: u64) -> ClientConfig {
        let mut config = ClientConfig::new(self.client.clone());
        config.transport_config(Arc::clone(&self.transport));
        let ids = Mutex::new(Ids(Seeded::new(seed)));
        config.initial_dst_cid_provider(Arc::new(move || {
            ids.lock().unwrap_or_else(PoisonError::into_inner).generate_cid()
        }));
        config
    }

    /// The end of the network at this node, when it has just been started.
    pub(super) fn endpoint(&self, rng: &mut Seeded) -> Endpoint {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]);
        let mut server =
            ServerConfig::new(self.server.clone(), Arc::new(salt.extract(&self.secret)));
        server.transport_config(Arc::clone(&self.transport)).migration(false);
        let mut tokens = ValidationTokenConfig::default();
        tokens.sent(0);
        server.validation_token_config(tokens);
        // As in libp2p, made from the node's key: who is back resets what it has forgotten.
        let reset = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let mut config = EndpointConfig::new(Arc::new(reset));
        let (mut seed, ids) = ([0; 32], rng.next_u64());
        rng.fill_bytes(&mut seed);
        config.rng_seed(Some(seed)).supported_versions(vec![1]);
        config.cid_generator(move || Box::new(Ids(Seeded::new(ids))));
        Endpoint::new(Arc::new(config), Some(Arc::new(server)), true, None)
    }
}

fn transport(timing: &Timing) -> anyhow::Result<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_uni_streams(0u32.into())
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(timing.keep_alive))
        .max_idle_timeout(Some(millis(timing.idle_timeout)?.into()))
        .allow_spin(false)
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into());
    Ok(config)
}

fn millis(time: Duration) -> anyhow::Result<VarInt> {
    Ok(VarInt::from_u32(u32::try_from(time.as_millis())?))
}

/// The node whose certificate this is.
pub(super) fn bearer(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let at = certificate.windows(PUBLIC.len()).position(|bytes| bytes == PUBLIC)?;
    let key = certificate.get(at + PUBLIC.len()..)?.first_chunk()?;
    Some(NodeId::from_bytes(*key))
}

/// Draws the ids by which an end knows its connections.
struct Ids(Seeded);

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.0.next_u64().to_le_bytes())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Lets in whoever has the key that belongs to the certificate: who that may be is asked later.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl Anybody {
    fn schemes() -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn is_signed(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }
}

/// QUIC is never below TLS 1.3.
fn too_old() -> rustls::Error {
    rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered)
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.is_signed(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.is_signed(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}
