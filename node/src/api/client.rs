//! The API's client, for the command line.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, BodyStream, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::types::ApiError;

/// Speaks to the node behind one socket.
pub(crate) struct Client {
    socket: PathBuf,
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
    /// The node refused.
    #[error("{}", .0.error)]
    Refused(ApiError),
    /// The conversation broke off.
    #[error("the node's answer can't be read: {0}")]
    Broken(String),
}

impl ClientError {
    fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

impl Client {
    /// A client of the node whose API is at `socket`.
    pub(crate) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_path_buf() }
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

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let response = self.request(method, path, body).await?;
        let bytes = response.into_body().collect().await.map_err(ClientError::broken)?.to_bytes();
        serde_json::from_slice(&bytes).map_err(ClientError::broken)
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|why| ClientError::NoNode { socket: self.socket.clone(), why })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "node")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(ClientError::broken)?;
        let response = sender.send_request(request).await.map_err(ClientError::broken)?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let bytes = response.into_body().collect().await.map_err(ClientError::broken)?.to_bytes();
        Err(match serde_json::from_slice(&bytes) {
            Ok(error) => ClientError::Refused(error),
            Err(_) => ClientError::Broken(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }
}
