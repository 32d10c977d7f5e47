//! A hyper server with wasmtime's own `wasi:http` handler, as that crate's documentation shows it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Result, Store, bail};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::helper;
use crate::{places, plain_engine};

/// The role of the process that serves.
pub(crate) const SERVER: &str = "http-server";

/// Serves `hello.wasm` on a free port.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let bytes = places::guest("hello")?;
    let handler = handler(&bytes).map_err(plain_engine::failure)?;
    let server = Arc::new(Server { handler });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    helper::ready(&listener.local_addr()?.to_string())?;
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let server = server.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let server = server.clone();
                async move { server.answer(request).await }
            });
            let connection = http1::Builder::new()
                .keep_alive(true)
                .serve_connection(TokioIo::new(client), answer);
            if let Err(error) = connection.await {
                eprintln!("the plain server lost a client: {error:#}");
            }
        });
    }
}

fn handler(component: &[u8]) -> Result<ProxyPre<State>> {
    let engine = plain_engine::make()?;
    let component = Component::new(&engine, component)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    ProxyPre::new(linker.instantiate_pre(&component)?)
}

struct Server {
    handler: ProxyPre<State>,
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<HyperOutgoingBody>> {
        let state = State {
            wasi: WasiCtx::builder().inherit_stdio().build(),
            http: WasiHttpCtx::new(),
            hooks: NoWay,
            table: ResourceTable::new(),
        };
        let mut store = Store::new(self.handler.engine(), state);
        store.set_epoch_deadline(plain_engine::NEVER);
        let (set, head) = oneshot::channel();
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let response = store.data_mut().http().new_response_outparam(set)?;
        let handler = self.handler.clone();
        let guest = tokio::spawn(async move {
            let instance = handler.instantiate_async(&mut store).await?;
            let handler = instance.wasi_http_incoming_handler();
            handler.call_handle(store, request, response).await
        });
        match head.await {
            Ok(head) => Ok(head?),
            Err(_) => {
                guest.await??;
                bail!("the guest gave no response")
            }
        }
    }
}

/// What the guest of one request has.
struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoWay,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Requests out are not needed here, and would bring another library for transport security.
struct NoWay;

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for NoWay {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
