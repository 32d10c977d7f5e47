//! The peers that this node knew when it last ran, so that it finds them again by itself.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use wattle_contracts::id::NodeId;

use super::canonical;

/// A longer file is not read, in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// More addresses of one peer are not kept.
const MAX_ADDRESSES: usize = 8;

/// One peer, and where it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    node: NodeId,
    addresses: Vec<Multiaddr>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    peers: Vec<Entry>,
}

/// `peers.json` in the node's data folder.
#[derive(Debug)]
pub(in crate::net) struct PeersFile {
    path: PathBuf,
    limit: usize,
    written: Vec<u8>,
}

impl PeersFile {
    /// The file in `data`, for at most `limit` peers.
    pub(in crate::net) fn new(data: &Path, limit: usize) -> Self {
        Self { path: data.join("peers.json"), limit, written: Vec::new() }
    }

    /// Who was known. A file that can't be read costs a node its memory, not its life.
    pub(in crate::net) fn read(&self) -> Vec<(NodeId, Vec<Multiaddr>)> {
        let content = match self.try_read() {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "the remembered peers can't be read; going without");
                Content::default()
            }
        };
        let peers = content.peers.into_iter().take(self.limit);
        peers
            .map(|peer| {
                let addresses = peer.addresses.iter().filter_map(canonical);
                (peer.node, addresses.take(MAX_ADDRESSES).collect())
            })
            .collect()
    }

    /// Remembers `peers`. Writes only what has changed.
    pub(in crate::net) fn write(
        &mut self,
        peers: impl IntoIterator<Item = (NodeId, Vec<Multiaddr>)>,
    ) -> io::Result<()> {
        let peers = peers.into_iter().take(self.limit).map(|(node, mut addresses)| {
            addresses.truncate(MAX_ADDRESSES);
            Entry { node, addresses }
        });
        let text = serde_json::to_vec_pretty(&Content { peers: peers.collect() })?;
        if text == self.written {
            return Ok(());
        }
        let draft = self.path.with_extension("json.new");
        let mut file = File::create(&draft)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        self.written = text;
        Ok(())
    }

    fn try_read(&self) -> io::Result<Content> {
        let mut text = Vec::new();
        File::open(&self.path)?.take(MAX_FILE).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> (NodeId, Vec<Multiaddr>) {
        let address = format!("/ip4/10.0.0.{number}/udp/1/quic-v1").parse().unwrap();
        (NodeId::from_bytes([number; 32]), vec![address])
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = PeersFile::new(folder.path(), 2);
        assert!(file.read().is_empty());
        file.write([peer(1), peer(2), peer(3)]).unwrap();
        assert_eq!(file.read(), [peer(1), peer(2)]);
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("peers.json"), b"{\"peers\": [").unwrap();
        assert!(PeersFile::new(folder.path(), 2).read().is_empty());
    }
}
