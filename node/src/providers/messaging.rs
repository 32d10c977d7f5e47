//! `wattle:messaging` for components: what they publish goes to the outbox of the node that they
//! run on, if their link lets them; what they subscribe to comes from it.

use std::sync::Weak;

use async_trait::async_trait;
use tokio::time::Instant;
use wattle_contracts::call::{CallError, ErrorKind, Source};
use wattle_contracts::id::{ComponentId, Subject};
use wattle_contracts::message::MessageId;
use wattle_contracts::record::{Asked, Missing, ProviderKind, Rule};
use wattle_mesh::net::{Message, MessageHandler, PublishError as Refused};
use wattle_runtime::{CallContext, IncomingMessage, PublishError};

use crate::daemon::{Leaving, Node, Target};

/// The contract that a publisher imports.
pub(crate) const PRODUCER: &str = "wattle:messaging/producer";
/// The contract that a subscriber exports.
pub(crate) const HANDLER: &str = "wattle:messaging/incoming-handler";

/// How long the handling of one message may take, where its component has no shorter limit.
const HANDLING: std::time::Duration = std::time::Duration::from_secs(240);

/// A message to be published.
pub(crate) struct Publication {
    pub(crate) subject: String,
    pub(crate) body: Vec<u8>,
    pub(crate) durable: bool,
}

impl Node {
    /// Publishes for a component, which may do so only along a link.
    pub(crate) async fn publish_for(
        &self,
        source: &ComponentId,
        publication: Publication,
    ) -> Result<Option<MessageId>, PublishError> {
        let not_allowed = |error: CallError| PublishError::NotAllowed(error.message);
        let subject = subject(&publication)?;
        let table = self.table();
        let contract = PRODUCER.parse().map_err(|error| PublishError::Other(format!("{error}")))?;
        let import = self.import(&table, source, &contract).map_err(not_allowed)?;
        // Of several links, one that lets it is enough: they all lead to this node's outbox.
        let lets = |provider: &ComponentId| match table.target(provider) {
            Ok(Target::Provider(spec)) => match &spec.kind {
                ProviderKind::Messaging { subjects } => {
                    subjects.iter().any(|pattern| pattern.matches(&subject))
                }
                _ => false,
            },
            Ok(Target::Component(_)) | Err(_) => false,
        };
        let targets: Vec<_> = import.targets().iter().filter(|link| lets(&link.to)).collect();
        let function = if publication.durable { "publish-durable" } else { "publish" };
        let asked = Asked::Publish(&subject);
        let leaving = Leaving { source, contract: &contract, function, asked };
        let Some(first) = targets.first() else {
            let names: Vec<String> =
                import.targets().iter().map(|link| format!("`{}`", link.to)).collect();
            let what = format!(
                "{} does not let `{source}` publish to `{subject}`; its `subjects` say what may be \
                 published",
                names.join(", ")
            );
            let missing = Missing::new(Rule::Subject, what);
            let target = import.targets().first().map_or(source, |link| &link.to);
            return Err(not_allowed(self.not_leaving(&leaving, target, &missing)));
        };
        let links = targets.iter().map(|link| (import.contract(), *link));
        let bytes = publication.body.len() as u64;
        self.leaves(&leaving, &first.to, links, bytes).map_err(not_allowed)?;
        self.publish(&subject, publication).await
    }

    /// Publishes for a person.
    pub(crate) async fn publish_for_operator(
        &self,
        publication: Publication,
    ) -> Result<Option<MessageId>, PublishError> {
        let subject = subject(&publication)?;
        self.publish(&subject, publication).await
    }

    async fn publish(
        &self,
        subject: &Subject,
        publication: Publication,
    ) -> Result<Option<MessageId>, PublishError> {
        let starting = || PublishError::Other("this node is still starting".into());
        let messenger = self.messenger().ok_or_else(starting)?;
        let Publication { body, durable, .. } = publication;
        let published = match durable {
            true => messenger.publish_durable(subject, body).await.map(Some),
            false => messenger.publish_live(subject, body).map(|()| None),
        };
        published.map_err(|error| {
            let why = error.to_string();
            match error {
                Refused::TooLarge { .. } => PublishError::TooLarge(why),
                Refused::Full(_) | Refused::Busy => PublishError::Full(why),
                _ => PublishError::Other(why),
            }
        })
    }
}

fn subject(publication: &Publication) -> Result<Subject, PublishError> {
    publication.subject.parse().map_err(|error| PublishError::BadSubject(format!("{error}")))
}

/// Gives messages to the components of this node.
pub(crate) struct LocalHandlers {
    pub(crate) node: Weak<Node>,
}

#[async_trait]
impl MessageHandler for LocalHandlers {
    fn runs(&self, component: &ComponentId) -> bool {
        self.node.upgrade().is_some_and(|node| node.running().actor(component).is_some())
    }

    async fn handle(&self, component: &ComponentId, message: Message) -> Result<(), CallError> {
        let not_here = || {
            let message = format!("`{component}` does not run on this node (any more)");
            CallError::new(ErrorKind::Unreachable, message)
        };
        let node = self.node.upgrade().ok_or_else(not_here)?;
        let actor = node.running().actor(component).ok_or_else(not_here)?;
        let context = CallContext::new(Source::Messages, Instant::now() + HANDLING);
        let Message { subject, body, id } = message;
        let message = IncomingMessage { subject: subject.to_string(), body, id };
        let call = async move { actor.handle_message(context, message).await };
        node.paces().run(component, call).await
    }
}
