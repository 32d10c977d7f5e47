//! Calls that begin on this node: an HTTP request, or a person at the command line.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use wattle_contracts::call::{CallError, CallHeader, Encoding, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId};
use wattle_contracts::record::LinkOptions;
use wattle_runtime::{Actor, CallContext, HttpBody};

use super::node::Node;
use super::reach::ANYWHERE;
use super::table::Target;
use crate::providers::http_message::{self, INCOMING};

impl Node {
    /// Lets `target` answer `request`: here if it runs here, else on a node where it does.
    pub(crate) async fn http(
        self: &Arc<Self>,
        context: CallContext,
        target: &ComponentId,
        request: Request<HttpBody>,
    ) -> Result<Response<HttpBody>, CallError> {
        if let Some(actor) = self.running().actor(target) {
            return actor.http(context, request).await;
        }
        let contract = contract(INCOMING)?;
        let header = self.header(&context, target, &contract, "handle", Encoding::Message);
        self.http_over_mesh(&ANYWHERE, header, request).await
    }

    /// Sends `request` to a node that serves the header's target, as a link wants it.
    pub(crate) async fn http_over_mesh(
        &self,
        options: &LinkOptions,
        header: CallHeader,
        request: Request<HttpBody>,
    ) -> Result<Response<HttpBody>, CallError> {
        let (payload, body) = http_message::request_out(request)?;
        let reply = self.send_along(options, header, payload, body).await?;
        http_message::response_in(&reply.payload, reply.body)
    }

    /// Calls a function with arguments in WAVE text, and returns its result so. `function` is
    /// `name`, or `contract#name` where several contracts have one of that name.
    pub(crate) async fn wave(
        self: &Arc<Self>,
        context: CallContext,
        target: &ComponentId,
        function: &str,
        arguments: &str,
    ) -> Result<String, CallError> {
        if let Target::Provider(_) = self.table().target(target)? {
            let message = format!("`{target}` is a provider; only components can be called so");
            return Err(CallError::new(ErrorKind::NotAllowed, message));
        }
        let (named, function) = match function.split_once('#') {
            Some((named, function)) => (Some(contract(named)?), function),
            None => (None, function),
        };
        if let Some(actor) = self.running().actor(target) {
            return wave_here(&actor, context, named.as_ref(), function, arguments).await;
        }
        // The callee's node looks the function up among all contracts where none is named.
        let named = named.map_or_else(|| contract(ANY), Ok)?;
        let header = self.header(&context, target, &named, function, Encoding::Wave);
        let reply = self.send(header, Bytes::from(arguments.to_string()), None).await?;
        String::from_utf8(reply.payload.into())
            .map_err(|_| CallError::new(ErrorKind::Internal, "the result is not text"))
    }
}

/// Calls a function of a component on this node, looked up by name where no contract is named.
pub(super) async fn wave_here(
    actor: &Actor,
    context: CallContext,
    named: Option<&ContractId>,
    function: &str,
    arguments: &str,
) -> Result<String, CallError> {
    let exports = actor.component().exports().iter();
    let having: Vec<&ContractId> = exports
        .filter(|export| named.is_none_or(|named| named.covers(&export.contract)))
        .filter(|export| export.functions.iter().any(|found| found.name == function))
        .map(|export| &export.contract)
        .collect();
    match having.as_slice() {
        // Perhaps a function outside any interface; if not, the runtime lists what there is.
        [] => actor.call_wave(context, named, function, arguments).await,
        [contract] => actor.call_wave(context, Some(contract), function, arguments).await,
        several => {
            let names: Vec<String> =
                several.iter().map(|contract| format!("{contract}#{function}")).collect();
            let message = format!("several are called so: {}; name one", names.join(", "));
            Err(CallError::new(ErrorKind::NotLinked, message))
        }
    }
}

/// Stands for any contract of the component in a call by a person.
pub(crate) const ANY: &str = "wattle:any";

pub(crate) fn contract(text: &str) -> Result<ContractId, CallError> {
    text.parse().map_err(|error| CallError::new(ErrorKind::NotLinked, format!("{error}")))
}
