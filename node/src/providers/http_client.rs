//! `wasi:http/outgoing-handler`: requests of components to hosts outside the mesh.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{HeaderMap, HeaderName, Request, Response, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use wattle_contracts::record::host_matches;
use wattle_runtime::{HttpBody, HttpOutError, HttpTimeouts};

/// How long connecting may take, where the component does not say less.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(60);

/// Fields of one connection.
static ONE_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Sends requests out of the mesh. Trusts the certificate authorities that this machine trusts.
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, HttpBody>,
}

impl HttpClient {
    pub(crate) fn new() -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let mut authorities = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        if authorities.add_parsable_certificates(found.certs).0 == 0 {
            tracing::info!("this machine trusts no certificate authority: https is out of reach");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("can't set up TLS for outgoing requests")?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector);
        Ok(Self { client })
    }

    /// Sends `request` if one of `hosts` allows it, and returns the head of the response with a
    /// body that is still arriving.
    pub(crate) async fn send(
        &self,
        mut request: Request<HttpBody>,
        hosts: &[String],
        timeouts: HttpTimeouts,
    ) -> Result<Response<HttpBody>, HttpOutError> {
        if !hosts.iter().any(|pattern| allows(pattern, request.uri())) {
            return Err(HttpOutError::Denied);
        }
        // What was allowed is where it goes: another host must not stand in its head. The client writes it.
        request.headers_mut().remove(header::HOST);
        of_one_hop(request.headers_mut());
        let wait = timeouts.connect.unwrap_or(CONNECT).min(CONNECT)
            + timeouts.first_byte.unwrap_or(Duration::from_secs(600));
        let response = tokio::time::timeout(wait, self.client.request(request))
            .await
            .map_err(|_| HttpOutError::ResponseTimeout)?
            .map_err(|error| explain(&error))?;
        let mut response = response.map(HttpBody::new);
        of_one_hop(response.headers_mut());
        Ok(response)
    }
}

/// Takes out what is meant for one connection only (RFC 9110, section 7.6.1), which a member could have
/// written by hand.
fn of_one_hop(headers: &mut HeaderMap) {
    let named = headers.get_all(header::CONNECTION).iter();
    let named: Vec<HeaderName> = named
        .filter_map(|names| names.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&ONE_HOP) {
        headers.remove(name);
    }
}

/// Whether a pattern of a manifest allows this target.
pub(crate) fn allows(pattern: &str, uri: &Uri) -> bool {
    let Some((host, port, usual)) = destination(uri) else { return false };
    host_matches(pattern, host, port, usual)
}

/// Where a request goes: the host, the port, and the port that its scheme has where none is named.
pub(crate) fn destination(uri: &Uri) -> Option<(&str, u16, u16)> {
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Some((uri.host()?, uri.port_u16().unwrap_or(usual), usual))
}

/// The nearest error code of `wasi:http` for a failure of the client.
fn explain(error: &hyper_util::client::legacy::Error) -> HttpOutError {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return HttpOutError::Refused,
                std::io::ErrorKind::TimedOut => return HttpOutError::ConnectTimeout,
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof => {
                    return HttpOutError::Terminated;
                }
                _ if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                    return HttpOutError::Tls;
                }
                _ => {}
            }
        }
        if current.is::<rustls::Error>() {
            return HttpOutError::Tls;
        }
        if let Some(hyper) = current.downcast_ref::<hyper::Error>() {
            if hyper.is_parse() {
                return HttpOutError::Protocol;
            }
            if hyper.is_incomplete_message() || hyper.is_canceled() {
                return HttpOutError::Terminated;
            }
        }
        // hyper-util does not make the type of a failed look-up public, only its words.
        if current.to_string().contains("dns error") {
            let reason = current.source().map_or_else(|| current.to_string(), ToString::to_string);
            return HttpOutError::Dns(reason);
        }
        cause = current.source();
    }
    match error.is_connect() {
        true => HttpOutError::Unavailable,
        false => HttpOutError::Internal(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_allows_what_it_names() {
        let allowed = |pattern: &str, uri: &str| allows(pattern, &uri.parse().unwrap());
        assert!(allowed("api.example", "https://api.example/x"));
        assert!(allowed("API.example", "http://api.example/"));
        assert!(!allowed("api.example", "http://api.example:8080/"));
        assert!(allowed("api.example:8080", "http://api.example:8080/"));
        assert!(!allowed("example", "http://api.example/"));
        assert!(allowed("*.example", "http://api.example/"));
        assert!(!allowed("*.example", "http://example/"));
        assert!(!allowed("*.example", "http://apiexample/"));
        assert!(allowed("*", "http://any:1234/"));
        assert!(!allowed("*:80", "http://any:1234/"));
        assert!(!allowed("*", "/no-host"));
        assert!(allowed("api.example", "https://api.example:443/"));
    }

    #[tokio::test]
    async fn what_is_sent_names_the_host_that_was_allowed_and_nothing_of_another_connection() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer =
                "HTTP/1.1 204 No Content\r\nconnection: x-hop\r\nx-hop: 1\r\nx-end: 2\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap().to_lowercase()
        });
        let request = Request::builder()
            .uri(format!("http://{address}/"))
            .header("host", "intranet.example")
            .header("connection", "close, x-secret")
            .header("x-secret", "1")
            .header("upgrade", "websocket")
            .header("x-kept", "2")
            .body(HttpBody::empty())
            .unwrap();
        let client = HttpClient::new().unwrap();
        let hosts = vec!["*".to_owned()];
        let response = client.send(request, &hosts, HttpTimeouts::default()).await.ok().unwrap();
        let head = server.await.unwrap();
        assert!(head.contains(&format!("host: {address}")), "{head}");
        assert!(head.contains("x-kept: 2"), "{head}");
        for gone in ["intranet", "x-secret", "websocket", "close"] {
            assert!(!head.contains(gone), "{gone} in {head}");
        }
        assert_eq!(response.headers().get("x-end").unwrap(), "2");
        assert!(response.headers().get("x-hop").is_none());
    }

    #[tokio::test]
    async fn what_is_not_allowed_is_not_sent_and_a_closed_port_is_named() {
        let client = HttpClient::new().unwrap();
        let send = async |hosts: &[&str]| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let uri = format!("http://{}/", listener.local_addr().unwrap());
            drop(listener);
            let request = Request::builder().uri(uri).body(HttpBody::empty()).unwrap();
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            client.send(request, &hosts, HttpTimeouts::default()).await.err()
        };
        assert_eq!(send(&["elsewhere"]).await, Some(HttpOutError::Denied));
        assert_eq!(send(&["*"]).await, Some(HttpOutError::Refused));
    }
}
