//! What it costs to cross each boundary: into a component, between two of a node, through the
//! encoding, and with an HTTP request; each beside what wasmtime alone needs for the same.

#![allow(missing_docs, reason = "criterion's macros make public items without any")]
#![allow(clippy::unwrap_used, reason = "a measurement that can't begin has nothing to say")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::BodyExt as _;
use tokio::runtime::Runtime;
use wasmtime::Store;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};
use wattle_runtime::value::{Shape, Signature};
use wattle_runtime::{Engine, EngineConfig, HttpBody, Val};

use crate::common::wat::{bytes_echo, bytes_relay, composed};
use crate::common::{Link, Loopback, Node, actor, component, contract, guest_bytes};

/// An hour: the calls of a measurement share one deadline.
fn context() -> wattle_runtime::CallContext {
    common::within(std::time::Duration::from_secs(3600))
}

fn engine() -> Engine {
    Engine::new(EngineConfig::default()).unwrap()
}

/// wasmtime as its own examples set it up, with the settings that the measured engine has.
fn plain_engine() -> wasmtime::Engine {
    let mut config = wasmtime::Config::new();
    config.concurrency_support(false).epoch_interruption(true);
    config.allocation_strategy(wasmtime::PoolingAllocationConfig::new());
    wasmtime::Engine::new(&config).unwrap()
}

fn components(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("component");

    let plain = plain_engine();
    let alone = Component::new(&plain, composed()).unwrap();
    let instances = Linker::<()>::new(&plain).instantiate_pre(&alone).unwrap();
    let interface = alone.get_export_index(None, "bench:relay/relay").unwrap();
    let function = alone.get_export_index(Some(&interface), "relay").unwrap();
    for size in [100, 65_536] {
        let payload = vec![7u8; size];
        group.bench_function(format!("composed/wasmtime/{size}"), |bencher| {
            bencher.to_async(&runtime).iter(async || {
                let mut store = Store::new(&plain, ());
                store.epoch_deadline_async_yield_and_update(1);
                let instance = instances.instantiate_async(&mut store).await.unwrap();
                let function =
                    instance.get_typed_func::<(&[u8],), (Vec<u8>,)>(&mut store, function).unwrap();
                function.call_async(&mut store, (&payload,)).await.unwrap()
            });
        });
    }

    let (engine, node) = (engine(), Node::new());
    let echo = actor(&component(&engine, &bytes_echo()), "bench/echo", &node);
    let relay = actor(&component(&engine, &bytes_relay()), "bench/relay", &node);
    let echo_contract = contract("bench:echo/echo");
    let relay_contract = contract("bench:relay/relay");
    // As a call arrives from another node: encoded.
    let signature = Signature::new([Shape::Bytes], [Shape::Bytes]);
    for size in [100, 65_536] {
        let payload = [Val::List(vec![Val::U8(7); size])];
        let payload = signature.encode_arguments(&payload).unwrap();
        group.bench_function(format!("one/{size}"), |bencher| {
            bencher.to_async(&runtime).iter(async || {
                echo.call(context(), &echo_contract, "echo", &payload).await.unwrap()
            });
        });
        node.link("bench:echo/echo", Link::Local(echo.clone()));
        group.bench_function(format!("local/{size}"), |bencher| {
            bencher.to_async(&runtime).iter(async || {
                relay.call(context(), &relay_contract, "relay", &payload).await.unwrap()
            });
        });
        node.link("bench:echo/echo", Link::Remote(Arc::new(Loopback(echo.clone()))));
        group.bench_function(format!("encoded/{size}"), |bencher| {
            bencher.to_async(&runtime).iter(async || {
                relay.call(context(), &relay_contract, "relay", &payload).await.unwrap()
            });
        });
    }
    group.finish();
}

/// The state of wasmtime-wasi-http's own example.
struct Plain {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoWay,
    table: ResourceTable,
}

struct NoWay;

impl WasiHttpHooks for NoWay {
    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _written: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<
        dyn Future<
                Output = Result<
                    (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>),
                    Error,
                >,
            > + Send,
    > {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl WasiView for Plain {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Plain {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

fn hello(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("http");
    let bytes = guest_bytes("hello");
    let request = || Request::get("http://shop.example/").body(HttpBody::empty()).unwrap();

    let plain = plain_engine();
    let alone = Component::new(&plain, &bytes).unwrap();
    let mut linker = Linker::new(&plain);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).unwrap();
    let handler = ProxyPre::new(linker.instantiate_pre(&alone).unwrap()).unwrap();
    group.bench_function("hello/wasmtime", |bencher| {
        bencher.to_async(&runtime).iter(async || {
            let state = Plain {
                wasi: WasiCtx::builder().build(),
                http: WasiHttpCtx::new(),
                hooks: NoWay,
                table: ResourceTable::new(),
            };
            let mut store = Store::new(&plain, state);
            store.epoch_deadline_async_yield_and_update(1);
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let mut view = store.data_mut().http();
            let request = view.new_incoming_request(Scheme::Http, request()).unwrap();
            let response = view.new_response_outparam(sender).unwrap();
            let handler = handler.clone();
            let task = tokio::spawn(async move {
                let instance = handler.instantiate_async(&mut store).await.unwrap();
                let handler = instance.wasi_http_incoming_handler();
                handler.call_handle(&mut store, request, response).await.unwrap();
            });
            let response = receiver.await.unwrap().unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            task.await.unwrap();
            body
        });
    });

    let (engine, node) = (engine(), Node::new());
    let hello = actor(&component(&engine, &bytes), "shop/hello", &node);
    group.bench_function("hello/actor", |bencher| {
        bencher.to_async(&runtime).iter(async || {
            let response = hello.http(context(), request()).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        });
    });
    group.finish();
}

criterion_group!(benches, components, hello);
criterion_main!(benches);
