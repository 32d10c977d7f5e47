//! A body that is still arriving.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Empty, Full, Limited};
use wasmtime_wasi_http::Error as WasiHttpError;

/// The body of an HTTP request or response, in or out, as it arrives.
pub struct HttpBody(UnsyncBoxBody<Bytes, BodyError>);

impl HttpBody {
    /// The body that `body` streams.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: fmt::Display,
    {
        Self(body.map_err(|error| BodyError(error.to_string())).boxed_unsync())
    }

    /// No body.
    pub fn empty() -> Self {
        Self::new(Empty::new())
    }

    /// Everything that it streams, if that is not more than `most` bytes.
    pub async fn whole(self, most: usize) -> Result<Bytes, BodyError> {
        let whole = Limited::new(self, most).collect().await;
        whole.map(Collected::to_bytes).map_err(|error| BodyError(error.to_string()))
    }

    /// A body that is here already.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::new(Full::new(bytes.into()))
    }
}

impl Body for HttpBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpBody")
    }
}

/// Why a body ended before it was complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError(String);

impl BodyError {
    /// A body that broke off for the reason `why`.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body broke off: {}", self.0)
    }
}

impl Error for BodyError {}

impl From<BodyError> for WasiHttpError {
    fn from(error: BodyError) -> Self {
        WasiHttpError::InternalError(Some(error.to_string()))
    }
}
