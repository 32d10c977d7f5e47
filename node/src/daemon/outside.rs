//! What this node's components reach beyond themselves, bound while they run.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use http::{Request, Response};
use wattle_contracts::call::{CallError, Encoding, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId};
use wattle_contracts::message::MessageId;
use wattle_contracts::record::{Asked, ProviderKind};
use wattle_mesh::core::links::Target as Link;
use wattle_runtime::{
    CallContext, HttpBody, HttpOutError, HttpTimeouts, KeyValue, KeyValueError, LogLevel, Outside,
    PublishError, Way,
};

use super::grants::Leaving;
use super::node::Node;
use super::table::{Table, Target};
use super::way::LinkedImport;
use crate::providers::http_message::OUTGOING;
use crate::providers::keyvalue::{self, LinkedStore};
use crate::providers::messaging::Publication;
use crate::providers::outgoing;

/// The way out of every component on this node. Holds the node weakly: the node holds the
/// components.
pub(crate) struct NodeOutside {
    pub(crate) node: Weak<Node>,
}

impl NodeOutside {
    fn node(&self) -> Result<Arc<Node>, CallError> {
        Node::of(&self.node)
    }

    fn store(&self, source: &ComponentId, bucket: &str) -> Result<Arc<dyn KeyValue>, CallError> {
        let node = self.node()?;
        let table = node.table();
        let contract = parsed(keyvalue::CONTRACT)?;
        let import = node.import(&table, source, &contract)?;
        // Of several stores, the bucket's name says which: a store that is another one with each
        // call would be none.
        let Some(link) = import.named(bucket) else {
            return Err(CallError::new(ErrorKind::Internal, "an import without any link"));
        };
        let provider = link.to.clone();
        let not_linked = |message| CallError::new(ErrorKind::NotLinked, message);
        let Target::Provider(spec) = table.target(&provider)? else {
            return Err(not_linked(format!("`{provider}` is a component, not a key-value store")));
        };
        let home = spec.node.ok_or_else(|| not_linked(format!("`{provider}` has no home yet")))?;
        node.check_home(link, home)?;
        let asked = Asked::Store { bucket, keys: Vec::new() };
        let leaving = Leaving { source, contract: &contract, function: "open", asked };
        node.leaves(&leaving, &provider, [(import.contract(), link)], 0)?;
        let (node, source) = (Weak::clone(&self.node), source.clone());
        Ok(Arc::new(LinkedStore { node, source, provider, home }))
    }
}

fn parsed(contract: &str) -> Result<ContractId, CallError> {
    contract.parse().map_err(|error| CallError::new(ErrorKind::Internal, format!("{error}")))
}

#[async_trait]
impl Outside for NodeOutside {
    fn way(&self, source: &ComponentId, contract: &ContractId, function: &str) -> Arc<dyn Way> {
        Arc::new(LinkedImport::new(Weak::clone(&self.node), source, contract, function))
    }

    fn key_value(
        &self,
        source: &ComponentId,
        bucket: &str,
    ) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        self.store(source, bucket).map_err(KeyValueError::from)
    }

    fn log(&self, source: &ComponentId, level: LogLevel, context: &str, message: &str) {
        let Some(node) = self.node.upgrade() else { return };
        let level = match level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Critical => "critical",
        };
        tracing::debug!(component = %source, level, context, message, "component log");
        node.logs().push(source, level, context, message);
    }

    async fn publish(
        &self,
        _context: CallContext,
        source: &ComponentId,
        subject: String,
        body: Vec<u8>,
        durable: bool,
    ) -> Result<Option<MessageId>, PublishError> {
        let node = self.node().map_err(|error| PublishError::Other(error.to_string()))?;
        node.publish_for(source, Publication { subject, body, durable }).await
    }

    async fn secret(
        &self,
        _context: CallContext,
        source: &ComponentId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, String> {
        self.node().map_err(|error| error.message)?.secret_of(source, name).await
    }

    async fn send_http(
        &self,
        context: CallContext,
        source: &ComponentId,
        request: Request<HttpBody>,
        timeouts: HttpTimeouts,
    ) -> Result<Response<HttpBody>, HttpOutError> {
        let node = self.node()?;
        let table = node.table();
        let contract = parsed(OUTGOING)?;
        let import = node.import(&table, source, &contract)?;
        let asked = outgoing::asked(&request)?;
        let leaving = Leaving { source, contract: &contract, function: "handle", asked };
        let link = node.draw(&table, import, &leaving)?;
        if let Ok(Target::Provider(spec)) = table.target(&link.to)
            && let ProviderKind::HttpClient { hosts } = &spec.kind
        {
            outgoing::served(&link.to, hosts, request.uri())
                .map_err(|missing| node.not_leaving(&leaving, &link.to, &missing))?;
        }
        let bytes = outgoing::announced(&request);
        node.leaves(&leaving, &link.to, [(import.contract(), link)], bytes)?;
        let request = outgoing::limited(request, &link.options.grant);
        node.http_out(context, &table, link, request, timeouts).await
    }
}

impl Node {
    /// Sends a request out of the mesh through the provider at the end of `link`: from here, where
    /// this node may serve it, or from one that may.
    async fn http_out(
        self: &Arc<Self>,
        context: CallContext,
        table: &Table,
        link: &Link,
        request: Request<HttpBody>,
        timeouts: HttpTimeouts,
    ) -> Result<Response<HttpBody>, HttpOutError> {
        let provider = &link.to;
        let Target::Provider(spec) = table.target(provider)? else {
            return Err(HttpOutError::NotFound);
        };
        let ProviderKind::HttpClient { hosts } = &spec.kind else {
            return Err(HttpOutError::NotFound);
        };
        if self.carries(&spec.on) && self.answers(table, link) {
            return self.http_client().send(request, hosts, timeouts).await;
        }
        let contract = parsed(OUTGOING)?;
        let header = self.header(&context, provider, &contract, "handle", Encoding::Message);
        Ok(self.http_over_mesh(&link.options, header, request).await?)
    }
}
