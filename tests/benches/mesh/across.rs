//! A component that calls another one on another node, beside NATS and raw quinn.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::commands::Options;
use crate::framed::Framed;
use crate::nats::{self, Broker, Nats};
use crate::node::{Node, Site};
use crate::report::{Comparison, Report, Target};
use crate::statistics::{Latencies, grouped, median, micros, rate};
use crate::threads::Threads;

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
limits = { reuse = 1000 }

[component.granted-relay]
wasm = "relay.wasm"
on = { role = "a" }

[component.fresh-relay]
wasm = "relay.wasm"
on = { role = "a" }

[component.fresh-echo]
wasm = "echo.wasm"
on = { role = "b" }

[component.near-relay]
wasm = "relay.wasm"
on = { role = "a" }

[component.near-granted-relay]
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
from = "granted-relay"
contract = "wattle:bench/echo"
to = "echo"
functions = ["echo"]
calls_per_second = 10000000
bytes_per_second = "100GiB"
bytes_per_call = "1MiB"

[[link]]
from = "fresh-relay"
contract = "wattle:bench/echo"
to = "fresh-echo"

[[link]]
from = "near-relay"
contract = "wattle:bench/echo"
to = "near-echo"

[[link]]
from = "near-granted-relay"
contract = "wattle:bench/echo"
to = "near-echo"
functions = ["echo"]
calls_per_second = 10000000
"#;

/// Whose calls are timed.
const CALLERS: [&str; 5] = [
    "bench/relay",
    "bench/granted-relay",
    "bench/fresh-relay",
    "bench/near-relay",
    "bench/near-granted-relay",
];

const LEFT_OUT: &str = "not there: `cargo xtask setup` installs nats-server";

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    eprintln!("component to component, two nodes");
    let site = Site::new()?;
    let (a, b) = (site.start("a", false).await?, site.start("b", false).await?);
    a.sees(1).await?;
    b.sees(1).await?;
    site.apply(&a, APP, &["relay", "echo"])?;
    let wave = wave(PAYLOAD);
    for target in CALLERS {
        a.call_when_ready(target, "relay", &wave).await?;
    }
    let broker = nats::server().map(|server| Broker::start(&server)).transpose()?;
    let sides = Sides {
        a,
        b,
        wave,
        payload: Bytes::from(vec![7; PAYLOAD]),
        usual: Others::start(broker.as_ref(), Threads::PerCore).await?,
        thin: Others::start(broker.as_ref(), Threads::One).await?,
    };
    sides.one_in_flight(options, report).await?;
    sides.many_in_flight(options, report).await
}

/// What is measured beside Wattle, with one number of threads.
struct Others {
    nats: Option<Nats>,
    framed: Framed,
}

impl Others {
    async fn start(broker: Option<&Broker>, threads: Threads) -> Result<Self> {
        let nats = match broker {
            Some(broker) => Some(Nats::start(broker, threads).await?),
            None => None,
        };
        Ok(Self { nats, framed: Framed::start(threads).await? })
    }
}

struct Sides {
    a: Node,
    b: Node,
    /// The payload in WAVE text.
    wave: String,
    payload: Bytes,
    usual: Others,
    /// The others on one thread each.
    thin: Others,
}

impl Sides {
    async fn one_in_flight(&self, options: &Options, report: &mut Report) -> Result<()> {
        let (rounds, calls) = options.pick((20, MOST_CALLS), (3, 500));
        let [mut ours, mut granted, mut near, mut near_granted] =
            [(); 4].map(|()| Latencies::default());
        let mut others = [&self.usual, &self.thin]
            .map(|others| (others, Latencies::default(), Latencies::default()));
        for round in 0..=rounds {
            let far_times = self.timed("bench/relay", calls).await?;
            let granted_times = self.timed("bench/granted-relay", calls).await?;
            let near_times = self.timed("bench/near-relay", calls).await?;
            let near_granted_times = self.timed("bench/near-granted-relay", calls).await?;
            // The first round only warms up.
            let counts = round > 0;
            if counts {
                ours.round(far_times);
                granted.round(granted_times);
                near.round(near_times);
                near_granted.round(near_granted_times);
            }
            for (others, nats, framed) in &mut others {
                let framed_times = others.framed.one_in_flight(calls, &self.payload).await?;
                if counts {
                    framed.round(framed_times);
                }
                if let Some(other) = &others.nats {
                    let nats_times = other.one_in_flight(calls, &self.payload).await?;
                    if counts {
                        nats.round(nats_times);
                    }
                }
            }
        }
        let [(_, nats, framed), (_, thin_nats, thin_framed)] = others;
        let there = self.usual.nats.is_some();
        report.compare(Comparison {
            what: "two nodes, 100 bytes, 1 in flight, p50 (NATS request/reply)",
            ours: micros(ours.p50()),
            theirs: if there { micros(nats.p50()) } else { LEFT_OUT.into() },
            ratio: there.then(|| ours.p50() / nats.p50()),
            target: Target::AtMost(0.6),
        });
        report.compare(Comparison {
            what: "two nodes, 1 in flight, p50, function, rate and bytes granted (all granted)",
            ours: micros(granted.p50()),
            theirs: micros(ours.p50()),
            ratio: Some(granted.p50() / ours.p50()),
            target: Target::AtMost(1.1),
        });
        report.compare(Comparison {
            what: "one node, 1 in flight, p50, function and rate granted (all granted)",
            ours: micros(near_granted.p50()),
            theirs: micros(near.p50()),
            ratio: Some(near_granted.p50() / near.p50()),
            target: Target::AtMost(1.1),
        });
        report.print("two nodes, 1 in flight, Wattle", ours.text());
        if there {
            report.print("two nodes, 1 in flight, NATS", nats.text());
            report.print("two nodes, 1 in flight, NATS, one thread each", thin_nats.text());
        }
        report.print("two nodes, 1 in flight, quinn, framed", framed.text());
        report.print("two nodes, 1 in flight, quinn, framed, one thread each", thin_framed.text());
        report.print("both components on one of the nodes, 1 in flight, Wattle", near.text());
        Ok(())
    }

