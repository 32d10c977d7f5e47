//! The way to a node: its socket, where it runs on this machine, or TLS to wherever it listens.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wattle_contracts::id::NodeId;

use super::ClientError;
use crate::api::tls;

/// A node elsewhere has so long to answer a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How a node is reached.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// Through its socket.
    Socket(PathBuf),
    /// Over the network, with a token.
    Network {
        /// Where.
        at: NetworkAddress,
        /// Which node is to answer there.
        node: NodeId,
        /// In its text form.
        token: String,
    },
}

/// Where a node's API is: `https://HOST:PORT`, with the node that answers behind a `#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkAddress {
    authority: Authority,
    port: u16,
    /// Which node answers there, where the address says it.
    pub(crate) node: Option<NodeId>,
}

impl std::str::FromStr for NetworkAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!("`{text}` is no address of a node's API: expected https://HOST:PORT#NODE-ID")
        };
        let rest = text.strip_prefix("https://").ok_or_else(expected)?;
        let (rest, node) = match rest.split_once('#') {
            Some((rest, node)) => (rest, Some(node.parse().map_err(|error| format!("{error}"))?)),
            None => (rest, None),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let authority: Authority = authority.parse().map_err(|_| expected())?;
        let port = authority.port_u16().ok_or_else(expected)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(expected());
        }
        Ok(Self { authority, port, node })
    }
}

impl std::fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}", self.authority)
    }
}

impl NetworkAddress {
    /// The host, without the brackets of an IPv6 address.
    fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }
}

impl Way {
    /// What stands in the `Host` header.
    pub(super) fn host(&self) -> &str {
        match self {
            Way::Socket(_) => "node",
            Way::Network { at, .. } => at.authority.as_str(),
        }
    }

    /// What stands in the `Authorization` header.
    pub(super) fn authorization(&self) -> Option<String> {
        match self {
            Way::Socket(_) => None,
            Way::Network { token, .. } => Some(format!("Bearer {token}")),
        }
    }

    /// A connection to the node, which has proven to be the one that was asked for.
    pub(super) async fn open(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        match self {
            Way::Socket(socket) => {
                let connected = UnixStream::connect(socket).await;
                let no_node = |why| ClientError::NoNode { socket: socket.clone(), why };
                speak(connected.map_err(no_node)?).await
            }
            Way::Network { at, node, .. } => {
                let away = |why: String| ClientError::NotReached {
                    at: at.to_string(),
                    why,
                    is_there: false,
                };
                let connect = async {
                    let stream = TcpStream::connect((at.host(), at.port)).await;
                    let stream = stream.map_err(|error| away(error.to_string()))?;
                    let config = tls::client(*node).map_err(|error| away(error.to_string()))?;
                    let name = server_name(at.host()).ok_or_else(|| away("no such host".into()))?;
                    let connector = TlsConnector::from(Arc::new(config));
                    connector.connect(name, stream).await.map_err(|error| {
                        let why = tls::why(&error);
                        ClientError::NotReached { at: at.to_string(), why, is_there: true }
                    })
                };
                let stream = timeout(CONNECT, connect)
                    .await
                    .map_err(|_| away(format!("no answer within {CONNECT:?}")))??;
                speak(stream).await
            }
        }
    }
}

/// A name for the handshake. Whose it is does not count: the node's key does.
fn server_name(host: &str) -> Option<ServerName<'static>> {
    match host.parse::<IpAddr>() {
        Ok(address) => Some(ServerName::IpAddress(address.into())),
        Err(_) => ServerName::try_from(host.to_owned()).ok(),
    }
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(ClientError::broken)?;
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_host_a_port_and_perhaps_the_node_there() {
        let node = NodeId::from_bytes([7; 32]);
        let read = |text: &str| text.parse::<NetworkAddress>();
        let named = read(&format!("https://node.example:4748#{node}")).unwrap();
        assert_eq!((named.host(), named.port, named.node), ("node.example", 4748, Some(node)));
        assert_eq!(named.to_string(), "https://node.example:4748");
        let v6 = read("https://[2001:db8::1]:4748/").unwrap();
        assert_eq!((v6.host(), v6.port, v6.node), ("2001:db8::1", 4748, None));
        for bad in [
            "node.example:4748",
            "http://node.example:4748",
            "https://node.example",
            "https://node.example:4748/v1",
            "https://a@node.example:4748",
            "https://node.example:4748#12D3",
            "https://:4748",
            "",
        ] {
            let error = read(bad).unwrap_err();
            assert!(!error.is_empty(), "{bad}");
        }
    }
}
