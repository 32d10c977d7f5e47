//! What goes wrong, when and for how long.

use std::time::Duration;

use toml::Spanned;
use wattle_contracts::manifest::Text;

use super::ScenarioError;
use super::nodes::Nodes;
use super::quantity::{drift, offset, share, time, time_or};
use super::raw::{RawFault, RawQuality};
use crate::lattice::fabric::Quality;
use crate::lattice::nodes::NodeSet;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts; for ever, if nothing is said.
    pub lasts: Option<Duration>,
    /// Whom it meets.
    pub on: NodeSet,
    /// What it is.
    pub what: FaultKind,
    /// The same in words.
    pub text: String,
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing passes between the nodes and the others.
    Cut {
        /// The other side.
        others: NodeSet,
        /// Whether what the nodes send is held up.
        out: bool,
        /// Whether what is sent to them is.
        inward: bool,
        /// A cut that comes and goes: how long it is closed, and then open.
        flap: Option<(Duration, Duration)>,
    },
    /// Links are worse.
    Degrade {
        /// The other side.
        others: NodeSet,
        /// How they are.
        quality: Quality,
    },
    /// The nodes are killed, and start again when it is over.
    Crash {
        /// One after the other, so far apart.
        each: Duration,
        /// Whether their disks are lost.
        wipe: bool,
    },
    /// The nodes leave in good order, and start again when it is over.
    Leave {
        /// One after the other, so far apart.
        each: Duration,
    },
    /// Everything reaches the nodes later.
    Slow(Duration),
    /// Each write takes so long.
    SlowDisk(Duration),
    /// Nothing new can be written.
    FullDisk,
    /// Clocks are wrong.
    Clock {
        /// How far the wall clock is ahead, in milliseconds.
        offset_millis: i64,
        /// By how many millionths it runs too fast.
        drift_ppm: i64,
    },
    /// The nodes send what no honest node sends.
    Hostile,
}

impl FaultKind {
    /// Whether nodes that are up and can talk may be taken for dead because of it.
    pub fn is_hard(&self, loss_ppm: u32) -> bool {
        match self {
            FaultKind::Degrade { quality, .. } => quality.loss_ppm > loss_ppm,
            FaultKind::SlowDisk(_) | FaultKind::FullDisk | FaultKind::Hostile => false,
            FaultKind::Clock { drift_ppm, .. } => drift_ppm.abs() > 10_000,
            _ => true,
        }
    }

    /// Whether what was promised may take longer because of it.
    pub fn delays(&self) -> bool {
        !matches!(self, FaultKind::Hostile)
    }
}

