//! `wattle:messaging/producer` over whatever the node publishes with.

use wasmtime::component::{HasData, Linker};

use self::wattle::messaging::producer;
use self::wattle::messaging::types;
use crate::outside::PublishError;
use crate::state::State;

wasmtime::component::bindgen!({
    path: "../contracts/wit/wattle-messaging-0.1.0",
    world: "wattle:messaging/imports",
    imports: { default: async | trappable },
});

/// The version of the text that the bindings are made from.
pub(super) const VERSION: &str = "0.1.0";

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    producer::add_to_linker::<_, HasState>(linker, |state| state)
}

struct HasState;

impl HasData for HasState {
    type Data<'a> = &'a mut State;
}

/// The outer result ends the component, the inner one it sees.
type Outcome<T> = wasmtime::Result<Result<T, types::Error>>;

impl From<PublishError> for types::Error {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::BadSubject(why) => Self::BadSubject(why),
            PublishError::NotAllowed(why) => Self::NotAllowed(why),
            PublishError::TooLarge(why) => Self::TooLarge(why),
            PublishError::Full(why) => Self::Full(why),
            PublishError::Other(why) => Self::Other(why),
        }
    }
}

impl producer::Host for State {
    async fn publish(&mut self, subject: String, body: Vec<u8>) -> Outcome<()> {
        let context = self.outbound()?;
        let actor = self.actor();
        let published = actor.outside.publish(context, &actor.id, subject, body, false).await;
        Ok(published.map(drop).map_err(Into::into))
    }

    async fn publish_durable(
        &mut self,
        subject: String,
        body: Vec<u8>,
    ) -> Outcome<types::MessageId> {
        let context = self.outbound()?;
        let actor = self.actor();
        let published = actor.outside.publish(context, &actor.id, subject, body, true).await;
        Ok(match published {
            Ok(Some(id)) => {
                Ok(types::MessageId { publisher: id.publisher.to_string(), sequence: id.sequence })
            }
            Ok(None) => Err(types::Error::Other("the message got no name".into())),
            Err(error) => Err(error.into()),
        })
    }
}
