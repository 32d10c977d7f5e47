//! An HTTP client that hides nothing: one connection, one request at a time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::wait::{self, eventually, holds, within};

/// No request may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a node's HTTP server.
#[derive(Debug)]
pub struct HttpConnection {
    sender: SendRequest<Pieces>,
}

/// A whole answer.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// What kind of error of the mesh it is, by its header `wattle-error`.
    pub error: Option<String>,
    /// The body.
    pub text: String,
}

/// A request's body, piece by piece as the test sends it.
#[derive(Debug)]
pub struct Pieces(mpsc::Receiver<Bytes>);

impl HttpConnection {
    /// Connects to `address`.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await;
        let stream = stream.unwrap_or_else(|error| panic!("can't connect to {address}: {error}"));
        stream.set_nodelay(true).expect("a TCP socket sends at once if it is told");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1");
        tokio::spawn(connection);
        Self { sender }
    }

    /// Asks for `path` at `host`.
    pub async fn get(&mut self, host: &str, path: &str) -> HttpAnswer {
        let (body, pieces) = Pieces::new();
        drop(body);
        let response = self.send("GET", host, path, pieces).await;
        let status = response.status().as_u16();
        let error = response.headers().get("wattle-error");
        let error = error.map(|kind| kind.to_str().expect("a kind is text").to_owned());
        let body = within("the body", PATIENCE, response.into_body().collect()).await;
        let body = body.expect("the body is whole").to_bytes();
        HttpAnswer { status, error, text: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Sends a request, and gives back the head of the answer with the body to come.
    pub async fn send(
        &mut self,
        method: &str,
        host: &str,
        path: &str,
        body: Pieces,
    ) -> Response<Incoming> {
        let request = Request::builder().method(method).uri(path).header(HOST, host).body(body);
        let request = request.expect("a test writes good requests");
        within("the answer's head", PATIENCE, self.sender.send_request(request))
            .await
            .unwrap_or_else(|error| panic!("{method} {host}{path}: {error}"))
    }
}

/// Asks for `path` at `host` on a connection of its own.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> HttpAnswer {
    HttpConnection::open(address).await.get(host, path).await
}

/// The first answer to that with status 200, which must come within the patience of [`wait`].
pub async fn served(address: SocketAddr, host: &str, path: &str) -> HttpAnswer {
    eventually(&format!("{host}{path} is served"), wait::PATIENCE, async || {
        let answer = get(address, host, path).await;
        holds(answer.status == 200, &answer).map(|()| answer)
    })
    .await
}

impl Pieces {
    /// A body, and where its pieces are put in. It ends when that is dropped.
    pub fn new() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(1);
        (sender, Self(receiver))
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| Some(Ok(Frame::data(piece?))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

impl HttpAnswer {
    /// The number that a counter answered with.
    pub fn number(&self) -> u64 {
        assert_eq!(self.status, 200, "{self:?}");
        self.text.trim().parse().unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
