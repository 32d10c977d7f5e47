//! `wattle up`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use libp2p::Multiaddr;
use tokio::runtime::Handle;
use wattle_contracts::id::PublisherKey;
use wattle_mesh::core::outbox::Config as OutboxConfig;
use wattle_mesh::net::{HostDirectory, JoinTarget};

use crate::api::HostName;
use crate::daemon::{self, UpOptions};
use crate::home::Home;

/// Runs a node in the foreground. SIGINT or SIGTERM stops it, after the calls under way.
#[derive(Args)]
pub(super) struct Up {
    /// The node's data folder, made if it is not there.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Home::default_root())]
    data: PathBuf,
    /// The paper that admits this node to its mesh; needed once.
    #[arg(long, value_name = "FILE", conflicts_with = "mesh_key")]
    paper: Option<PathBuf>,
    /// The mesh's private key, to admit this node with; needed once.
    #[arg(long, value_name = "FILE")]
    mesh_key: Option<PathBuf>,
    /// The invitation by which this node comes, or a file with it; needed once. `-` reads it from
    /// standard input, where nobody else on this machine sees it.
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["mesh_key", "paper"])]
    invite: Option<String>,
    /// Make a mesh of this node alone, for development: on loopback, with an authority that is
    /// thrown away, and the owner of the data folder as its admin.
    #[arg(long, conflicts_with_all = ["mesh_key", "paper", "invite", "listen", "advertise", "join"])]
    dev: bool,
    /// Where to listen: IP:PORT or a multiaddress. Repeatable. UDP port 4747 on every address if
    /// none is given.
    #[arg(long, value_name = "ADDRESS", value_parser = quic_address)]
    listen: Vec<Multiaddr>,
    /// Where others reach this node, if not where it listens. Repeatable.
    #[arg(long, value_name = "ADDRESS", value_parser = quic_address)]
    advertise: Vec<Multiaddr>,
    /// A node of the mesh to begin with: HOST:PORT or a multiaddress. Repeatable. Not needed on a
    /// network with multicast, or where this node has been before.
    #[arg(long, value_name = "ADDRESS")]
    join: Vec<JoinTarget>,
    /// Don't look for nodes by multicast DNS.
    #[arg(long)]
    no_mdns: bool,
    /// Where nodes on this machine find each other; `off` for nowhere.
    #[arg(long, value_name = "FOLDER")]
    host_directory: Option<PathBuf>,
    /// A label that apps can ask for. Repeatable. The label `cell` names the node's cell.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// The public key of a publisher whose components may run here. Repeatable.
    #[arg(long, value_name = "PUBLISHER-KEY")]
    trust: Vec<PublisherKey>,
    /// How long compiling one component may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    compile_time: u64,
    /// Refuse calls of people (`wattle call`) that come through other nodes.
    #[arg(long)]
    no_remote_operators: bool,
    /// Serve the API on this address, too: with TLS, for whoever shows a token (wattle token).
    #[arg(long, value_name = "IP:PORT")]
    api: Option<SocketAddr>,
    /// A name, or another address, under which the API is reached there: NAME or NAME:PORT.
    /// Repeatable.
    #[arg(long = "api-host", value_name = "NAME", requires = "api")]
    api_hosts: Vec<HostName>,
    /// Serve the apps' HTTP routes on this address.
    #[arg(long, value_name = "IP:PORT")]
    http: Option<SocketAddr>,
    /// How long a request from outside may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    http_timeout: u64,
    /// How long calls under way may take to finish when the node stops, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    drain: u64,
    /// How much durable messages may take that wait for their subscribers, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    outbox_size: u64,
    /// How many durable messages may wait.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    outbox_messages: u32,
    /// How long a durable message may wait, in hours; then it is given up.
    #[arg(long, value_name = "HOURS", default_value_t = 168, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    outbox_age: u64,
    /// How often a message's handler may fail before the message is parked.
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    outbox_tries: u32,
    /// How much of the audit log is kept, in MiB; the oldest entries go first.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=1_048_576))]
    audit_size: u64,
    /// Log in JSON.
    #[arg(long)]
    log_json: bool,
}

impl Up {
    pub(super) fn log_json(&self) -> bool {
        self.log_json
    }

    /// `work` is where requests from outside are served, and what computes for long.
    pub(super) async fn run(self, work: Handle) -> Result<()> {
        let host_directory = match self.host_directory {
            None => HostDirectory::Default,
            Some(folder) if folder.as_os_str() == "off" => HostDirectory::Off,
            Some(folder) => HostDirectory::At(folder),
        };
        daemon::run(
            work,
            UpOptions {
                data: self.data,
                paper: self.paper,
                mesh_key: self.mesh_key,
                invite: self.invite.as_deref().map(super::invite::read_token).transpose()?,
                dev: self.dev,
                listen: self.listen,
                advertise: self.advertise,
                join: self.join,
                mdns: !self.no_mdns,
                host_directory,
                labels: self.labels.into_iter().collect(),
                trust: self.trust,
                compile_time: Duration::from_secs(self.compile_time),
                remote_operators: !self.no_remote_operators,
                api: self.api,
                api_hosts: self.api_hosts,
                http: self.http,
                http_timeout: Duration::from_secs(self.http_timeout),
                drain: Duration::from_secs(self.drain),
                audit_limit: self.audit_size << 20,
                outbox: OutboxConfig {
                    max_bytes: self.outbox_size << 20,
                    max_messages: usize::try_from(self.outbox_messages)?,
                    max_age: Duration::from_secs(self.outbox_age * 3600),
                    tries: self.outbox_tries,
                    ..OutboxConfig::default()
                },
            },
        )
        .await
    }
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => {
            Ok((key.into(), value.into()))
        }
        _ => Err("expected KEY=VALUE, such as role=store".into()),
    }
}

/// IP:PORT, or a multiaddress as it is.
fn quic_address(text: &str) -> Result<Multiaddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let (ip, port) = (address.ip(), address.port());
        let version = match ip {
            IpAddr::V4(_) => "ip4",
            IpAddr::V6(_) => "ip6",
        };
        return format!("/{version}/{ip}/udp/{port}/quic-v1")
            .parse()
            .map_err(|error| format!("{error}"));
    }
    let expected = "expected IP:PORT (192.0.2.1:4747, [::]:4747) or a multiaddress \
                    (/ip4/192.0.2.1/udp/4747/quic-v1)";
    let address: Multiaddr = text.parse().map_err(|_| expected.to_string())?;
    match address.to_string().contains("/quic-v1") {
        true => Ok(address),
        false => Err(format!("{expected}: Wattle speaks QUIC")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_address_or_a_multiaddress() {
        let text = |address| quic_address(address).map(|address| address.to_string());
        assert_eq!(text("192.0.2.1:4747").unwrap(), "/ip4/192.0.2.1/udp/4747/quic-v1");
        assert_eq!(text("[::]:0").unwrap(), "/ip6/::/udp/0/quic-v1");
        assert_eq!(text("/ip4/1.2.3.4/udp/1/quic-v1").unwrap(), "/ip4/1.2.3.4/udp/1/quic-v1");
        assert!(text("/ip4/1.2.3.4/tcp/1").unwrap_err().contains("QUIC"));
        assert!(text("192.0.2.1").is_err());
    }

    #[test]
    fn a_label_has_two_sides() {
        assert_eq!(label("role=store=x").unwrap(), ("role".into(), "store=x".into()));
        for bad in ["role", "=x", "role="] {
            assert!(label(bad).is_err());
        }
    }
}
