//! Live messages: to whoever can be reached now, at most once, with nobody waiting for it.

use std::time::Duration;

use bytes::Bytes;
use wattle_contracts::call::{CallError, CallHeader, ErrorKind};
use wattle_contracts::id::{ComponentId, NodeId, Subject};
use wattle_contracts::message::LiveMessage;
use wattle_contracts::wire;

use super::counts::one_more;
use super::{Message, Messenger, PublishError, check_size};
use crate::core::outbox::Reach as _;

/// The function under which live messages travel.
pub(super) const FUNCTION: &str = "handle-live";
/// How long a live message may be under way, with its handling.
const TIME: Duration = Duration::from_secs(30);

impl Messenger {
    /// Passes a message on to one node of each group that subscribes to its subject. Returns when
    /// it is on its way; what becomes of it, nobody is told.
    pub fn publish_live(&self, subject: &Subject, body: Vec<u8>) -> Result<(), PublishError> {
        check_size(&body)?;
        let reach = self.reach();
        let groups = reach.subscriptions.of(subject);
        let count = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let Ok(mut permits) = self.inner.live.clone().try_acquire_many_owned(count) else {
            one_more(&self.inner.counters.refused_full);
            return Err(PublishError::Busy);
        };
        one_more(&self.inner.counters.live_published);
        for group in groups {
            let target = reach.subscriptions.component(&group);
            let node = reach.serving(&group).first().map(|node| self.inner.mesh.present(*node));
            let (Some(target), Some(node)) = (target.cloned(), node) else {
                one_more(&self.inner.counters.live_lost);
                continue;
            };
            let permit = permits.split(1);
            let message = LiveMessage { subject: subject.clone(), body: body.clone() };
            let messenger = self.clone();
            tokio::spawn(async move {
                let _permit = permit;
                if let Err(error) = messenger.pass_on(node, &target, message).await {
                    one_more(&messenger.inner.counters.live_lost);
                    tracing::debug!(component = %target, %error, "a live message was lost");
                }
            });
        }
        Ok(())
    }

    async fn pass_on(
        &self,
        node: NodeId,
        target: &ComponentId,
        message: LiveMessage,
    ) -> Result<(), CallError> {
        if node == self.me() {
            return self.handle_live(target, message).await;
        }
        let payload = wire::encode(&message).map_err(internal)?;
        let header = self.header(target, FUNCTION, TIME);
        self.inner.mesh.call(node, header, payload.into(), None).await.map(drop)
    }

    pub(super) async fn serve_live(
        &self,
        header: &CallHeader,
        payload: &[u8],
    ) -> Result<Bytes, CallError> {
        let message: LiveMessage = wire::decode(payload).map_err(internal)?;
        let target = &header.route.target;
        // Who sends it may be anybody who belongs to the mesh: what a component is given it has
        // asked for.
        if !self.subscriptions().handles(target, &message.subject) {
            let why = format!(
                "`{target}` is not known on node {} to subscribe to `{}`",
                self.me().short(),
                message.subject
            );
            return Err(CallError::new(ErrorKind::NotAllowed, why));
        }
        self.handle_live(target, message).await.map(|()| Bytes::new())
    }

    async fn handle_live(
        &self,
        target: &ComponentId,
        message: LiveMessage,
    ) -> Result<(), CallError> {
        let LiveMessage { subject, body } = message;
        let _inside = self.inner.gate.enter();
        if self.inner.gate.is_shut() {
            return Err(CallError::new(ErrorKind::Unreachable, "this node is shutting down"));
        }
        self.inner.handler.handle(target, Message { subject, body, id: None }).await
    }
}

fn internal(error: wire::WireError) -> CallError {
    CallError::new(ErrorKind::Internal, error.to_string())
}
