//! The API's client, for the command line.

mod door;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, BodyStream, Full};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::door::{NetworkAddress, Way};
use super::trust::{DRAFT, DraftsReply, RecordRequest, Wired};
use super::types::ApiError;
use crate::cli::{Expected, sign_draft};
use crate::home;

/// Speaks to one node.
pub(crate) struct Client {
    way: Way,
    /// The key of the operator who asks: it signs what is declared, here and not at the node.
    operator_key: Option<PathBuf>,
}

/// Why a node did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error(
        "no node answers at {}: {why}. Is it running (wattle up)? For another data folder, say \
         --data", .socket.display()
    )]
    NoNode { socket: PathBuf, why: std::io::Error },
    /// The node elsewhere does not answer, or another one does.
    #[error("the node at {at} is not asked: {why}")]
    NotReached {
        at: String,
        why: String,
        /// Whether something answers there.
        is_there: bool,
    },
    /// The node refused.
    #[error("{}", .0.error)]
    Refused(ApiError),
    /// What was asked for can't be signed.
    #[error("this was not signed, so nothing was changed: {0}")]
    Unsigned(String),
    /// The conversation broke off.
    #[error("the node's answer can't be read: {0}")]
    Broken(String),
}

impl ClientError {
    /// Whether nobody listens (any more).
    pub(crate) fn is_nobody(&self) -> bool {
        matches!(self, Self::NoNode { .. } | Self::NotReached { is_there: false, .. })
    }

    fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

impl Client {
    /// A client of the node whose API is at `socket`, for the operator whose private key is there.
    pub(crate) fn new(socket: &Path, operator_key: Option<PathBuf>) -> Self {
        Self::through(Way::Socket(socket.to_path_buf()), operator_key)
    }

    /// A client of the node at the end of `way`.
    pub(crate) fn through(way: Way, operator_key: Option<PathBuf>) -> Self {
        Self { way, operator_key }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(Method::DELETE, path, Bytes::new()).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        bytes: Bytes,
    ) -> Result<T, ClientError> {
        self.json(Method::PUT, path, bytes).await
    }

    pub(crate) async fn put_json<T: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, ClientError> {
        let bytes = serde_json::to_vec(message).map_err(ClientError::broken)?;
        self.json(Method::PUT, path, bytes.into()).await
    }

    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, ClientError> {
        let bytes = serde_json::to_vec(message).map_err(ClientError::broken)?;
        self.json(Method::PATCH, path, bytes.into()).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, ClientError> {
        let bytes = serde_json::to_vec(message).map_err(ClientError::broken)?;
        self.json(Method::POST, path, bytes.into()).await
    }

    /// The lines of an answer as they come.
    pub(crate) async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<T, ClientError>> + use<T>, ClientError> {
        let response = self.request(Method::GET, path, Bytes::new()).await?;
        let parts = Box::pin(BodyStream::new(response.into_body()));
        Ok(futures::stream::unfold((parts, Vec::new()), async |(mut parts, mut buffer)| {
            loop {
                if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    let line = serde_json::from_slice(&line).map_err(ClientError::broken);
                    return Some((line, (parts, buffer)));
                }
                match parts.next().await? {
                    Ok(frame) => buffer.extend_from_slice(&frame.into_data().unwrap_or_default()),
                    Err(error) => {
                        return Some((Err(ClientError::broken(error)), (parts, Vec::new())));
                    }
                }
            }
        }))
    }

    /// Asks for something of which one record comes, where the node does not sign for itself: that
    /// is signed, and nothing else.
    pub(crate) async fn declare<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        message: &impl Serialize,
        expected: Expected,
    ) -> Result<T, ClientError> {
        let bytes = serde_json::to_vec(message).map_err(ClientError::broken)?;
        self.exchange(method, path, bytes.into(), Some(&expected)).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        self.exchange(method, path, body, None).await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        expected: Option<&Expected>,
    ) -> Result<T, ClientError> {
        let response = self.request(method, path, body).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(ClientError::broken)?.to_bytes();
        match status {
            StatusCode::ACCEPTED => self.sign(&bytes, expected).await,
            _ => serde_json::from_slice(&bytes).map_err(ClientError::broken),
        }
    }

    /// Signs what the node has drafted, and hands it back.
    async fn sign<T: DeserializeOwned>(
        &self,
        bytes: &[u8],
        expected: Option<&Expected>,
    ) -> Result<T, ClientError> {
        let unsigned = |error: String| ClientError::Unsigned(error);
        let path =
            self.operator_key.as_deref().ok_or_else(|| unsigned("no key was given".into()))?;
        let key = home::read_key(path).map_err(|error| unsigned(format!("{error:#}")))?;
        let DraftsReply { drafts, reply } =
            serde_json::from_slice(bytes).map_err(ClientError::broken)?;
        let mut records = Vec::new();
        for draft in drafts {
            let draft = draft.read().map_err(ClientError::broken)?;
            let record =
                sign_draft(draft, &key, expected).map_err(|error| unsigned(error.to_string()))?;
            records.push(Wired::of(&record).map_err(ClientError::broken)?);
        }
        for record in records {
            let body =
                serde_json::to_vec(&RecordRequest { record }).map_err(ClientError::broken)?;
            let taken = self.request(Method::POST, "/v1/records", body.into()).await?;
            taken.into_body().collect().await.map_err(ClientError::broken)?;
        }
        serde_json::from_value(reply).map_err(ClientError::broken)
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut sender = self.way.open().await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.way.host())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = self.way.authorization() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = match (&self.operator_key, path == "/v1/records") {
            (Some(_), false) => request.header(DRAFT, "1"),
            _ => request,
        };
        let request = request.body(Full::new(body)).map_err(ClientError::broken)?;
        let response = sender.send_request(request).await.map_err(ClientError::broken)?;
        if matches!(response.status(), StatusCode::OK | StatusCode::ACCEPTED) {
            return Ok(response);
        }
        let bytes = response.into_body().collect().await.map_err(ClientError::broken)?.to_bytes();
        Err(match serde_json::from_slice(&bytes) {
            Ok(error) => ClientError::Refused(error),
            Err(_) => ClientError::Broken(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }
}
