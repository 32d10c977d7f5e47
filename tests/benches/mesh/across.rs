//! A component that calls another one on another node, beside NATS and raw quinn.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::commands::Options;
use crate::framed::Framed;
use crate::nats::{self, Nats};
use crate::node::{Node, Site};
use crate::report::{Comparison, Report, Target};
use crate::statistics::{Latencies, grouped, median, micros, rate};

/// Bytes in a payload.
const PAYLOAD: usize = 100;

/// Calls at once where it is not one.
const IN_FLIGHT: u32 = 64;

/// A call into a component may make 10,000 calls out of it, and take 30 seconds.
const MOST_CALLS: u32 = 5_000;
const CAREFUL: Duration = Duration::from_secs(10);

const APP: &str = r#"app = "bench"

[component.relay]
wasm = "relay.wasm"
on = { role = "a" }

[component.echo]
wasm = "echo.wasm"
on = { role = "b" }

[component.near-relay]
wasm = "relay.wasm"
on = { role = "a" }

[component.near-echo]
wasm = "echo.wasm"
on = { role = "a" }

[[link]]
from = "relay"
contract = "wattle:bench/echo"
to = "echo"

[[link]]
from = "near-relay"
contract = "wattle:bench/echo"
to = "near-echo"
"#;

const LEFT_OUT: &str = "not there: `cargo xtask setup` installs nats-server";

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    eprintln!("component to component, two nodes");
    let site = Site::new()?;
    let (a, b) = (site.start("a", false).await?, site.start("b", false).await?);
    a.sees(1).await?;
    b.sees(1).await?;
    site.apply(&a, APP, &["relay", "echo"])?;
    let wave = wave(PAYLOAD);
    for target in ["bench/relay", "bench/near-relay"] {
        a.call_when_ready(target, "relay", &wave).await?;
    }
    let sides = Sides {
        node: a,
        wave,
        payload: Bytes::from(vec![7; PAYLOAD]),
        nats: match nats::server() {
            Some(server) => Some(Nats::start(&server).await?),
            None => None,
        },
        framed: Framed::start().await?,
    };
    sides.one_in_flight(options, report).await?;
    sides.many_in_flight(options, report).await?;
    drop(b);
    Ok(())
}

struct Sides {
    node: Node,
    /// The payload in WAVE text.
    wave: String,
    payload: Bytes,
    nats: Option<Nats>,
    framed: Framed,
}

impl Sides {
    async fn one_in_flight(&self, options: &Options, report: &mut Report) -> Result<()> {
        let (rounds, calls) = options.pick((20, MOST_CALLS), (3, 500));
        let [mut ours, mut theirs, mut framed, mut near] = [(); 4].map(|()| Latencies::default());
        for round in 0..=rounds {
            let far_times = self.timed("bench/relay", calls).await?;
            let near_times = self.timed("bench/near-relay", calls).await?;
            let framed_times = self.framed.one_in_flight(calls, &self.payload).await?;
            let their_times = match &self.nats {
                Some(nats) => nats.one_in_flight(calls, &self.payload).await?,
                None => Vec::new(),
            };
            // The first round only warms up.
            if round > 0 {
                ours.round(far_times);
                near.round(near_times);
                framed.round(framed_times);
                theirs.round(their_times);
            }
        }
        let there = self.nats.is_some();
        report.compare(Comparison {
            what: "two nodes, 100 bytes, 1 in flight, p50 (NATS request/reply)",
            ours: micros(ours.p50()),
            theirs: if there { micros(theirs.p50()) } else { LEFT_OUT.into() },
            ratio: there.then(|| ours.p50() / theirs.p50()),
            target: Target::AtMost(0.6),
        });
        report.print("two nodes, 1 in flight, Wattle", ours.text());
        if there {
            report.print("two nodes, 1 in flight, NATS", theirs.text());
        }
        report.print("two nodes, 1 in flight, raw quinn, framed", framed.text());
        report.print("both components on one node, 1 in flight, Wattle", near.text());
        Ok(())
    }

    async fn many_in_flight(&self, options: &Options, report: &mut Report) -> Result<()> {
        let rounds = options.pick(6, 2);
        let calls = self.bearable(options.pick(MOST_CALLS, 200)).await?;
        let [mut ours, mut theirs, mut framed] = [const { Vec::new() }; 3];
        for round in 0..=rounds {
            let our_time = self.many(calls).await?;
            let framed_time = self.framed.in_flight(IN_FLIGHT, calls, &self.payload).await?;
            let their_time = match &self.nats {
                Some(nats) => Some(nats.in_flight(IN_FLIGHT, calls, &self.payload).await?),
                None => None,
            };
            if round > 0 {
                let count = u64::from(IN_FLIGHT) * u64::from(calls);
                ours.push(rate(count, our_time));
                framed.push(rate(count, framed_time));
                theirs.extend(their_time.map(|time| rate(count, time)));
            }
        }
        let [ours, theirs, framed] = [ours, theirs, framed].map(|rates| median(&rates));
        let there = self.nats.is_some();
        report.compare(Comparison {
            what: "two nodes, 100 bytes, 64 in flight, calls per second (NATS request/reply)",
            ours: grouped(ours),
            theirs: if there { grouped(theirs) } else { LEFT_OUT.into() },
            ratio: there.then_some(ours / theirs),
            target: Target::AtLeast(1.5),
        });
        report.print("two nodes, 64 in flight, raw quinn, framed", format!("{} calls/s", grouped(framed)));
        Ok(())
    }

    /// The nanoseconds of each of `calls`, as the component measured them.
    async fn timed(&self, target: &str, calls: u32) -> Result<Vec<u64>> {
        let arguments = format!("{calls}, {}", self.wave);
        let list = self.node.call(target, "timed", &arguments).await?;
        let numbers = list.trim_matches(['[', ']']).split(',').map(|number| number.trim().parse());
        numbers.collect::<Result<_, _>>().with_context(|| format!("`{target}` gave back {list}"))
    }

    /// 64 calls into the component at once, each with so many calls out of it.
    async fn many(&self, calls: u32) -> Result<Duration> {
        let arguments = format!("{calls}, {}", self.wave);
        let begun = Instant::now();
        let all = (0..IN_FLIGHT).map(|_| self.node.call("bench/relay", "many", &arguments));
        futures::future::try_join_all(all).await?;
        Ok(begun.elapsed())
    }

    /// As many calls as wanted, or fewer if the time that a component has would not suffice.
    async fn bearable(&self, wanted: u32) -> Result<u32> {
        let probe = 50;
        let each = self.many(probe).await? / probe;
        let most = CAREFUL.as_nanos() / each.as_nanos().max(1);
        Ok(wanted.min(u32::try_from(most).unwrap_or(wanted)).max(1))
    }
}

/// A list of bytes as WAVE text.
fn wave(bytes: usize) -> String {
    format!("[{}]", vec!["7"; bytes].join(", "))
}
