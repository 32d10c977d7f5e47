//! Calls that begin on this node: an HTTP request, or a person at the command line.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use wattle_contracts::call::{CallError, CallHeader, Encoding, ErrorKind, PersonProof};
use wattle_contracts::id::{ComponentId, ContractId, MeshId, NodeId};
use wattle_contracts::record::{LinkOptions, Missing, Rule};
use wattle_runtime::{Actor, CallContext, HttpBody};

use super::grants::End;
use super::node::Node;
use super::reach::ANYWHERE;
use super::table::Target;
use crate::providers::http_message::{self, INCOMING};

/// What a person has signed, for one node.
pub(crate) struct SignedCall {
    pub(crate) to: NodeId,
    pub(crate) proof: PersonProof,
}

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

    /// Whether only operators declare, and call through other nodes.
    pub(crate) fn has_operators(&self) -> bool {
        self.mesh().is_some_and(|mesh| mesh.rights().has_operators())
    }

    /// The mesh and the node for which a person is to sign a call of `target`, so that it can be
    /// made now; `None` where nothing needs to be signed.
    pub(crate) fn to_be_signed(
        &self,
        target: &ComponentId,
    ) -> Result<Option<(MeshId, NodeId)>, CallError> {
        check_callable(&self.table().target(target)?, target)?;
        if self.running().actor(target).is_some() || !self.has_operators() {
            return Ok(None);
        }
        let mesh = self.mesh_started()?.mesh_id();
        Ok(Some((mesh, self.choose(target, &ANYWHERE, &[])?)))
    }

    /// Calls a function with arguments in WAVE text, and returns its result so. `function` is
    /// `name`, or `contract#name` where several contracts have one of that name. Where there are
    /// operators, another node only answers what one of them has signed for it.
    pub(crate) async fn wave(
        self: &Arc<Self>,
        context: CallContext,
        target: &ComponentId,
        function: &str,
        arguments: &str,
        signed: Option<SignedCall>,
    ) -> Result<String, CallError> {
        check_callable(&self.table().target(target)?, target)?;
        let (contract, function) = addressed(function)?;
        if let Some(actor) = self.running().actor(target) {
            return wave_here(&actor, context, &contract, function, arguments).await;
        }
        let reply = match signed {
            Some(SignedCall { to, proof }) => {
                let payload = proof
                    .with(arguments)
                    .map_err(|error| CallError::new(ErrorKind::Internal, error.to_string()))?;
                let header = self.header(&context, target, &contract, function, Encoding::Signed);
                self.send_to(to, header, payload.into(), None).await?
            }
            None => {
                let to = self.choose(target, &ANYWHERE, &[])?;
                if self.has_operators() {
                    let what = (function, &contract, target);
                    let missing = Missing::new(Rule::Operator, UNSIGNED);
                    return Err(self.denied(End::Out, &context.source, what, &missing));
                }
                let header = self.header(&context, target, &contract, function, Encoding::Wave);
                self.send_to(to, header, Bytes::from(arguments.to_string()), None).await?
            }
        };
        String::from_utf8(reply.payload.into())
            .map_err(|_| CallError::new(ErrorKind::Internal, "the result is not text"))
    }
}

/// What is missing where nobody has signed a call to another node.
const UNSIGNED: &str = "it runs on another node, and in a mesh with operators one of them signs what \
                        goes there: say whose key (--operator-key, or operator.key in the data \
                        folder)";

/// Providers are for components only.
fn check_callable(found: &Target<'_>, target: &ComponentId) -> Result<(), CallError> {
    match found {
        Target::Component(_) => Ok(()),
        Target::Provider(_) => {
            let message = format!("`{target}` is a provider; only components can be called so");
            Err(CallError::new(ErrorKind::NotAllowed, message))
        }
    }
}

/// The contract and the function that a person means by `name` or `contract#name`. Where no
/// contract is named, the callee's node looks the function up among all of them.
pub(crate) fn addressed(function: &str) -> Result<(ContractId, &str), CallError> {
    match function.split_once('#') {
        Some((named, function)) => Ok((contract(named)?, function)),
        None => Ok((contract(ANY)?, function)),
    }
}

/// Calls a function of a component on this node, looked up by name where the contract is [`ANY`].
pub(super) async fn wave_here(
    actor: &Actor,
    context: CallContext,
    contract: &ContractId,
    function: &str,
    arguments: &str,
) -> Result<String, CallError> {
    let named = Some(contract).filter(|contract| contract.to_string() != ANY);
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
const ANY: &str = "wattle:any";

pub(crate) fn contract(text: &str) -> Result<ContractId, CallError> {
    text.parse().map_err(|error| CallError::new(ErrorKind::NotLinked, format!("{error}")))
}