    async fn many_in_flight(&self, options: &Options, report: &mut Report) -> Result<()> {
        let rounds = options.pick(6, 2);
        let calls = self.bearable(options.pick(MOST_CALLS, 200)).await?;
        let count = u64::from(IN_FLIGHT) * u64::from(calls);
        let [mut ours, mut fresh, mut caller, mut callee] = [const { Vec::new() }; 4];
        let mut others = [&self.usual, &self.thin].map(|others| (others, Vec::new(), Vec::new()));
        for round in 0..=rounds {
            let counts = round > 0;
            let (a, b) = (self.a.cpu()?, self.b.cpu()?);
            let time = self.many("bench/relay", calls).await?;
            let (a, b) = (self.a.cpu()?.saturating_sub(a), self.b.cpu()?.saturating_sub(b));
            let fresh_time = self.many("bench/fresh-relay", calls).await?;
            if counts {
                fresh.push(rate(count, fresh_time));
                ours.push(rate(count, time));
                caller.push(a.as_nanos() as f64 / count as f64);
                callee.push(b.as_nanos() as f64 / count as f64);
            }
            for (others, nats, framed) in &mut others {
                let time = others.framed.in_flight(IN_FLIGHT, calls, &self.payload).await?;
                if counts {
                    framed.push(rate(count, time));
                }
                if let Some(other) = &others.nats {
                    let time = other.in_flight(IN_FLIGHT, calls, &self.payload).await?;
                    if counts {
                        nats.push(rate(count, time));
                    }
                }
            }
        }
        let [(_, nats, framed), (_, thin_nats, thin_framed)] = others;
        let there = self.usual.nats.is_some();
        let (our_rate, their_rate) = (median(&ours), median(&nats));
        report.compare(Comparison {
            what: "two nodes, 100 bytes, 64 in flight, calls per second (NATS request/reply)",
            ours: grouped(our_rate),
            theirs: if there { grouped(their_rate) } else { LEFT_OUT.into() },
            ratio: there.then_some(our_rate / their_rate),
            target: Target::AtLeast(1.5),
        });
        let (caller, callee) = (micros(median(&caller)), micros(median(&callee)));
        report.print(
            "two nodes, 64 in flight, Wattle, CPU per call",
            format!("{caller} on the caller's node, {callee} on the callee's"),
        );
        let per_second = |rates: &[f64]| format!("{} calls/s", grouped(median(rates)));
        report.print(
            "two nodes, 64 in flight, Wattle, an instance for each call",
            per_second(&fresh),
        );
        if there {
            report.print("two nodes, 64 in flight, NATS, one thread each", per_second(&thin_nats));
        }
        report.print("two nodes, 64 in flight, quinn, framed", per_second(&framed));
        report.print(
            "two nodes, 64 in flight, quinn, framed, one thread each",
            per_second(&thin_framed),
        );
        Ok(())
    }

    /// The nanoseconds of each of `calls`, as the component measured them.
    async fn timed(&self, target: &str, calls: u32) -> Result<Vec<u64>> {
        let arguments = format!("{calls}, {}", self.wave);
        let list = self.a.call(target, "timed", &arguments).await?;
        let numbers = list.trim_matches(['[', ']']).split(',').map(|number| number.trim().parse());
        numbers.collect::<Result<_, _>>().with_context(|| format!("`{target}` gave back {list}"))
    }

    /// 64 calls into the component at once, each with so many calls out of it.
    async fn many(&self, target: &str, calls: u32) -> Result<Duration> {
        let arguments = format!("{calls}, {}", self.wave);
        let begun = Instant::now();
        let all = (0..IN_FLIGHT).map(|_| self.a.call(target, "many", &arguments));
        futures::future::try_join_all(all).await?;
        Ok(begun.elapsed())
    }

    /// As many calls as wanted, or fewer if the time that a component has would not suffice.
    async fn bearable(&self, wanted: u32) -> Result<u32> {
        let probe = 50;
        let each = self.many("bench/fresh-relay", probe).await? / probe;
        let most = CAREFUL.as_nanos() / each.as_nanos().max(1);
        Ok(wanted.min(u32::try_from(most).unwrap_or(wanted)).max(1))
    }
}

/// A list of bytes as WAVE text.
fn wave(bytes: usize) -> String {
    format!("[{}]", vec!["7"; bytes].join(", "))
}
