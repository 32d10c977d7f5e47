//! A short answer in plain text.

use crate::bindings::exports::wasi::http::incoming_handler::ResponseOutparam;
use crate::bindings::wasi::http::types::{Fields, OutgoingBody, OutgoingResponse};

/// As much as `blocking-write-and-flush` takes at once.
const CHUNK: usize = 4096;

pub(crate) struct Reply {
    status: u16,
    allow: Option<&'static str>,
    text: String,
}

impl Reply {
    pub(crate) fn ok(text: String) -> Self {
        Self { status: 200, allow: None, text }
    }

    pub(crate) fn unavailable(text: String) -> Self {
        Self { status: 503, allow: None, text }
    }

    pub(crate) fn not_allowed(allow: &'static str) -> Self {
        Self { status: 405, allow: Some(allow), text: "method not allowed\n".to_owned() }
    }

    /// What fails here fails because the asker is gone, so nobody is left to be told.
    pub(crate) fn send(self, outparam: ResponseOutparam) {
        let _ = self.try_send(outparam);
    }

    fn try_send(self, outparam: ResponseOutparam) -> Option<()> {
        let headers = Fields::new();
        headers.append("content-type", b"text/plain; charset=utf-8").ok()?;
        headers.append("content-length", self.text.len().to_string().as_bytes()).ok()?;
        if let Some(methods) = self.allow {
            headers.append("allow", methods.as_bytes()).ok()?;
        }
        let response = OutgoingResponse::new(headers);
        response.set_status_code(self.status).ok()?;
        let body = response.body().ok()?;
        ResponseOutparam::set(outparam, Ok(response));
        let stream = body.write().ok()?;
        for chunk in self.text.as_bytes().chunks(CHUNK) {
            stream.blocking_write_and_flush(chunk).ok()?;
        }
        drop(stream);
        OutgoingBody::finish(body, None).ok()
    }
}
