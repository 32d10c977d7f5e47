//! HTTP through a node, beside wasmtime's own handler in a hyper server.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::commands::Options;
use crate::helper::Helper;
use crate::load;
use crate::node::Site;
use crate::plain_http;
use crate::report::{Comparison, Report, Target};
use crate::statistics::{Latencies, grouped, median};
use crate::threads::Threads;

const CONNECTIONS: usize = 32;

/// How long the app may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

const APP: &str = r#"app = "bench"

[component.hello]
wasm = "hello.wasm"

[[http]]
component = "hello"
"#;

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    eprintln!("HTTP hello");
    let site = Site::new()?;
    let node = site.start("a", true).await?;
    site.apply(&node, APP, &["hello"])?;
    let server = node.http().await?;
    let started = tokio::time::Instant::now();
    while let Err(error) = load::put(server, 1, Duration::from_millis(1)).await {
        if started.elapsed() > PATIENCE {
            return Err(error).context("the app did not start");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let plain = Helper::start(plain_http::SERVER, Threads::PerCore, None)?;
    let other: std::net::SocketAddr = plain.said.parse()?;

    let (rounds, time) = options.pick((6, Duration::from_secs(4)), (2, Duration::from_millis(300)));
    let [mut ours, mut theirs] = [const { Vec::new() }; 2];
    let [mut our_times, mut their_times] = [(); 2].map(|()| Latencies::default());
    for round in 0..=rounds {
        let our_load = load::put(server, CONNECTIONS, time).await?;
        let their_load = load::put(other, CONNECTIONS, time).await?;
        if round > 0 {
            ours.push(our_load.rate);
            theirs.push(their_load.rate);
            our_times.round(our_load.times);
            their_times.round(their_load.times);
        }
    }
    let (ours, theirs) = (median(&ours), median(&theirs));
    report.compare(Comparison {
        what: "HTTP hello, 32 connections, requests per second (wasmtime's handler in hyper)",
        ours: grouped(ours),
        theirs: grouped(theirs),
        ratio: Some(ours / theirs),
        target: Target::AtLeast(0.9),
    });
    report.print("HTTP hello, Wattle", our_times.text());
    report.print("HTTP hello, wasmtime's handler", their_times.text());
    Ok(())
}
