//! A component that calls another one on the same node, beside both composed ahead of time.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::ContractId;
use wattle_runtime::{Actor, Destination, Engine, EngineConfig, Val};

use crate::commands::Options;
use crate::composed::Composed;
use crate::outside::{actor, context};
use crate::plain_engine::failure;
use crate::report::{Comparison, Report, Target};
use crate::statistics::{median, micros};

const PAYLOAD: usize = 100;

/// Calls out of one call, to see what each costs once everything is there.
const INNER: u32 = 5_000;

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    eprintln!("component to component, same node");
    let (rounds, calls) = options.pick((20, 5_000), (3, 200));
    let (ours, theirs) = (Arc::new(Pair::new()?), Arc::new(Composed::new()?));
    let [mut our_outer, mut their_outer, mut our_inner, mut their_inner] =
        [const { Vec::new() }; 4];
    for round in 0..=rounds {
        let our_round = tokio::spawn(round_of(ours.clone(), calls)).await??;
        let their_round = tokio::spawn(round_of(theirs.clone(), calls)).await??;
        if round > 0 {
            our_outer.push(our_round.0);
            our_inner.push(our_round.1);
            their_outer.push(their_round.0);
            their_inner.push(their_round.1);
        }
    }
    let (our_time, their_time) = (median(&our_outer), median(&their_outer));
    report.compare(Comparison {
        what: "same node, 100 bytes, per call (composed ahead of time, wasmtime alone)",
        ours: micros(our_time),
        theirs: micros(their_time),
        ratio: Some(our_time / their_time),
        target: Target::AtMost(2.0),
    });
    report.print("same node, calls after the first, Wattle", micros(median(&our_inner)));
    report.print("same node, calls after the first, composed", micros(median(&their_inner)));
    Ok(())
}

/// Two components, one of which calls the other.
trait Chain: Send + Sync + 'static {
    /// One call out of one call.
    fn relay(&self) -> impl Future<Output = Result<()>> + Send;

    /// So many calls out of one call.
    fn many(&self, calls: u32) -> impl Future<Output = Result<()>> + Send;
}

/// Nanoseconds of one outer call with one inner, and of each further inner call.
async fn round_of(chain: Arc<impl Chain>, calls: u32) -> Result<(f64, f64)> {
    let begun = Instant::now();
    for _ in 0..calls {
        chain.relay().await?;
    }
    let outer = begun.elapsed().as_nanos() as f64 / f64::from(calls);
    let begun = Instant::now();
    chain.many(0).await?;
    let empty = begun.elapsed();
    let begun = Instant::now();
    chain.many(INNER).await?;
    let inner = begun.elapsed().saturating_sub(empty).as_nanos() as f64 / f64::from(INNER);
    Ok((outer, inner))
}

/// `relay` and the `echo` that it calls.
struct Pair {
    relay: Arc<Actor>,
    contract: ContractId,
    payload: Val,
}

impl Pair {
    fn new() -> Result<Self> {
        let engine = Engine::new(EngineConfig::default())?;
        let nothing = || Err(CallError::new(ErrorKind::NotLinked, "nothing is linked here"));
        let echo = actor(&engine, "echo", nothing)?;
        let relay = actor(&engine, "relay", move || Ok(Destination::Local(echo.clone())))?;
        let payload = Val::List(vec![Val::U8(7); PAYLOAD]);
        Ok(Self { relay, contract: "wattle:bench/relay@0.1.0".parse()?, payload })
    }
}

impl Chain for Pair {
    async fn relay(&self) -> Result<()> {
        let arguments = std::slice::from_ref(&self.payload);
        let results = self.relay.call_values(context(), &self.contract, "relay", arguments).await?;
        ensure!(results.len() == 1, "no bytes came back");
        Ok(())
    }

    async fn many(&self, calls: u32) -> Result<()> {
        let arguments = [Val::U32(calls), self.payload.clone()];
        self.relay.call_values(context(), &self.contract, "many", &arguments).await?;
        Ok(())
    }
}

impl Chain for Composed {
    async fn relay(&self) -> Result<()> {
        self.relay(&[7; PAYLOAD]).await.map(drop).map_err(failure)
    }

    async fn many(&self, calls: u32) -> Result<()> {
        self.many(calls, &[7; PAYLOAD]).await.map(drop).map_err(failure)
    }
}
