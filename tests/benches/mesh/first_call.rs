//! The first call of a component whose compiled code is on disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId, Digest};
use wattle_runtime::value::{Shape, Signature};
use wattle_runtime::{
    CacheConfig, CallContext, Component, Destination, Engine, EngineConfig, Remote, Val,
};

use crate::commands::Options;
use crate::outside::{bind, context};
use crate::places;
use crate::report::Report;
use crate::statistics::{median, micros, nanos_since};

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    eprintln!("first call, compiled code on disk");
    let folder = tempfile::Builder::new().prefix("wattle-bench-code-").tempdir()?;
    let bytes = places::guest("relay")?;
    let [mut load, mut prepare, mut instantiate, mut call] = [const { Vec::new() }; 4];
    let mut compile = 0.0;
    for round in 0..=options.pick(30, 3) {
        let cache = CacheConfig {
            directory: folder.path().into(),
            limit: CacheConfig::LIMIT,
            secret: [7; 32],
        };
        // An engine knows what it has loaded, so each round has its own.
        let engine = Engine::new(EngineConfig { cache: Some(cache), ..EngineConfig::default() })?;
        let times = first(&engine, &bytes).await?;
        if round == 0 {
            // Nothing was on disk yet.
            compile = times.load;
            continue;
        }
        load.push(times.load);
        prepare.push(times.prepare);
        instantiate.push(times.instantiate);
        call.push(times.call);
    }
    let [load, prepare, instantiate, call] =
        [load, prepare, instantiate, call].map(|times| micros(median(&times)));
    report.print(
        "first call, compiled code on disk (relay.wasm)",
        format!("load {load}, bind {prepare}, instantiate {instantiate}, call {call}"),
    );
    report.print("to compile it, once", micros(compile));
    Ok(())
}

/// Nanoseconds.
struct Times {
    load: f64,
    prepare: f64,
    instantiate: f64,
    call: f64,
}

async fn first(engine: &Engine, bytes: &[u8]) -> Result<Times> {
    let digest = Digest::of(bytes);
    let begun = Instant::now();
    let component = Component::load(engine, &digest, bytes)?;
    let load = nanos_since(begun);

    let far = Arc::new(Far { echo: Signature::new([Shape::Bytes], [Shape::Bytes]) });
    let asked = Arc::new(Mutex::new(None));
    let begun = Instant::now();
    let actor = bind(&component, {
        let asked = asked.clone();
        move || {
            // The component is there, and makes its first call.
            *asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            Ok(Destination::Remote(far.clone()))
        }
    })?;
    let prepare = nanos_since(begun);

    let contract = "wattle:bench/relay@0.1.0".parse()?;
    let payload = [Val::List(vec![Val::U8(7); 100])];
    let begun = Instant::now();
    actor.call_values(context(), &contract, "relay", &payload).await?;
    let ended = Instant::now();
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).take();
    let asked = asked.context("relay.wasm did not call echo")?;
    let nanos = |from, to: Instant| to.duration_since(from).as_nanos() as f64;
    Ok(Times {
        load: load as f64,
        prepare: prepare as f64,
        instantiate: nanos(begun, asked),
        call: nanos(asked, ended),
    })
}

/// Gives the bytes back at once: what takes time here is not measured.
struct Far {
    echo: Signature,
}

#[async_trait]
impl Remote for Far {
    async fn call(
        &self,
        _: CallContext,
        _: &ComponentId,
        _: &ContractId,
        _: &str,
        arguments: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let wrong = |error: String| CallError::new(ErrorKind::Internal, error);
        let values = self.echo.decode_arguments(&arguments).map_err(|e| wrong(e.to_string()))?;
        self.echo.encode_results(&values).map_err(|e| wrong(e.to_string()))
    }
}
