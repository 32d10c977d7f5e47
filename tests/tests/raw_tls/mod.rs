//! HTTP over TLS, written by hand: what the command line would not say.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wattle_tests::wait::{PATIENCE, within};

/// Somebody who believes whatever answers.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
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
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// A connection to whoever answers at `at`.
pub(crate) async fn tls(at: SocketAddr) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    let stream = TcpStream::connect(at).await.unwrap();
    let name = ServerName::IpAddress(at.ip().into());
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// The status and the rest of an answer to a request with these lines.
pub(crate) async fn ask(at: SocketAddr, request: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut stream = tls(at).await;
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let text = format!("{request} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    answer(&mut stream).await
}

/// All that is answered.
pub(crate) async fn answer(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> (u16, String) {
    let mut said = Vec::new();
    // Whoever closes without a goodbye has said what there is all the same.
    let _ = within("the answer", PATIENCE, stream.read_to_end(&mut said)).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    let status = said.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {said:?}")), said)
}

/// The same with the header `Host` that is right, and a token.
pub(crate) async fn ask_with(at: SocketAddr, request: &str, token: &str) -> (u16, String) {
    let (host, bearer) = (at.to_string(), format!("Bearer {token}"));
    ask(at, request, &[("host", &host), ("authorization", &bearer)]).await
}
