//! Real components: HTTP, keys and values, and a shop in two parts.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use wattle_contracts::call::ErrorKind;
use wattle_runtime::{Actor, Component, Engine, HttpBody, Limits, LogLevel, Val};

use crate::common::{
    Link, Loopback, Node, actor, actor_with, component, context, contract, engine, guest_bytes,
    within,
};

fn guest(engine: &Engine, name: &str) -> Component {
    component(engine, &guest_bytes(name))
}

fn get(path: &str) -> Request<HttpBody> {
    Request::get(format!("http://shop.example{path}")).body(HttpBody::empty()).unwrap()
}

async fn text(actor: &Actor, path: &str) -> (StatusCode, String) {
    let response = actor.http(context(), get(path)).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_request_gets_its_response() {
    let (engine, node) = (engine(), Node::new());
    let hello = actor(&guest(&engine, "hello"), "shop/hello", &node);
    assert_eq!(text(&hello, "/").await, (StatusCode::OK, "hello\n".into()));
    // HTTP/1.0: neither an authority nor a host.
    let bare = Request::get("/").body(HttpBody::empty()).unwrap();
    assert_eq!(hello.http(context(), bare).await.unwrap().status(), StatusCode::OK);
    assert_eq!(engine.live_instances(), Some(0));
    assert_eq!(hello.in_flight(), 0);
}

#[tokio::test]
async fn who_takes_no_requests_says_so() {
    let (engine, node) = (engine(), Node::new());
    let echo = actor(&guest(&engine, "echo"), "shop/echo", &node);
    let error = echo.http(context(), get("/")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotLinked);
}

#[tokio::test]
async fn a_body_streams_in_and_out_at_the_same_time() {
    let (engine, node) = (engine(), Node::new());
    let streamer = actor(&guest(&engine, "streamer"), "shop/streamer", &node);
    let (send, receive) = mpsc::channel::<Bytes>(1);
    let stream = futures::stream::unfold(receive, |mut receive| async move {
        let chunk = receive.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(chunk)), receive))
    });
    let request =
        Request::post("http://shop.example/").body(HttpBody::new(StreamBody::new(stream)));
    let response = streamer.http(context(), request.unwrap()).await.unwrap();
    let mut body = response.into_body();
    // Each piece comes back before the next is sent.
    for piece in ["one", "two", "three"] {
        send.send(Bytes::from_static(piece.as_bytes())).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    assert_eq!(engine.live_instances(), Some(1));
    drop(send);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_large_body_comes_complete() {
    let (engine, node) = (engine(), Node::new());
    let streamer = actor(&guest(&engine, "streamer"), "shop/streamer", &node);
    let response = streamer.http(context(), get("/bytes/3000000")).await.unwrap();
    assert_eq!(response.headers()["content-length"], "3000000");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), 3_000_000);
    assert!(body.iter().enumerate().all(|(index, byte)| index % 251 == usize::from(*byte)));
}

#[tokio::test]
async fn a_body_that_the_deadline_cuts_off_does_not_look_complete() {
    let (engine, node) = (engine(), Node::new());
    let streamer = actor(&guest(&engine, "streamer"), "shop/streamer", &node);
    // A request whose body never ends.
    let first = futures::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))]);
    let body = StreamBody::new(first.chain(futures::stream::pending()));
    let request = Request::post("http://shop.example/").body(HttpBody::new(body)).unwrap();
    let response = streamer.http(within(Duration::from_millis(300)), request).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(error.to_string().contains("deadline"), "{error}");
    assert!(
        node.logged()
            .iter()
            .any(|(level, context, _)| { *level == LogLevel::Error && context == "http" })
    );
}

#[tokio::test]
async fn a_request_that_is_given_up_frees_the_component() {
    let (engine, node) = (engine(), Node::new());
    let streamer = actor(&guest(&engine, "streamer"), "shop/streamer", &node);
    let (send, receive) = mpsc::channel::<Bytes>(1);
    let stream = futures::stream::unfold(receive, |mut receive| async move {
        let chunk = receive.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(chunk)), receive))
    });
    let request =
        Request::post("http://shop.example/").body(HttpBody::new(StreamBody::new(stream)));
    let response = streamer.http(context(), request.unwrap()).await.unwrap();
    drop(response);
    // It notices when it has something to say; then its end of the request's body goes, too.
    while send.send(Bytes::from_static(b"x")).await.is_ok() {}
    assert_eq!(streamer.in_flight(), 0);
}

