//! Durable messages: on disk before the publisher is told, beside a JetStream file stream.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::commands::Options;
use crate::jetstream::JetStream;
use crate::nats;
use crate::node::{Node, Site};
use crate::places;
use crate::report::{Comparison, Report, Target};
use crate::statistics::{Latencies, grouped, median, rate};

/// Bytes in a message.
const PAYLOAD: usize = 100;
/// Publishers at once where it is not one.
const AT_ONCE: u32 = 64;

const APP: &str = r#"app = "bench"

[component.announcer]
wasm = "announcer.wasm"
on = { role = "a" }

[component.ledger]
wasm = "ledger.wasm"
on = { role = "b" }

[provider.book]
contract = "wasi:keyvalue"

[provider.news]
contract = "wattle:messaging"
subjects = ["bench.>"]

[[link]]
from = "announcer"
contract = "wattle:messaging"
to = "news"

[[link]]
from = "ledger"
contract = "wasi:keyvalue"
to = "book"

[[subscribe]]
component = "ledger"
subjects = ["bench.>"]
"#;

/// What one side took.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    many: Latencies,
    one: Latencies,
}

impl Figures {
    fn text(&self, of: impl Fn(&Self) -> &Latencies) -> String {
        of(self).text()
    }
}

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    eprintln!("durable messages, one node");
    let site = Site::at(places::on_disk("wattle")?)?;
    let node = site.start("a", false).await?;
    let subscriber = site.start("b", false).await?;
    node.sees(1).await?;
    site.apply(&node, APP, &["announcer", "ledger"])?;
    node.call_when_ready("bench/announcer", "keep", "\"bench.first\", \"x\"").await?;
    // From now on messages wait on the disk.
    drop(subscriber);
    let server = nats::server();
    let other = match &server {
        Some(server) => Some(JetStream::start(server).await?),
        None => None,
    };
    let body = Bytes::from(vec![b'x'; PAYLOAD]);
    // As many as an outbox takes.
    let (rounds, count) = options.pick((8, 100), (2, 10));
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for round in 0..=rounds {
        let (time, times) = publish(&node, AT_ONCE, count).await?;
        let (_, alone) = publish(&node, 1, count).await?;
        // The first round only warms up.
        if round > 0 {
            ours.rates.push(rate(u64::from(AT_ONCE * count), time));
            ours.many.round(times);
            ours.one.round(alone);
        }
        if let Some(other) = &other {
            let (time, times) = other.publish(AT_ONCE, count, &body).await?;
            let (_, alone) = other.publish(1, count, &body).await?;
            if round > 0 {
                theirs.rates.push(rate(u64::from(AT_ONCE * count), time));
                theirs.many.round(times);
                theirs.one.round(alone);
            }
        }
    }
    tell(report, other.as_ref(), &ours, &theirs);
    Ok(())
}

fn tell(report: &mut Report, other: Option<&JetStream>, ours: &Figures, theirs: &Figures) {
    let (our_rate, their_rate) = (median(&ours.rates), median(&theirs.rates));
    report.compare(Comparison {
        what: "durable publish, 100 bytes, 64 at once, messages per second (JetStream file stream)",
        ours: grouped(our_rate),
        theirs: match other {
            Some(other) if other.synced => grouped(their_rate),
            Some(_) => "this nats-server can't sync each message: 2.10 or later can".into(),
            None => "not there: `cargo xtask setup` installs nats-server".into(),
        },
        ratio: other.filter(|other| other.synced).map(|_| our_rate / their_rate),
        target: Target::AtLeast(1.0),
    });
    report.print("durable publish, 64 at once, Wattle", ours.text(|figures| &figures.many));
    report.print("durable publish, one at a time, Wattle", ours.text(|figures| &figures.one));
    if let Some(other) = other {
        let how = if other.synced { "synced" } else { "NOT synced" };
        let many = theirs.text(|figures| &figures.many);
        report.print(format!("durable publish, 64 at once, JetStream, {how}"), many);
        let one = theirs.text(|figures| &figures.one);
        report.print(format!("durable publish, one at a time, JetStream, {how}"), one);
        if !other.synced {
            let rate = format!("{} messages/s", grouped(their_rate));
            report.print("durable publish, 64 at once, JetStream, NOT synced", rate);
        }
    }
}

/// `tasks` calls at once, each publishing `count` messages: how long all of it took, and the
/// nanoseconds of each message as the component measured them.
async fn publish(node: &Node, tasks: u32, count: u32) -> Result<(Duration, Vec<u64>)> {
    let begun = Instant::now();
    let calls = (0..tasks).map(|task| {
        let arguments = format!("\"bench.lane-{task}\", {PAYLOAD}, {count}");
        async move { node.call("bench/announcer", "keep-many", &arguments).await }
    });
    let lists = futures::future::try_join_all(calls).await?;
    let time = begun.elapsed();
    let mut times = Vec::new();
    for list in lists {
        let numbers = list.strip_prefix("ok([").and_then(|rest| rest.strip_suffix("])"));
        let numbers = numbers.with_context(|| format!("`keep-many` gave back {list}"))?;
        for number in numbers.split(',') {
            times.push(number.trim().parse()?);
        }
    }
    Ok((time, times))
}
