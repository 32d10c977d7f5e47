//! TLS 1.3 (RFC 8446) for the API. The node's own key is the one of its certificate, and whoever
//! asks names the node that is to answer: so there is nobody else whom both have to trust, and
//! nothing that runs out.
//!
//! Nothing that the node signs elsewhere can be taken for a handshake: that starts with 64 spaces
//! and the protocol's own text (RFC 8446, section 4.4.3), everything of Wattle's with what it is
//! for ([`wattle_contracts::key::Purpose`]), and libp2p's with its own prefix.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
    UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, ServerConfig,
    SignatureScheme, version,
};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;

/// What stands before the seed of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What stands before an Ed25519 public key in a certificate (RFC 8410, section 4).
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const HTTP: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The side of the node whose key this is.
pub(super) fn server(key: &SigningKey) -> Result<ServerConfig> {
    let pkcs8 = PrivatePkcs8KeyDer::from([PKCS8.as_slice(), key.seed()].concat());
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519)
        .context("the node's key can't sign a certificate")?;
    let node = NodeId::from_bytes(key.public());
    let certificate = CertificateParams::new([node.to_string()])
        .and_then(|params| params.self_signed(&pair))
        .context("can't make the API's certificate")?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(pkcs8))
        .context("can't use the API's certificate")?;
    config.alpn_protocols = vec![HTTP.into()];
    // Each connection proves the key anew, and nothing can be sent before that.
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The side of whoever wants an answer of `node`, and of nobody else.
pub(super) fn client(node: NodeId) -> Result<ClientConfig, Error> {
    let provider = provider();
    let verifier = Pinned { node, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP.into()];
    Ok(config)
}

/// Takes the certificate of one node, by its key, and whoever can sign with that. Names, dates and
/// issuers in it say nothing that the key does not.
#[derive(Debug)]
struct Pinned {
    node: NodeId,
    provider: Arc<CryptoProvider>,
}

/// Another node answers than the one that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{theirs} answers there, and not node {ours}")]
struct AnotherNode {
    theirs: String,
    ours: NodeId,
}

impl Pinned {
    fn public(&self) -> Vec<u8> {
        [PUBLIC.as_slice(), self.node.as_bytes()].concat()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let public = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        if *public == *self.public() {
            return Ok(ServerCertVerified::assertion());
        }
        let key = public.strip_prefix(PUBLIC.as_slice());
        let theirs = match key.and_then(|key| <[u8; 32]>::try_from(key).ok()) {
            Some(key) => format!("node {}", NodeId::from_bytes(key)),
            None => "something that is no node".into(),
        };
        let why = OtherError(Arc::new(AnotherNode { theirs, ours: self.node }));
        Err(Error::InvalidCertificate(CertificateError::Other(why)))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 was not offered".into()))
    }

    /// That the other side has the private half, whatever its certificate says: it signs the whole
    /// handshake so far (RFC 8446, section 4.4.3).
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let public = SubjectPublicKeyInfoDer::from(self.public());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &public, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Why a handshake failed, for a person.
pub(super) fn why(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(CertificateError::Other(other))) => other.0.to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed([byte; 32]).unwrap()
    }

    fn id(byte: u8) -> NodeId {
        NodeId::from_bytes(key(byte).public())
    }

    /// What a client that wants node `wanted` and a server with this configuration say to each
    /// other.
    async fn meet(wanted: NodeId, server: ServerConfig) -> Result<Vec<u8>, String> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let answer = async {
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(far).await.ok()?;
            stream.write_all(b"hello").await.ok()?;
            stream.shutdown().await.ok()
        };
        let ask = async {
            let connector = TlsConnector::from(Arc::new(client(wanted).unwrap()));
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = connector.connect(name, near).await.map_err(|error| why(&error))?;
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.map_err(|error| error.to_string())?;
            Ok(said)
        };
        tokio::join!(answer, ask).1
    }

    #[tokio::test]
    async fn the_node_that_was_asked_for_answers_and_no_other() {
        let said = meet(id(1), server(&key(1)).unwrap()).await;
        assert_eq!(said.as_deref(), Ok(b"hello".as_slice()));
        let said = meet(id(2), server(&key(1)).unwrap()).await.unwrap_err();
        assert!(said.contains(&id(1).to_string()) && said.contains(&id(2).to_string()), "{said}");
    }

    #[tokio::test]
    async fn a_certificate_that_was_copied_is_worth_nothing_without_the_key() {
        // The certificate of node 1, as anybody who asks it is shown it, before the key of node 2.
        #[derive(Debug)]
        struct Copied(Arc<rustls::sign::CertifiedKey>);
        impl rustls::server::ResolvesServerCert for Copied {
            fn resolve(
                &self,
                _: rustls::server::ClientHello<'_>,
            ) -> Option<Arc<rustls::sign::CertifiedKey>> {
                Some(Arc::clone(&self.0))
            }
        }
        let pkcs8 = |byte| PrivatePkcs8KeyDer::from([PKCS8.as_slice(), key(byte).seed()].concat());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8(1), &PKCS_ED25519).unwrap();
        let shown = CertificateParams::new([String::new()]).unwrap().self_signed(&pair).unwrap();
        let stolen = rustls::crypto::ring::sign::any_eddsa_type(&pkcs8(2)).unwrap();
        let copied = rustls::sign::CertifiedKey::new(vec![shown.der().clone()], stolen);
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Copied(Arc::new(copied))));
        let said = meet(id(1), config).await.unwrap_err();
        assert!(said.to_lowercase().contains("signature"), "{said}");
    }

    #[tokio::test]
    async fn an_older_protocol_is_not_spoken() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let verifier = Pinned { node: id(1), provider: provider() };
        let old = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS12])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let (accepted, connected) = tokio::join!(
            TlsAcceptor::from(Arc::new(server(&key(1)).unwrap())).accept(far),
            TlsConnector::from(Arc::new(old)).connect(name, near),
        );
        assert!(accepted.is_err() && connected.is_err());
    }
}
