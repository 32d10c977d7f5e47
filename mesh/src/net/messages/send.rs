//! The publisher's side: from the outbox to another node, or to a component of this one.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use wattle_contracts::id::{ComponentId, NodeId};
use wattle_contracts::message::{Delivery, DeliveryReply, DeliveryStop, Group, Receipt};
use wattle_contracts::wire;

use super::counts::one_more;
use super::{Messenger, TICK};
use crate::core::outbox::{Action, Outcome, Sending, Settled};

/// The function under which durable messages travel.
pub(super) const FUNCTION: &str = "handle";
/// How long an answer is waited for. A handler may take minutes.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long to wait after the disk refused to write.
const DISK_RETRY: Duration = Duration::from_secs(1);

impl Messenger {
    /// Does what is to be done now. Returns how long there is nothing else to do.
    pub(super) fn step(&self) -> Duration {
        if self.inner.gate.is_shut() {
            return TICK;
        }
        let reach = self.reach();
        let (now, time) = (self.now(), self.time());
        let mut actions = Vec::new();
        let (pause, waits) = {
            let outbox = &mut self.outbox().0;
            outbox.step(now, time, &reach, &mut actions);
            let wake = outbox.wake_at(now).since(now);
            let waits = !outbox.is_empty();
            (if waits { wake.min(TICK) } else { wake }, waits)
        };
        self.act(actions);
        if waits && self.note_is_due() {
            let messenger = self.clone();
            tokio::spawn(async move { messenger.note_clock().await });
        }
        // At least a moment: whatever went wrong, the thread is not taken by it.
        pause.max(Duration::from_millis(1))
    }

    fn act(&self, actions: Vec<Action>) {
        let mut settled = Vec::new();
        for action in actions {
            match action {
                Action::Deliver(sending) => {
                    let messenger = self.clone();
                    tokio::spawn(async move { messenger.deliver(sending).await });
                }
                Action::Settle { group, sequence, how } => {
                    self.note(&group, sequence, &how);
                    settled.push((group, sequence, how));
                }
                Action::Assign { group, node } => {
                    let messenger = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = messenger.inner.store.assign(&group, node).await {
                            tracing::warn!(%group, %error, "can't write down where messages go");
                        }
                    });
                }
            }
        }
        if !settled.is_empty() {
            let messenger = self.clone();
            tokio::spawn(async move { messenger.settle(settled).await });
        }
    }

    fn note(&self, group: &Group, sequence: u64, how: &Settled) {
        let counters = &self.inner.counters;
        match how {
            Settled::Handled => one_more(&counters.acknowledged),
            Settled::Expired => {
                one_more(&counters.expired);
                tracing::warn!(%group, sequence, "a message became too old, and was given up");
            }
            Settled::Parked(why) => {
                one_more(&counters.parked);
                tracing::warn!(
                    %group, sequence, why,
                    "a message failed too often, and is parked: see `wattle outbox parked`"
                );
            }
        }
    }

    /// Writes down what is settled, however long the disk refuses.
    async fn settle(&self, settled: Vec<(Group, u64, Settled)>) {
        while let Err(error) = self.inner.store.settle(settled.clone()).await {
            tracing::warn!(%error, "can't write down which messages are settled; trying again");
            tokio::time::sleep(DISK_RETRY).await;
        }
        for (group, sequence, how) in settled {
            self.outbox().0.settled(&group, sequence, how);
        }
        self.inner.wake.notify_one();
    }

    async fn deliver(&self, sending: Sending) {
        let outcome = self.send(&sending).await;
        let now = self.now();
        let mut actions = Vec::new();
        {
            let (outbox, random) = &mut *self.outbox();
            outbox.outcome(now, &sending, outcome, random, &mut actions);
        }
        self.act(actions);
        self.inner.wake.notify_one();
    }

    async fn send(&self, sending: &Sending) -> Outcome {
        let Some(component) = self.subscriptions().component(&sending.group).cloned() else {
            // Taken back while this was on its way; it is kept, and was not sent.
            return stopped(DeliveryStop::Busy("nobody subscribes any more".into()));
        };
        let messages = match self.bodies(sending).await {
            Ok(messages) => messages,
            Err(why) => return stopped(DeliveryStop::Failed(why)),
        };
        let delivery = Delivery {
            publisher: self.me(),
            first: Some(self.inner.mesh.first(self.me())).filter(|first| *first != self.me()),
            group: sending.group.clone(),
            floor: sending.floor,
            subject: sending.subject.clone(),
            messages,
            proof: None,
        };
        let to = self.inner.mesh.present(sending.node);
        if to == self.me() {
            return Outcome::Answered(self.receive(component, delivery).await);
        }
        self.send_away(to, &component, delivery).await
    }

    async fn send_away(
        &self,
        to: NodeId,
        component: &ComponentId,
        mut delivery: Delivery,
    ) -> Outcome {
        let header = self.header(component, FUNCTION, PATIENCE);
        let mesh = &self.inner.mesh;
        // Over this node's own connection, that says from whom it is.
        let mut signed = None;
        let payload = |through_another: bool| {
            if through_another {
                delivery.sign(mesh.key(), to)?;
                signed = delivery.proof;
            }
            wire::encode(&delivery).map(Bytes::from)
        };
        let answer = mesh.call_made(to, header, payload, None).await;
        let lost = |why: &dyn Display| Outcome::Lost(format!("{}: {why}", to.short()));
        let receipt = match answer {
            Ok(reply) => wire::decode::<Receipt>(&reply.payload),
            Err(error) => return lost(&error),
        };
        match receipt {
            Ok(receipt) if signed.is_none_or(|of| receipt.is_signed_by(to, &of)) => {
                Outcome::Answered(receipt.reply)
            }
            Ok(_) => {
                self.count_forged(to, "an answer");
                lost(&"nothing shows that the answer, which another node passed on, is its own")
            }
            Err(error) => lost(&error),
        }
    }

    /// The messages with their bodies, as far as those can be read.
    async fn bodies(&self, sending: &Sending) -> Result<Vec<(u64, Vec<u8>)>, String> {
        let bodies = self.inner.store.bodies(&sending.sequences).await;
        let bodies = bodies.map_err(|error| error.to_string())?;
        let found = sending.sequences.iter().copied().zip(bodies);
        let found = found.map_while(|(sequence, body)| Some((sequence, body?)));
        let found: Vec<_> = found.collect();
        match found.is_empty() {
            true => Err("its body is not on this node's disk any more".into()),
            false => Ok(found),
        }
    }
}

fn stopped(stop: DeliveryStop) -> Outcome {
    Outcome::Answered(DeliveryReply { handled: 0, stopped: Some(stop) })
}
