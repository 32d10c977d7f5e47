//! Requests over HTTP: from outside of the mesh to the gateway of a node, and from components to
//! hosts that are outside. As in the node's daemon (`gateway`, `outside`) and its client.

use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::call::{CallHeader, ErrorKind};
use wattle_contracts::id::{ComponentId, Digest};
use wattle_contracts::record::host_matches;

use super::calls::Calling;
use super::{Cx, Machine, Wake};
use crate::lattice::fabric::draw;
use crate::lattice::happening::Happening;
use crate::wasm::http::{pack_response, unpack_request, unpack_response};
use crate::wasm::{Input, Output};

/// A request that somebody outside of the mesh makes.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    /// Its number among the calls of this run.
    pub(crate) call: u64,
    pub(crate) host: String,
    pub(crate) path: String,
    /// All of it, as it travels.
    pub(crate) packed: Arc<[u8]>,
    pub(crate) time: Duration,
}

/// A host outside of the mesh, which is made up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideHost {
    /// The status of each of its responses.
    pub status: u16,
    /// The body.
    pub body: String,
    /// How long it takes to answer, with the way there and back.
    pub takes: Duration,
    /// How often it can't be reached, in millionths.
    pub fails_ppm: u32,
}

impl Machine {
    /// A request comes to this node's gateway.
    pub(crate) fn request_from_outside(&mut self, asking: Asking, cx: &mut Cx<'_>) {
        let Asking { call, host, path, packed, time } = asking;
        let Ok(contract) = "wasi:http/incoming-handler".parse() else { return };
        let calling = Calling {
            call,
            from: None,
            to: self.table.routes.find(&host, &path).cloned(),
            contract,
            function: "handle".into(),
            bytes: packed.len(),
            time,
            input: Input::Http(packed),
            asked_by: None,
        };
        self.call(calling, cx);
    }

    /// A component asks somebody outside.
    pub(super) fn guest_requests(
        &mut self,
        asked_by: (u64, u64),
        from: ComponentId,
        request: Arc<[u8]>,
        time: Duration,
        cx: &mut Cx<'_>,
    ) {
        let Ok(contract) = "wasi:http/outgoing-handler".parse() else { return };
        let calling = Calling {
            call: super::guests::own_number(cx.rng),
            from: Some(from),
            to: None,
            contract,
            function: "handle".into(),
            bytes: request.len(),
            time,
            input: Input::Http(request),
            asked_by: Some(asked_by),
        };
        self.call(calling, cx);
    }

    /// What the gateway answers, where real components run: what the component said, or what it
    /// makes of an error.
    pub(super) fn responded(
        &self,
        calling: &Calling,
        outcome: &Result<Output, ErrorKind>,
        cx: &mut Cx<'_>,
    ) {
        let is_asked_outside = calling.from.is_none() && matches!(calling.input, Input::Http(_));
        if !is_asked_outside || self.settings.code.is_none() {
            return;
        }
        let response = outcome.as_ref().map_err(|kind| *kind).map(|bytes| unpack_response(bytes));
        let (status, body) = match response {
            Ok(Ok(response)) => (response.status().as_u16(), Digest::of(response.body())),
            Ok(Err(error)) => (error.kind.http_status(), Digest::of(b"")),
            Err(kind) => (kind.http_status(), Digest::of(b"")),
        };
        cx.happens(Happening::Responded { call: calling.call, status, body });
    }

    /// A component's request goes out of the mesh here, if the provider allows it.
    pub(super) fn ask_outside(
        &mut self,
        serve: u64,
        hosts: &[String],
        header: &CallHeader,
        request: &[u8],
        cx: &mut Cx<'_>,
    ) {
        let Ok(request) = unpack_request(request) else {
            return self.executed_with(serve, Err(ErrorKind::Internal), cx);
        };
        let uri = request.uri();
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let (host, port) = (uri.host().unwrap_or(""), uri.port_u16().unwrap_or(usual));
        if !hosts.iter().any(|pattern| host_matches(pattern, host, port, usual)) {
            return self.executed_with(serve, Err(ErrorKind::NotAllowed), cx);
        }
        // Nothing that is rehearsed reaches anybody who is not made up.
        let Some(there) = self.settings.outside.get(&host.to_ascii_lowercase()) else {
            return self.executed_with(serve, Err(ErrorKind::Unreachable), cx);
        };
        let response = http::Response::builder().status(there.status);
        let response = response.body(there.body.clone().into_bytes());
        let response = response.map_err(|_| ErrorKind::Internal);
        let response = response.and_then(|whole| pack_response(&whole).map_err(|e| e.kind));
        let (takes, result) = match draw(there.fails_ppm, cx.rng) {
            _ if there.takes > header.time_left => (header.time_left, Err(ErrorKind::Deadline)),
            true => (there.takes, Err(ErrorKind::Unreachable)),
            false => (there.takes, response),
        };
        self.set_result(serve, result);
        cx.wake(cx.now.plus(takes), Wake::Serve(serve));
    }
}
