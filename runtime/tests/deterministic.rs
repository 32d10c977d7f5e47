//! An engine for rehearsals: polled by hand, without a runtime, and the same each time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use common::{contract, guest_bytes, id};
use wattle_contracts::call::Source;
use wattle_contracts::id::{ComponentId, ContractId, Digest};
use wattle_runtime::{
    Actor, ActorConfig, CallContext, Component, Destination, Engine, EngineConfig, HttpBody,
    HttpOutError, HttpTimeouts, KeyValue, KeyValueError, Limits, LogLevel, Outside, Surroundings,
    Way,
};

/// A world of which only the clock moves, when it is asked.
#[derive(Default)]
struct Still {
    used: AtomicU64,
    clock: Arc<Clock>,
    echo: Mutex<Option<Arc<Actor>>>,
}

#[derive(Default)]
struct Clock(AtomicU64);

#[async_trait]
impl Surroundings for Clock {
    fn monotonic(&self) -> u64 {
        self.0.fetch_add(1000, Ordering::Relaxed)
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(1_000_000)
    }

    fn seed(&self) -> u64 {
        7
    }

    async fn sleep_until(&self, when: u64) {
        self.0.store(when, Ordering::Relaxed);
    }
}

#[async_trait]
impl Outside for Still {
    fn way(&self, _: &ComponentId, _: &ContractId, _: &str) -> Arc<dyn Way> {
        let echo = self.echo.lock().unwrap().clone().unwrap();
        Arc::new(move || Ok(Destination::Local(Arc::clone(&echo))))
    }

    fn key_value(&self, _: &ComponentId, _: &str) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        Err(KeyValueError::NoSuchStore)
    }

    fn log(&self, _: &ComponentId, _: LogLevel, _: &str, _: &str) {}

    async fn send_http(
        &self,
        _: CallContext,
        _: &ComponentId,
        _: http::Request<HttpBody>,
        _: HttpTimeouts,
    ) -> Result<http::Response<HttpBody>, HttpOutError> {
        Err(HttpOutError::Denied)
    }

    fn surroundings(&self) -> Option<Arc<dyn Surroundings>> {
        Some(Arc::clone(&self.clock) as Arc<dyn Surroundings>)
    }

    fn used(&self, fuel: u64) {
        self.used.store(fuel, Ordering::Relaxed);
    }
}

fn engine() -> Engine {
    let config = EngineConfig { deterministic: true, ..EngineConfig::default() };
    let engine = Engine::new(config).unwrap();
    assert!(engine.is_deterministic());
    engine
}

fn actor(engine: &Engine, name: &str, outside: &Arc<Still>) -> Arc<Actor> {
    let bytes = guest_bytes(name);
    let component = Component::load(engine, &Digest::of(&bytes), &bytes).unwrap();
    let (config, limits) = (BTreeMap::new(), Limits::default());
    let config = ActorConfig { id: id(&format!("a/{name}")), config, limits };
    Actor::new(&component, config, outside.clone()).unwrap()
}

/// Polls a call to its end: what it returned, and how often it gave way.
fn call(actor: &Actor, of: &str, function: &str, arguments: &str) -> (String, u64) {
    let contract = contract(of);
    let context = CallContext::untimed(Source::Operator);
    let mut call = pin!(actor.call_wave(context, Some(&contract), function, arguments));
    let mut gave_way = 0;
    loop {
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => return (result.unwrap(), gave_way),
            Poll::Pending => gave_way += 1,
        }
    }
}

#[test]
fn what_a_call_computes_is_counted_and_it_gives_way_after_so_much() {
    let run = || {
        let outside = Arc::new(Still::default());
        let misbehave = actor(&engine(), "misbehave", &outside);
        let ran = call(&misbehave, "wattle:bench/misbehave@0.1.0", "grow", "20");
        (ran, outside.used.load(Ordering::Relaxed))
    };
    let ((grown, gave_way), used) = run();
    assert_eq!(grown, "20");
    // It wrote to every page of 20 MiB.
    assert!(used > Engine::STEP, "{used}");
    assert!((1..=used / Engine::STEP + 1).contains(&gave_way), "{gave_way} times of {used}");
    assert_eq!(run(), ((grown, gave_way), used));
}

#[test]
fn a_component_sees_the_clock_that_its_host_keeps() {
    let run = || {
        let outside = Arc::new(Still::default());
        let engine = engine();
        *outside.echo.lock().unwrap() = Some(actor(&engine, "echo", &outside));
        let relay = actor(&engine, "relay", &outside);
        call(&relay, "wattle:bench/relay@0.1.0", "timed", "3, [1, 2]").0
    };
    let timed = run();
    assert!(timed.starts_with('[') && timed.contains("000"), "{timed}");
    assert_eq!(timed, run());
}

/// Polls a request to its end: what came of it, and how often it gave way.
fn request(
    actor: &Actor,
    target: &str,
    body: Vec<u8>,
    most: usize,
) -> (Result<Vec<u8>, String>, u64) {
    let uri = format!("http://shop.example{target}");
    let method = if body.is_empty() { "GET" } else { "POST" };
    let request = http::Request::builder().method(method).uri(uri).body(HttpBody::full(body));
    let context = CallContext::untimed(Source::Gateway);
    let mut answer = pin!(actor.http_whole(context, request.unwrap(), most));
    let mut gave_way = 0;
    loop {
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => return (Ok(response.into_body().to_vec()), gave_way),
            Poll::Ready(Err(error)) => return (Err(error.to_string()), gave_way),
            Poll::Pending => gave_way += 1,
        }
    }
}

#[test]
fn a_response_is_gathered_without_a_runtime_and_has_an_end() {
    let run = || {
        let outside = Arc::new(Still::default());
        let streamer = actor(&engine(), "streamer", &outside);
        let sent: Vec<u8> = (0..300_000_u32).map(|at| at as u8).collect();
        let (echoed, gave_way) = request(&streamer, "/", sent.clone(), 1 << 20);
        let used = outside.used.load(Ordering::Relaxed);
        assert!(echoed.unwrap() == sent);
        // It waits for room again and again: that is no time that passes.
        assert!(gave_way <= used / Engine::STEP, "{gave_way} times of {used}");
        (gave_way, used)
    };
    assert_eq!(run(), run());
    let outside = Arc::new(Still::default());
    let engine = engine();
    let streamer = actor(&engine, "streamer", &outside);
    let (exact, _) = request(&streamer, "/bytes/1000", Vec::new(), 1000);
    assert_eq!(exact.unwrap().len(), 1000);
    let (long, _) = request(&streamer, "/bytes/1001", Vec::new(), 1000);
    assert!(long.unwrap_err().contains("a body of more than 1000 bytes"));
    let (none, _) = request(&actor(&engine, "echo", &outside), "/", Vec::new(), 1000);
    assert!(none.unwrap_err().contains("does not export wasi:http/incoming-handler"));
}
