//! chitchat's own server, in a runtime of its own whose clock is the node's.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use chitchat::{Chitchat, ChitchatConfig, ChitchatHandle, ChitchatMessage};
use tokio::runtime::{Builder, Runtime};

use super::wire::Wire;

/// One node's chitchat, between a start and a stop.
pub(super) struct Server {
    // Before the runtime, so that it is dropped first.
    handle: ChitchatHandle,
    wire: Wire,
    /// With a clock that stands still until it is told to go on, and no thread.
    runtime: Runtime,
    /// What its clock shows, since it began.
    clock: Duration,
    round: Duration,
    next_round: Duration,
}

/// chitchat has panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

impl Server {
    /// Starts chitchat with the node's own values, and lets its first round be `ahead` ago: less
    /// than a round.
    pub(super) fn start(
        config: ChitchatConfig,
        own: Vec<(String, String)>,
        ahead: Duration,
    ) -> Result<Self, String> {
        let round = config.gossip_interval;
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let wire = Wire::default();
        let handle = runtime.block_on(async {
            let handle = chitchat::spawn_chitchat(config, own, &wire).await?;
            // Before its first round, which comes at once, and after it.
            wire.until(2).await;
            tokio::time::advance(ahead).await;
            anyhow::Ok(handle)
        });
        let handle = handle.map_err(|error| format!("{error:#}"))?;
        Ok(Self { handle, wire, runtime, clock: ahead, round, next_round: round })
    }

    /// When the next round is due, by its own clock.
    pub(super) fn next_round(&self) -> Duration {
        self.next_round
    }

    /// Does the round that is due. What chitchat sends in it.
    pub(super) fn round(&mut self) -> Result<Vec<Vec<u8>>, Stopped> {
        let due = self.next_round;
        self.next_round += self.round;
        self.turn(due, |_, _| ())
    }

    /// A message comes at this time, before the next round is due. What chitchat answers.
    pub(super) fn receive(
        &mut self,
        now: Duration,
        from: SocketAddr,
        message: ChitchatMessage,
    ) -> Result<Vec<Vec<u8>>, Stopped> {
        self.turn(now, |_, wire| wire.deliver(from, message))
    }

    /// What chitchat says to a new peer at this time, before the next round is due.
    pub(super) fn greet(
        &mut self,
        now: Duration,
        peer: SocketAddr,
    ) -> Result<Vec<Vec<u8>>, Stopped> {
        self.turn(now, |handle, _| drop(handle.gossip(peer)))
    }

    /// Looks at what chitchat knows.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Chitchat) -> T) -> Option<T> {
        // What time it is, it asks the runtime that it is called in.
        let _inside = self.runtime.enter();
        let chitchat = self.handle.chitchat();
        let mut chitchat = chitchat.try_lock().ok()?;
        Some(look(&mut chitchat))
    }

    /// Puts the clock to this time, lets one thing happen, and lets chitchat be through with it.
    fn turn(
        &mut self,
        now: Duration,
        cause: impl FnOnce(&ChitchatHandle, &Wire),
    ) -> Result<Vec<Vec<u8>>, Stopped> {
        let step = now.saturating_sub(self.clock);
        self.clock += step;
        let next = self.wire.asked() + 1;
        let is_through = self.runtime.block_on(async {
            tokio::time::advance(step).await;
            cause(&self.handle, &self.wire);
            self.wire.until(next).await
        });
        if is_through { Ok(self.wire.take_sent()) } else { Err(Stopped) }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("clock", &self.clock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use wattle_contracts::id::NodeId;
    use wattle_contracts::trust::UnixMillis;
    use wattle_mesh::net::gossip::{chitchat_config, synthetic};

    use super::*;

    const ROUND: Duration = Duration::from_millis(500);

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    fn server(number: u8) -> Server {
        let config = chitchat_config(node(number), "sim", UnixMillis(1), ROUND);
        let own = vec![("about".into(), format!("node {number}"))];
        Server::start(config, own, Duration::from_millis(u64::from(number))).unwrap()
    }

    fn read(bytes: &[u8]) -> ChitchatMessage {
        use chitchat::Deserializable as _;
        ChitchatMessage::deserialize(&mut &*bytes).unwrap()
    }

    fn only(sent: Result<Vec<Vec<u8>>, Stopped>) -> ChitchatMessage {
        let sent = sent.unwrap();
        assert_eq!(sent.len(), 1);
        read(&sent[0])
    }

    #[test]
    fn two_that_greet_each_other_know_each_other_and_silence_is_noticed() {
        let (mut a, mut b) = (server(1), server(2));
        let (at_a, at_b) = (synthetic(node(1)), synthetic(node(2)));
        let mut now = Duration::from_millis(10);
        for _ in 0..10 {
            // At each of them first what is due.
            for server in [&mut a, &mut b] {
                while server.next_round() <= now {
                    server.round().unwrap();
                }
            }
            let syn = only(a.greet(now, at_b));
            let syn_ack = only(b.receive(now, at_a, syn));
            let ack = only(a.receive(now, at_b, syn_ack));
            assert!(b.receive(now, at_a, ack).unwrap().is_empty());
            now += ROUND;
        }
        let live = |server: &Server| server.with(|c| c.live_nodes().count()).unwrap();
        assert_eq!((live(&a), live(&b)), (2, 2));
        let value = |server: &Server| {
            server.with(|c| {
                let states = c.node_states().values();
                states.filter_map(|state| state.get("about").map(str::to_owned)).collect::<Vec<_>>()
            })
        };
        assert_eq!(value(&a).unwrap(), value(&b).unwrap());
        // Silence of eight times what was usual: at first that is guessed to be two rounds.
        for rounds in 0..20 {
            a.round().unwrap();
            if live(&a) == 1 {
                assert!((6..16).contains(&rounds), "{rounds}");
                return;
            }
        }
        panic!("never noticed");
    }

    #[test]
    fn a_round_comes_when_it_is_due_and_not_before() {
        let mut a = server(7);
        let heart = |server: &Server| {
            let own = server.with(|c| c.self_node_state().heartbeat());
            format!("{own:?}")
        };
        let before = heart(&a);
        assert_eq!(a.next_round(), ROUND);
        a.round().unwrap();
        assert_ne!(heart(&a), before);
        assert_eq!(a.next_round(), ROUND * 2);
    }
}
