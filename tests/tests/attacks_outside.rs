//! What links grant of what is outside of the mesh and of messages: hosts, methods, subjects and
//! bytes, where a call leaves and where a member that lies brings one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod liar;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use liar::{Liar, rule};
use tokio::net::TcpListener;
use wattle_contracts::call::{Encoding, Source};
use wattle_contracts::provider::{HttpRequestHead, HttpResponseHead};
use wattle_contracts::wire;
use wattle_tests::http::{HttpConnection, Pieces};
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, Up};

/// What the courier says to whom it asks.
const COURTEOUS: &str = "please and thank you";

/// Somebody outside of the mesh, who answers with what he was told.
struct Outside {
    address: SocketAddr,
    /// Each request that came whole: its method and its body.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Outside {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) =
            (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let heard = Arc::clone(&heard);
                let answer = service_fn(move |request: Request<Incoming>| {
                    let heard = Arc::clone(&heard);
                    async move {
                        let method = request.method().to_string();
                        // What breaks off was not asked.
                        if let Ok(body) = request.into_body().collect().await {
                            let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
                            heard.lock().unwrap().push(format!("{method} {body}"));
                        }
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("heard"))))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, asked }
    }
}

/// Asks the courier of the node whose gateway is `http` to ask `host`.
async fn courier(http: SocketAddr, method: &str, host: &str) -> (u16, String) {
    let (body, pieces) = Pieces::new();
    drop(body);
    let mut connection = HttpConnection::open(http).await;
    let response = connection.send(method, "a", &format!("/{host}/x"), pieces).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn of_outgoing_requests_a_link_grants_hosts_methods_and_bytes_at_both_ends() {
    let mesh = TestMesh::new().await;
    let outside = Outside::open().await;
    let host = outside.address.to_string();
    let [near, far] = Up::start_all([mesh.node("near").http(), mesh.node("far")]).await;
    meet(&[&near, &far], PATIENCE).await;
    let grant = format!(
        "contract = \"wasi:http/outgoing-handler\"\nto = \"web\"\nhosts = [\"{host}\"]\n\
         methods = [\"POST\"]\nbytes_per_call = \"100B\"\n"
    );
    let text = format!(
        r#"app = "post"

[component.courier]
wasm = "courier.wasm"
on = {{ name = "near" }}

[component.thief]
wasm = "courier.wasm"
on = {{ name = "liar" }}

[provider.web]
contract = "wasi:http/outgoing-handler"
hosts = ["*"]
on = {{ name = "far" }}

[[link]]
from = "courier"
{grant}
[[link]]
from = "thief"
{grant}
[[http]]
component = "courier"
"#
    );
    let manifest = ManifestText::new(text).write(&mesh, "post.toml").await;
    near.verb(["apply", manifest.to_str().unwrap(), "--wait", "0"]).await.ok();
    near.sees_running("post/courier", &[&near]).await;

    // Where it leaves.
    let http = near.http().await;
    let elsewhere = format!("localhost:{}", outside.address.port());
    let good = courier(http, "POST", &host).await;
    assert_eq!(good, (200, "heard".into()));
    assert_eq!(courier(http, "GET", &host).await.0, 502);
    assert_eq!(courier(http, "POST", &elsewhere).await.0, 502);
    let log = near.verb(["logs", "post/courier"]).await.ok();
    for part in ["`GET`", "rule: method", "`localhost:", "rule: host"] {
        assert!(log.contains(part), "no {part} in\n{log}");
    }
    // It does not say how much there will be: it breaks off.
    let put = ["link", "put", "post/courier", "wasi:http/outgoing-handler", "web"];
    near.verb(put.into_iter().chain(["--bytes-per-call", "10"])).await.ok();
    assert_eq!(courier(http, "POST", &host).await.0, 502);
    let metrics = near.metrics().await;
    for name in ["method", "host"] {
        assert_eq!(metrics.counter(&format!("calls_denied_out{{rule=\"{name}\"}}")), 1, "{name}");
    }
    assert_eq!(far.metrics().await.counter("calls_denied_in"), 0);

    // Where it arrives.
    let liar = Liar::join(&mesh, "liar", &far).await;
    liar.knows(&far, 1).await;
    eventually("the liar is where it belongs", PATIENCE, async || {
        let apps = far.apps().await;
        holds(apps.component("post/thief").unwrap().placed == [liar.id()], apps)
    })
    .await;
    let ask = async |method: &str, host: &str, length: &str| {
        let head = HttpRequestHead {
            method: method.into(),
            uri: format!("http://{host}/x"),
            headers: vec![("content-length".into(), length.into())],
        };
        let source = Source::Component("post/thief".parse().unwrap());
        let what = ("post/web", "wasi:http/outgoing-handler", "handle");
        let payload = wire::encode(&head).unwrap();
        let reply = liar.call(&far, source, what, Encoding::Message, payload, None).await;
        reply.map(|reply| wire::decode::<HttpResponseHead>(&reply).unwrap().status)
    };
    assert_eq!(ask("POST", &host, "0").await, Ok(200));
    assert_eq!(rule(ask("PUT", &host, "0").await), "method");
    assert_eq!(rule(ask("POST", &elsewhere, "0").await), "host");
    assert_eq!(rule(ask("POST", &host, "101").await), "bytes-per-call");
    let metrics = far.metrics().await;
    for name in ["method", "host", "bytes-per-call"] {
        assert_eq!(metrics.counter(&format!("calls_denied_in{{rule=\"{name}\"}}")), 1, "{name}");
    }
    // Nothing else has gone out.
    let asked = outside.asked.lock().unwrap().clone();
    assert_eq!(asked, [format!("POST {COURTEOUS}"), "POST ".into()]);
}

#[tokio::test]
async fn of_messages_a_link_grants_subjects_functions_and_bytes() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    let text = r#"app = "news"

[component.announcer]
wasm = "announcer.wasm"

[provider.all]
contract = "wattle:messaging"
subjects = [">"]

[[link]]
from = "announcer"
contract = "wattle:messaging"
to = "all"
subjects = ["notes.>"]
functions = ["publish"]
bytes_per_call = "10B"
"#;
    let manifest = ManifestText::new(text).write(&mesh, "news.toml").await;
    node.run(&manifest, "news/announcer", &node).await;
    let said = async |function: &str, subject: &str, text: &str| {
        let arguments = format!("\"{subject}\", \"{text}\"");
        node.call("news/announcer", function, &arguments).await.unwrap()
    };
    assert_eq!(said("announce", "notes.a", "0123456789").await, "ok");
    for (function, subject, text, missing) in [
        ("announce", "other.a", "x", "subject"),
        ("announce", "notes.a", "0123456789x", "bytes-per-call"),
        ("keep", "notes.a", "x", "function"),
    ] {
        let said = said(function, subject, text).await;
        let rule = format!("rule: {missing}");
        assert!(said.starts_with("err(\"not-allowed:") && said.contains(&rule), "{said}");
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics.counter("calls_denied_out"), 3, "{metrics:#?}");
    // What is narrowed further counts at once.
    let put = ["link", "put", "news/announcer", "wattle:messaging", "all", "--subject", "notes.b"];
    node.verb(put).await.ok();
    assert_eq!(said("announce", "notes.b", "x").await, "ok");
    assert!(said("announce", "notes.a", "x").await.contains("rule: subject"));
}