#[tokio::test]
async fn a_counter_counts_in_its_bucket() {
    let (engine, node) = (engine(), Node::new());
    for name in ["counter", "counter_c"] {
        let counter = actor(&guest(&engine, name), "shop/counter", &node);
        let path = format!("/{name}");
        assert_eq!(text(&counter, &path).await, (StatusCode::OK, "1\n".into()));
        assert_eq!(text(&counter, &path).await, (StatusCode::OK, "2\n".into()));
        assert_eq!(text(&counter, &format!("/peek{path}")).await, (StatusCode::OK, "2\n".into()));
    }
    assert_eq!(node.store.values.lock().unwrap()["counter"], b"2");
    assert!(node.logged().contains(&(
        LogLevel::Debug,
        "counter".into(),
        "counter is now 2".into()
    )));
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_an_error_that_the_component_sees() {
    let (engine, node) = (engine(), Node::new());
    let counter = guest(&engine, "counter");
    let answer = async |bucket: &str| {
        let config = wattle_runtime::ActorConfig {
            id: common::id("shop/counter"),
            config: [("bucket".to_owned(), bucket.to_owned())].into(),
            limits: Limits::default(),
        };
        text(&Actor::new(&counter, config, node.clone()).unwrap(), "/").await
    };
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(answer("far").await, (unavailable, "unreachable: no way to B\n".into()));
    assert_eq!(answer("secret").await, (unavailable, "access denied\n".into()));
}

#[tokio::test]
async fn a_shop_in_two_parts_adds_up_here_and_across_nodes() {
    let (engine, node) = (engine(), Node::new());
    let basket = actor(&guest(&engine, "basket"), "shop/basket", &node);
    let pricing = actor(&guest(&engine, "pricing"), "shop/pricing", &node);
    let basket_contract = contract("example:shop/basket@0.1.0");
    let pricing_contract = contract("example:shop/pricing@0.1.0");
    let catalogue =
        pricing.call_wave(context(), Some(&pricing_contract), "catalogue", "none").await.unwrap();
    assert!(catalogue.contains("sku: \"tea\""), "{catalogue}");
    let items = r#"[{sku: "tea", quantity: 3, discount: some(multi-buy((3, 2)))}]"#;
    let total = || basket.call_wave(context(), Some(&basket_contract), "total", items);

    node.link("example:shop/pricing@0.1.0", Link::Local(pricing.clone()));
    let here = total().await.unwrap();
    assert!(here.starts_with("ok({lines: [{sku: \"tea\", quantity: 3"), "{here}");
    node.link("example:shop/pricing@0.1.0", Link::Remote(Arc::new(Loopback(pricing))));
    assert_eq!(total().await.unwrap(), here);

    let trap = basket.call_wave(
        context(),
        Some(&basket_contract),
        "total",
        r#"[{sku: "trap", quantity: 1, discount: none}]"#,
    );
    let error = trap.await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert!(error.message.contains("shop/pricing failed"), "{error}");
}

#[tokio::test]
async fn a_panic_is_logged_and_reported() {
    let (engine, node) = (engine(), Node::new());
    let bad = actor(&guest(&engine, "misbehave"), "shop/bad", &node);
    let bad_contract = contract("wattle:bench/misbehave@0.1.0");
    let error =
        bad.call_wave(context(), Some(&bad_contract), "panic", "\"oh no\"").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert!(node.logged().iter().any(|(level, context, message)| {
        *level == LogLevel::Warn && context == "stderr" && message.contains("oh no")
    }));
}

#[tokio::test]
async fn a_real_program_meets_its_limits() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { memory: 20 << 20, ..Limits::default() };
    let bad = actor_with(&guest(&engine, "misbehave"), "shop/bad", &node, limits).unwrap();
    let bad_contract = contract("wattle:bench/misbehave@0.1.0");
    let call = |context, function, arguments| {
        bad.call_wave(context, Some(&bad_contract), function, arguments)
    };
    let grown: u32 = call(context(), "grow", "100").await.unwrap().parse().unwrap();
    assert!((10..20).contains(&grown), "{grown}");
    let error = call(context(), "recurse", "100000000").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    let error = call(within(Duration::from_millis(100)), "spin", "").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Deadline);
}

#[tokio::test]
async fn bytes_pass_through_a_relay_here_and_across_nodes() {
    let (engine, node) = (engine(), Node::new());
    let echo = actor(&guest(&engine, "echo"), "bench/echo", &node);
    let relay = actor(&guest(&engine, "relay"), "bench/relay", &node);
    let relay_contract = contract("wattle:bench/relay@0.1.0");
    let payload: Vec<Val> = (0..100_000).map(|index| Val::U8((index % 251) as u8)).collect();
    for link in [Link::Local(echo.clone()), Link::Remote(Arc::new(Loopback(echo)))] {
        node.link("wattle:bench/echo@0.1.0", link);
        let arguments = [Val::List(payload.clone())];
        let results = relay.call_values(context(), &relay_contract, "relay", &arguments).await;
        assert_eq!(results.unwrap(), arguments);
        let arguments = [Val::U32(10), Val::List(payload[..100].to_vec())];
        let results = relay.call_values(context(), &relay_contract, "many", &arguments).await;
        assert_eq!(results.unwrap(), [Val::U64(1000)]);
    }
}