impl Fault {
    /// When it is over, with all its steps.
    pub fn ends(&self) -> Option<Duration> {
        let steps = u32::try_from(self.on.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let all = match self.what {
            FaultKind::Crash { each, .. } | FaultKind::Leave { each } => each.saturating_mul(steps),
            _ => Duration::ZERO,
        };
        Some(self.at + all + self.lasts?)
    }
}

pub(super) fn read(
    at: Text<'_>,
    nodes: &Nodes,
    usual: Quality,
    spanned: &Spanned<RawFault>,
) -> Result<Fault, ScenarioError> {
    let raw = spanned.get_ref();
    let kinds = [
        ("cut", &raw.cut),
        ("degrade", &raw.degrade),
        ("crash", &raw.crash),
        ("leave", &raw.leave),
        ("slow", &raw.slow),
        ("slow-disk", &raw.slow_disk),
        ("full-disk", &raw.full_disk),
        ("clock", &raw.clock),
        ("hostile", &raw.hostile),
    ];
    let named: Vec<_> =
        kinds.iter().filter_map(|(kind, text)| text.as_ref().map(|text| (*kind, text))).collect();
    let [(kind, whom)] = named.as_slice() else {
        let all: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
        let message =
            format!("expected exactly one of {}, with the nodes that it meets", all.join(", "));
        let place = named.get(1).map_or(raw.at.span(), |(_, text)| text.span());
        return Err(at.error(place, message));
    };
    check_settings(at, raw, kind)?;
    let on = nodes.named(at, whom)?;
    let each = time_or(at, &raw.each, Duration::ZERO)?;
    let others = match &raw.from {
        Some(from) => nodes.named(at, from)?,
        None => NodeSet::of((0..nodes.plans.len()).filter(|number| !on.has(*number))),
    };
    let needed = |text: &Option<Spanned<String>>, what: &str| match text {
        Some(text) => time(at, text),
        None => Err(at.error(whom.span(), format!("expected `{what}` beside `{kind}`"))),
    };
    let what = match *kind {
        "cut" => cut(at, raw, others)?,
        "degrade" => FaultKind::Degrade { others, quality: quality(at, &raw.quality(), usual)? },
        "crash" => FaultKind::Crash { each, wipe: raw.wipe.unwrap_or(false) },
        "leave" => FaultKind::Leave { each },
        "slow" => FaultKind::Slow(needed(&raw.by, "by")?),
        "slow-disk" => FaultKind::SlowDisk(needed(&raw.by, "by")?),
        "full-disk" => FaultKind::FullDisk,
        "clock" => FaultKind::Clock {
            offset_millis: raw.offset.as_ref().map_or(Ok(0), |text| offset(at, text))?,
            drift_ppm: raw.drift.as_ref().map_or(Ok(0), |text| drift(at, text))?,
        },
        _ => FaultKind::Hostile,
    };
    let from = raw.from.as_ref().map(|from| format!(" from {}", from.get_ref()));
    let text = format!("{kind} {}{}", whom.get_ref(), from.unwrap_or_default());
    let lasts = raw.lasts.as_ref().map(|text| time(at, text)).transpose()?;
    Ok(Fault { at: time(at, &raw.at)?, lasts, on, what, text })
}

/// A setting that its kind does not have is a mistake, and not to be passed over.
fn check_settings(at: Text<'_>, raw: &RawFault, kind: &str) -> Result<(), ScenarioError> {
    let settings = [
        ("from", &raw.from, "cut degrade"),
        ("one-way", &raw.one_way, "cut"),
        ("flap", &raw.flap, "cut"),
        ("open", &raw.open, "cut"),
        ("each", &raw.each, "crash leave"),
        ("by", &raw.by, "slow slow-disk"),
        ("offset", &raw.offset, "clock"),
        ("drift", &raw.drift, "clock"),
        ("latency", &raw.latency, "degrade"),
        ("jitter", &raw.jitter, "degrade"),
        ("loss", &raw.loss, "degrade"),
        ("duplicate", &raw.duplicate, "degrade"),
        ("reorder", &raw.reorder, "degrade"),
        ("bandwidth", &raw.bandwidth, "degrade"),
    ];
    for (name, text, kinds) in settings {
        if let Some(text) = text
            && !kinds.split(' ').any(|one| one == kind)
        {
            let kinds = kinds.replace(' ', "` or `");
            let message = format!("`{name}` belongs to `{kinds}`, and this is a `{kind}`");
            return Err(at.error(text.span(), message));
        }
    }
    Ok(())
}

fn cut(at: Text<'_>, raw: &RawFault, others: NodeSet) -> Result<FaultKind, ScenarioError> {
    let (out, inward) = match &raw.one_way {
        None => (true, true),
        Some(text) => match text.get_ref().as_str() {
            "out" => (true, false),
            "in" => (false, true),
            _ => {
                let message = "expected \"out\", where what the nodes send is held up, or \"in\"";
                return Err(at.error(text.span(), message));
            }
        },
    };
    let flap = match &raw.flap {
        None => None,
        Some(text) => {
            let both = time(at, text)?;
            let open = raw.open.as_ref().map_or(Ok(500_000), |text| share(at, text))?;
            let open = both.mul_f64(f64::from(open) / 1e6);
            if open.is_zero() || open >= both {
                return Err(at.error(text.span(), "a cut that flaps is open for a share of it"));
            }
            Some((both - open, open))
        }
    };
    if let (Some(open), None) = (&raw.open, &raw.flap) {
        return Err(at.error(open.span(), "`open` belongs to a cut with `flap`"));
    }
    Ok(FaultKind::Cut { others, out, inward, flap })
}

impl RawFault {
    fn quality(&self) -> RawQuality {
        RawQuality {
            latency: self.latency.clone(),
            jitter: self.jitter.clone(),
            loss: self.loss.clone(),
            duplicate: self.duplicate.clone(),
            reorder: self.reorder.clone(),
            bandwidth: self.bandwidth.clone(),
        }
    }
}

/// How links are, where what is not said is as `usual`.
pub(super) fn quality(
    at: Text<'_>,
    raw: &RawQuality,
    usual: Quality,
) -> Result<Quality, ScenarioError> {
    let share_or = |text: &Option<Spanned<String>>, usual: u32| {
        text.as_ref().map_or(Ok(usual), |text| share(at, text))
    };
    let bandwidth =
        raw.bandwidth.as_ref().map(|text| super::quantity::rate(at, text)).transpose()?;
    let latency = time_or(at, &raw.latency, usual.latency)?;
    // Who says how long it takes, and not how much that varies, means that it varies little.
    let jitter = if raw.latency.is_some() { latency / 10 } else { usual.jitter };
    Ok(Quality {
        latency,
        jitter: time_or(at, &raw.jitter, jitter)?,
        loss_ppm: share_or(&raw.loss, usual.loss_ppm)?,
        duplicate_ppm: share_or(&raw.duplicate, usual.duplicate_ppm)?,
        reorder_ppm: share_or(&raw.reorder, usual.reorder_ppm)?,
        bandwidth: bandwidth.or(usual.bandwidth),
    })
}
