//! chitchat's transport here: one message at a time comes in, and what it sends is collected.
//!
//! Which of two things chitchat's task does first is drawn by tokio. So it is given one thing to
//! do at a time, and is known to be through with it when it asks for the next message.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Serializable as _};

/// Turns of the scheduler after which a task that has not come back is taken to have ended. One
/// that has something to do needs two or three.
const PATIENCE: usize = 256;

type Answer<'a, T> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + Send + 'a>>;

/// What connects one node's chitchat to the simulator.
#[derive(Debug, Clone, Default)]
pub(super) struct Wire(Arc<Mutex<Ends>>);

#[derive(Debug, Default)]
struct Ends {
    /// How often chitchat has asked for a message.
    asked: u64,
    inbox: Option<(SocketAddr, ChitchatMessage)>,
    waker: Option<Waker>,
    sent: Vec<Vec<u8>>,
}

impl Wire {
    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often chitchat has asked for a message so far.
    pub(super) fn asked(&self) -> u64 {
        self.ends().asked
    }

    /// Hands chitchat a message.
    pub(super) fn deliver(&self, from: SocketAddr, message: ChitchatMessage) {
        let mut ends = self.ends();
        ends.inbox = Some((from, message));
        if let Some(waker) = ends.waker.take() {
            waker.wake();
        }
    }

    /// Waits until chitchat has asked so often for a message. False if it has stopped.
    pub(super) async fn until(&self, asked: u64) -> bool {
        for _ in 0..PATIENCE {
            if self.asked() >= asked {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    }

    /// What chitchat has sent, in its order, and never mind to whom.
    pub(super) fn take_sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.ends().sent)
    }
}

impl Transport for Wire {
    fn open<'a, 'b>(&'a self, _: SocketAddr) -> Answer<'b, Box<dyn Socket>>
    where
        'a: 'b,
    {
        let socket: Box<dyn Socket> = Box::new(self.clone());
        Box::pin(std::future::ready(Ok(socket)))
    }
}

impl Socket for Wire {
    fn send<'a, 'b>(&'a mut self, _: SocketAddr, message: ChitchatMessage) -> Answer<'b, ()>
    where
        'a: 'b,
    {
        self.ends().sent.push(message.serialize_to_vec());
        Box::pin(std::future::ready(Ok(())))
    }

    // Not an `async fn`, whose body runs only once it is polled: that chitchat asks is what counts.
    fn recv<'a, 'b>(&'a mut self) -> Answer<'b, (SocketAddr, ChitchatMessage)>
    where
        'a: 'b,
    {
        self.ends().asked += 1;
        let wire = self.clone();
        Box::pin(std::future::poll_fn(move |cx| {
            let mut ends = wire.ends();
            match ends.inbox.take() {
                Some(message) => Poll::Ready(Ok(message)),
                None => {
                    ends.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}
