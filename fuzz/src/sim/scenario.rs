//! Scenarios.

use std::time::Duration;

use wattle_sim::scenario::{FaultKind, Scenario};

use super::place::is_placed;

const APP: &str = "app = \"shop\"\n[component.web]\nwasm = \"web.wasm\"\nreplicas = 2\n\
    [component.back]\nwasm = \"b.wasm\"\n[[link]]\nfrom = \"web\"\n\
    contract = \"example:shop/pricing\"\nto = \"back\"\n";

/// Longer than any time that can be written.
const AGES: Duration = Duration::from_secs(1 << 40);

/// A scenario that is read can be reckoned with: its shares are shares, its nodes are there, no
/// time is beyond reckoning. Whatever is wrong with another one, it is said where that stands.
pub fn holds(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let read = |name: &str| match name {
        "shop.toml" => Ok((name.to_string(), APP.to_string())),
        _ => Err(format!("can't read {}: not found", name.escape_debug())),
    };
    let scenario = match Scenario::parse("s.toml", text, &read) {
        Ok(scenario) => scenario,
        Err(error) if error.file == "shop.toml" => return is_placed(APP, &error),
        Err(error) => return is_placed(text, &error),
    };
    let nodes = scenario.nodes.len();
    assert!((1..=20_000).contains(&nodes) && scenario.starts.len() == nodes);
    assert!(scenario.starts.iter().all(|start| *start < AGES));
    assert!((1..=1000).contains(&scenario.pace));
    let is_share = |ppm: u32| ppm <= 1_000_000;
    let quality = |quality: &wattle_sim::lattice::fabric::Quality| {
        let shares = [quality.loss_ppm, quality.duplicate_ppm, quality.reorder_ppm];
        assert!(shares.into_iter().all(is_share));
        assert!(quality.latency < AGES && quality.jitter < AGES);
        assert!(quality.bandwidth.is_none_or(|rate| rate > 0));
    };
    quality(&scenario.usual);
    for link in &scenario.links {
        quality(&link.quality);
        assert!(link.one.iter().chain(link.other.iter()).all(|node| node < nodes));
    }
    for fault in &scenario.faults {
        assert!(!fault.on.is_empty() && fault.on.iter().all(|node| node < nodes));
        assert!(fault.ends().is_none_or(|end| end < Duration::from_secs(1 << 60)));
        let _ = fault.what.is_hard(scenario.expect.loss_ppm);
        match &fault.what {
            FaultKind::Clock { drift_ppm, .. } => {
                assert!((-100_000..=100_000).contains(drift_ppm), "{drift_ppm}");
            }
            FaultKind::Degrade { quality: degraded, .. } => quality(degraded),
            FaultKind::Cut { flap: Some((closed, open)), .. } => {
                assert!(!closed.is_zero() && !open.is_zero());
            }
            _ => {}
        }
    }
    for load in &scenario.load {
        assert!(!load.every.is_zero() && load.until <= scenario.run);
        assert!(!load.on.is_empty());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let head = "name = \"x\"\nrun = \"10min\"\nseed = 7\n[mesh]\npace = 2\n[[nodes]]\n\
        group = \"store\"\ncount = 3\nlabels = { site = \"store\", cell = \"south\" }\nnat = true\n\
        start = \"1s\"\nevery = \"250ms\"\n[[nodes]]\ngroup = \"dc\"\n[[app]]\n\
        manifest = \"shop.toml\"\nat = \"5s\"\n";
    let parts = [
        "",
        "[[link]]\nbetween = [\"store\", \"dc\"]\nlatency = \"20ms\"\nloss = \"0.5%\"\n\
         bandwidth = \"1MB/s\"\n",
        "[[call]]\nfrom = \"shop/web\"\ncontract = \"example:shop/pricing\"\nfunction = \"price\"\n\
         every = \"1s\"\nsize = \"2KiB\"\n",
        "[[call]]\nto = \"shop/web\"\nfunction = \"handle\"\nevery = \"1s\"\nstart = \"30s\"\n",
        "[[publish]]\nsubject = \"orders.eu\"\nevery = \"500ms\"\non = \"dc\"\n",
        "[[edit]]\nevery = \"2s\"\nkeys = 4\ndeletes = \"10%\"\n",
        "[[fault]]\nat = \"1min\"\nfor = \"2min\"\ncut = \"site=store\"\none-way = \"in\"\n",
        "[[fault]]\nat = \"1min\"\ncut = \"store\"\nfrom = \"dc\"\nflap = \"10s\"\nopen = \"30%\"\n",
        "[[fault]]\nat = \"1min\"\ncrash = \"store\"\neach = \"5s\"\nwipe = true\n",
        "[[fault]]\nat = \"1min\"\nclock = \"store/1\"\noffset = \"-1h\"\ndrift = \"-200ppm\"\n",
        "[[fault]]\nat = \"1min\"\nslow-disk = \"dc\"\nby = \"20ms\"\n",
        "[[fault]]\nat = \"1min\"\nfor = \"1s\"\ndegrade = \"all\"\nloss = \"5%\"\nreorder = \"1%\"\n",
        "[expect]\nconverge = \"20s\"\nalive-under = \"20%\"\nbytes = \"30kB/s\"\nrecords = 100\n",
        "[component.\"shop/back\"]\ntakes = \"5ms\"\nfails = \"1%\"\n",
    ];
    parts.map(|part| format!("{head}{part}").into_bytes()).into()
}
