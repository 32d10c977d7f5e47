//! Messages into a component: `wattle:messaging/incoming-handler`.

use wasmtime::PoolConcurrencyLimitError;
use wasmtime::component::{ComponentType, Lower};
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::ContractId;

use super::Actor;
use crate::outside::{CallContext, IncomingMessage};

/// The interface, in the version that is given messages.
const HANDLER: &str = "wattle:messaging/incoming-handler@0.1.0";

/// `types.message-id`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct MessageId {
    publisher: String,
    sequence: u64,
}

/// `types.message`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Message {
    subject: String,
    body: Vec<u8>,
    id: Option<MessageId>,
}

impl Actor {
    /// Gives a message to the component. An error says whether it was begun:
    /// [`ErrorKind::Overloaded`] where this node has no room for one more call of the component
    /// now; anything else but that and [`ErrorKind::Unreachable`] where the component was given
    /// the message, and did not handle it, be it that something which it called had no room.
    pub async fn handle_message(
        &self,
        context: CallContext,
        message: IncomingMessage,
    ) -> Result<(), CallError> {
        let contract: ContractId = HANDLER
            .parse()
            .map_err(|error| CallError::new(ErrorKind::Internal, format!("{error}")))?;
        let export = self.export(Some(&contract), "handle")?;
        let IncomingMessage { subject, body, id } = message;
        let id =
            id.map(|id| MessageId { publisher: id.publisher.to_string(), sequence: id.sequence });
        let message = Message { subject, body, id };
        let _in_flight = self.shared.enter()?;
        let mut seat = self.instances.seat(&self.shared, context)?;
        let deadline = seat.store.data().context().deadline;
        let called = self.in_time(deadline, async {
            let instance = seat.instance(self.instances.pre()).await?;
            let handle = instance.get_typed_func::<(Message,), (Result<(), String>,)>(
                &mut seat.store,
                export.index,
            )?;
            handle.call_async(&mut seat.store, (message,)).await
        });
        let called = called.await;
        let not_begun = matches!(
            &called,
            Ok(Err(error)) if error.downcast_ref::<PoolConcurrencyLimitError>().is_some()
        );
        let outcome = self.outcome(seat, export, called);
        let (answer,) = outcome.map_err(|error| if not_begun { error } else { begun(error) })?;
        answer.map_err(|why| {
            let message = format!("{} did not handle the message: {why}", self.id());
            CallError::new(ErrorKind::Trapped, message)
        })
    }
}

/// An error of a handler that was begun. That something which it called is not there, or has no
/// room, says nothing about itself.
fn begun(error: CallError) -> CallError {
    match error.kind {
        ErrorKind::Overloaded | ErrorKind::Unreachable => {
            CallError::new(ErrorKind::Trapped, error.to_string())
        }
        _ => error,
    }
}
