//! The demo's nodes: processes of this same binary.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::wire::{Cut, Wire};
use crate::api::{Client, NodesReply};

/// A node process with the network in front of it.
pub(super) struct DemoNode {
    pub(super) role: &'static str,
    pub(super) wire: Wire,
    data: PathBuf,
    log: PathBuf,
    process: Child,
}

/// What all nodes of the demo share.
pub(super) struct Site {
    pub(super) folder: PathBuf,
    pub(super) mesh_key: PathBuf,
    pub(super) trust: String,
    pub(super) cut: Cut,
}

impl DemoNode {
    /// Starts a node that carries the label `role`.
    pub(super) async fn start(site: &Site, role: &'static str, http: bool) -> Result<Self> {
        // The port must be known before the node is there, since the forwarder sends to it.
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("can't open a UDP port")?;
        let inside = free.local_addr()?;
        drop(free);
        let wire = Wire::to(inside, site.cut.clone()).await?;
        let data = site.folder.join(role);
        let log = site.folder.join(format!("{role}.log"));
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["up", "--no-mdns", "--trust", &site.trust])
            .args(["--label", &format!("role={role}")])
            .args(["--listen", &wire.inside().to_string()])
            .args(["--advertise", &wire.outside().to_string()])
            .arg("--data")
            .arg(&data)
            .arg("--mesh-key")
            .arg(&site.mesh_key)
            .arg("--host-directory")
            .arg(site.folder.join("host"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            // A demo that dies must not leave nodes behind.
            .kill_on_drop(true)
            // Ctrl-C is for the demo, which then stops the nodes.
            .process_group(0);
        if http {
            command.args(["--http", "127.0.0.1:0"]);
        }
        let process = command.spawn().context("can't start a node")?;
        Ok(Self { role, wire, data, log, process })
    }

    pub(super) fn client(&self) -> Client {
        Client::new(&self.data.join("api.sock"), None)
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// What the node knows of the mesh; `None` while it is not up yet.
    pub(super) async fn nodes(&mut self) -> Result<Option<NodesReply>> {
        if let Some(status) = self.process.try_wait()? {
            bail!(
                "the {} node ended early ({status}); its log ends with\n{}",
                self.role,
                self.tail()
            );
        }
        Ok(self.client().get("/v1/nodes").await.ok())
    }

    /// The address on which it serves HTTP.
    pub(super) async fn http(&mut self) -> Result<SocketAddr> {
        let nodes = self.nodes().await?.context("the node does not answer any more")?;
        let me = nodes.nodes.into_iter().find(|node| node.is_self);
        me.and_then(|me| me.http?.parse().ok()).context("the node serves no HTTP")
    }

    /// Asks the node to stop, and waits until it has.
    pub(super) async fn stop(&mut self) -> Result<()> {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            kill_process(id, Signal::TERM)?;
        }
        let status = tokio::time::timeout(Duration::from_secs(20), self.process.wait())
            .await
            .with_context(|| format!("the {} node did not stop", self.role))??;
        if !status.success() {
            bail!(
                "the {} node stopped with {status}; its log ends with\n{}",
                self.role,
                self.tail()
            );
        }
        Ok(())
    }

    /// The end of its log.
    pub(super) fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(12)..).unwrap_or(&[]);
        tail.iter().map(|line| format!("  {line}\n")).collect()
    }
}
