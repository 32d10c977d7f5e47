//! Calls that come from other nodes.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;
use wattle_contracts::call::{CallError, CallHeader, Encoding, ErrorKind, Source};
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::record::{ProviderKind, ProviderSpec};
use wattle_contracts::wire;
use wattle_mesh::net::{ArtifactSource, BodyStream, Reply, Service};
use wattle_runtime::{CallContext, HttpOutError, HttpTimeouts};

use super::calls::wave_here;
use super::grants::Admitted;
use super::node::Node;
use super::table::Target;
use crate::providers::{http_message, keyvalue, outgoing};

/// Answers other nodes on behalf of this one.
pub(crate) struct NodeService {
    pub(crate) node: Weak<Node>,
}

#[async_trait]
impl Service for NodeService {
    async fn call(
        &self,
        from: NodeId,
        header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        let (node, route) = (Node::of(&self.node)?, Arc::clone(&header.route));
        // Whose the messages are that came through others is only known when they are read, and of those
        // that are refused nothing shows it: what is written down is who brought them.
        let origin = match route.source {
            Source::Messages => from,
            _ => header.origin(from),
        };
        let outcome = node.serve(from, header, payload, body).await;
        if let Err(error) = &outcome {
            node.note_denied(&route.source, Some(origin), &route.target.to_string(), error);
        }
        outcome
    }

    async fn artifact(&self, digest: Digest) -> Option<ArtifactSource> {
        let (size, file) = self.node.upgrade()?.artifacts().file(digest)?;
        Some(ArtifactSource { size, reader: Box::new(tokio::fs::File::from_std(file)) })
    }
}

impl Node {
    /// Answers a call for something that is on this node. It is not passed on: the caller's node
    /// chose this one, and knows better where else to go.
    async fn serve(
        self: &Arc<Self>,
        from: NodeId,
        mut header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        if header.hops > CallHeader::MAX_HOPS {
            let message = format!("the call has passed {} nodes: it goes round", header.hops);
            return Err(CallError::new(ErrorKind::NotAllowed, message));
        }
        if header.route.source == Source::Messages {
            return self.serve_messages(from, &header, payload).await;
        }
        if header.route.source == Source::Secrets {
            return self.hand_over(header.origin(from), &header, &payload).await;
        }
        let admitted = self.admit(from, &mut header).await?;
        match admitted.table.target(&header.route.target)? {
            Target::Provider(spec) => {
                self.serve_provider(&admitted, spec, header, payload, body).await
            }
            Target::Component(_) => {
                self.arrives(&admitted, &header.route, payload.len())?;
                let (node, target) = (Arc::clone(self), header.route.target.clone());
                let call = async move { node.serve_component(header, payload, body).await };
                self.paces().run(&target, call).await
            }
        }
    }

    async fn serve_component(
        &self,
        header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        let target = &header.route.target;
        let actor = self.running().actor(target).ok_or_else(|| {
            let message = format!("`{target}` does not run on node {} (any more)", self.id());
            CallError::new(ErrorKind::Unreachable, message)
        })?;
        let context = context_of(&header);
        match header.route.encoding {
            Encoding::Values => actor
                .call(context, &header.route.contract, &header.route.function, &payload)
                .await
                .map(Reply::new),
            Encoding::Wave | Encoding::Signed => {
                let arguments = match header.route.encoding {
                    Encoding::Signed => self.person_arrives(&header.route, &payload)?,
                    _ => std::str::from_utf8(&payload).map_err(|_| {
                        CallError::new(ErrorKind::Internal, "the arguments are no text")
                    })?,
                };
                let (contract, function) = (&header.route.contract, &header.route.function);
                wave_here(&actor, context, contract, function, arguments).await.map(Reply::new)
            }
            Encoding::Message => {
                let request = http_message::request_in(&payload, body)?;
                let (payload, body) =
                    http_message::response_out(actor.http(context, request).await?)?;
                Ok(Reply { payload, body })
            }
        }
    }

    async fn serve_provider(
        self: &Arc<Self>,
        admitted: &Admitted,
        spec: &ProviderSpec,
        header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        let provider = &header.route.target;
        let unreachable = |message| Err(CallError::new(ErrorKind::Unreachable, message));
        match &spec.kind {
            ProviderKind::KeyValue => {
                if spec.node != Some(self.id()) {
                    return unreachable(format!("`{provider}` has its home on another node"));
                }
                let request = wire::decode(&payload).map_err(|error| {
                    CallError::new(ErrorKind::Internal, format!("`{provider}`: {error}"))
                })?;
                let link = self.store_arrives(admitted, &header.route, &request)?;
                let reply = self.keyvalue().handle(provider, request).await;
                let reply = keyvalue::granted(reply, &link.options.grant);
                let reply = wire::encode(&reply).map_err(|error| {
                    CallError::new(ErrorKind::Internal, format!("`{provider}`: {error}"))
                })?;
                Ok(Reply::new(reply))
            }
            ProviderKind::HttpClient { hosts } => {
                if !self.carries(&spec.on) {
                    return unreachable(format!("`{provider}` is not served by this node"));
                }
                let request = http_message::request_in(&payload, body)?;
                let asked = outgoing::asked(&request)?;
                outgoing::served(provider, hosts, request.uri())
                    .map_err(|missing| self.not_served(&header.route, &missing))?;
                let bytes = outgoing::announced(&request);
                let link = self.request_arrives(admitted, &header.route, &asked, bytes)?;
                let request = outgoing::limited(request, &link.options.grant);
                let timeouts =
                    HttpTimeouts { first_byte: Some(header.time_left), ..HttpTimeouts::default() };
                let response = self.http_client().send(request, hosts, timeouts).await;
                let response = response.map_err(|error| {
                    let kind = match error {
                        HttpOutError::Denied => ErrorKind::NotAllowed,
                        _ => ErrorKind::Unreachable,
                    };
                    CallError::new(kind, format!("`{provider}`: {error}"))
                })?;
                let (payload, body) = http_message::response_out(response)?;
                Ok(Reply { payload, body })
            }
            _ => unreachable(format!("this node is too old to serve `{provider}`")),
        }
    }
}

fn context_of(header: &CallHeader) -> CallContext {
    CallContext {
        source: header.route.source.clone(),
        deadline: Instant::now() + header.time_left,
        trace: header.trace,
        hops: header.hops,
        depth: 0,
    }
}
