//! What is counted of messages.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Messenger;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)*
        }

        /// What was counted of messages since the node started.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct MessageCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Messenger {
            /// The counters.
            pub fn counts(&self) -> MessageCounts {
                let counters = &self.inner.counters;
                MessageCounts { $($name: counters.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl MessageCounts {
            /// Each by its name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Durable messages taken from publishers.
    published,
    /// Messages refused because there was no room.
    refused_full,
    /// Durable messages of this node that a group acknowledged.
    acknowledged,
    /// Durable messages of this node that became too old for a group.
    expired,
    /// Durable messages of this node that were parked.
    parked,
    /// Durable messages that components of this node handled.
    handled,
    /// Durable messages that came again after they were handled.
    repeated,
    /// Durable messages that components of this node failed to handle.
    failed,
    /// Deliveries to this node, and answers to those of it, that were not from the node that they
    /// named.
    forged,
    /// Live messages taken from publishers.
    live_published,
    /// Live messages that nobody could be given, or that failed.
    live_lost,
}

pub(super) fn one_more(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
