//! Requests over HTTP from outside of the mesh.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use wattle_contracts::call::CallError;

use super::Lattice;
use crate::machine::Asking;
use crate::wasm::http::pack_request;

/// A request as somebody outside plans it.
#[derive(Debug, Clone)]
pub struct RequestPlan {
    host: String,
    path: String,
    packed: Arc<[u8]>,
    time: Duration,
}

impl RequestPlan {
    /// A request, and how long its answer may take. Its target names the host, too.
    pub fn new(request: &Request<Vec<u8>>, time: Duration) -> Result<Self, CallError> {
        let (uri, packed) = (request.uri(), pack_request(request)?);
        let host = uri.host().unwrap_or("").to_owned();
        Ok(Self { host, path: uri.path().to_owned(), packed, time })
    }

    /// The host that it is for.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path, without what follows a `?`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Lattice {
    /// Makes a request at the gateway of a node. False if it is down.
    pub fn request(&mut self, number: usize, what: &RequestPlan) -> bool {
        self.next_call += 1;
        let asking = Asking {
            call: self.next_call,
            host: what.host.clone(),
            path: what.path.clone(),
            packed: Arc::clone(&what.packed),
            time: what.time,
        };
        self.with(number, |machine, cx| machine.request_from_outside(asking, cx))
    }
}
