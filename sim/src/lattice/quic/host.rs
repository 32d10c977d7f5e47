//! One node's end of the network: its endpoint, and its ends of connections.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use quinn_proto::{ClientConfig, DatagramEvent, Endpoint};
use wattle_contracts::id::NodeId;
use wattle_mesh::core::redial::Target;

use super::end::{End, News};

/// What a node has of the network for as long as it is up.
pub(super) struct Host {
    /// Which life of the node it belongs to.
    pub(super) life: u64,
    endpoint: Endpoint,
    ends: BTreeMap<u64, End>,
    by_handle: BTreeMap<usize, u64>,
}

/// What came of letting an end do what it can.
#[derive(Debug, Default)]
pub(super) struct Pumped {
    pub(super) news: Vec<News>,
    /// Datagrams for the other end.
    pub(super) sent: Vec<Vec<u8>>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl Host {
    pub(super) fn new(life: u64, endpoint: Endpoint) -> Self {
        Self { life, endpoint, ends: BTreeMap::new(), by_handle: BTreeMap::new() }
    }

    pub(super) fn end(&mut self, id: u64) -> Option<&mut End> {
        self.ends.get_mut(&id)
    }

    /// The connections that are up.
    pub(super) fn up(&self) -> impl Iterator<Item = u64> + '_ {
        self.ends.iter().filter(|(_, end)| end.is_up()).map(|(id, _)| *id)
    }

    /// Begins a connection. False if QUIC does not want to.
    pub(super) fn dial(
        &mut self,
        id: u64,
        now: Instant,
        config: ClientConfig,
        peer: (usize, NodeId),
        target: Target,
    ) -> bool {
        let remote = super::address_of(peer.0);
        // libp2p dials everybody under this name.
        let Ok(connection) = self.endpoint.connect(now, config, remote, "l") else { return false };
        self.put(id, End::new(connection, peer, Some(target)));
        true
    }

    fn put(&mut self, id: u64, end: End) {
        self.by_handle.insert(end.handle().0, id);
        self.ends.insert(id, end);
    }

    /// Takes a datagram in. Gives back which connection it is for: a new one gets the id `new`;
    /// or what the endpoint itself answers.
    pub(super) fn take(
        &mut self,
        new: u64,
        now: Instant,
        from: (usize, NodeId),
        bytes: &[u8],
    ) -> Result<u64, Option<Vec<u8>>> {
        let mut answer = Vec::new();
        let remote = super::address_of(from.0);
        match self.endpoint.handle(now, remote, None, None, bytes.into(), &mut answer) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let id = self.by_handle.get(&handle.0).copied().ok_or(None)?;
                self.ends.get_mut(&id).ok_or(None)?.take(event);
                Ok(id)
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                match self.endpoint.accept(incoming, now, &mut answer, None) {
                    Ok(connection) => {
                        self.put(new, End::new(connection, from, None));
                        Ok(new)
                    }
                    Err(error) => Err(error.response.map(|transmit| cut(answer, transmit.size))),
                }
            }
            Some(DatagramEvent::Response(transmit)) => Err(Some(cut(answer, transmit.size))),
            None => Err(None),
        }
    }

    /// Lets an end do what it can by now.
    pub(super) fn pump(&mut self, id: u64, now: Instant) -> Pumped {
        let mut pumped = Pumped::default();
        let Some(end) = self.ends.get_mut(&id) else { return pumped };
        end.pump(now, &mut self.endpoint, &mut pumped.news, &mut pumped.sent);
        if end.is_drained() {
            self.by_handle.remove(&end.handle().0);
            self.ends.remove(&id);
        }
        pumped
    }
}

fn cut(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.truncate(length);
    bytes
}
