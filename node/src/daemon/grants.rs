//! What may call what: asked where a call leaves, and again where it arrives.
//!
//! Both ends go by the same records. A node that does not ask where calls leave (because somebody
//! else has taken it over) meets the same question at the other end, which believes no more of it
//! than what it has shown: which node it is, or whose signed call it brings.

mod arrive;
mod leave;
mod person;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use wattle_contracts::call::{CallError, CallRoute, ErrorKind, Source};
use wattle_contracts::id::{ComponentId, ContractId, NodeId};
use wattle_contracts::record::{Asked, LinkKey, Missing, Rule};
use wattle_mesh::core::grants::Meters;
use wattle_mesh::core::links::Target as Link;
use wattle_mesh::core::routing::once::Once;
use wattle_mesh::net::WallClock;

pub(super) use self::arrive::Admitted;
use self::arrive::Remembered;
pub(crate) use self::leave::Leaving;
use super::node::Node;

/// Between two lines of the log about one rule.
const QUIET_MILLIS: u64 = 1000;

/// Where a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// On its caller's node.
    Out,
    /// On its callee's.
    In,
}

/// What a node remembers of the calls that it has granted and refused.
pub(crate) struct Grants {
    meters: Mutex<Meters>,
    remembered: Mutex<Remembered>,
    /// The calls that people have signed and this node has taken.
    people: Mutex<Once>,
    /// How many calls were refused, where and by which rule.
    refused: [[Refused; Rule::ALL.len()]; 2],
    /// Whether people may call this node's components through other nodes.
    remote_operators: bool,
}

#[derive(Default)]
struct Refused {
    count: AtomicU64,
    /// When the log last told of it, in milliseconds since the node started.
    told: AtomicU64,
}

/// A link along which a call may go, by its contract as it is written.
pub(super) type Granted<'t> = (&'t ContractId, &'t Link);

impl Grants {
    pub(super) fn new(remote_operators: bool) -> Self {
        Self {
            meters: Mutex::default(),
            remembered: Mutex::default(),
            people: Mutex::new(Once::new(WallClock::default().now())),
            refused: Default::default(),
            remote_operators,
        }
    }

    /// The counters: in all for each end, and by each rule that has refused anything.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let mut counts = Vec::new();
        let [out, arrived] = &self.refused;
        for (end, refused) in [(End::Out, out), (End::In, arrived)] {
            let name = end.name();
            let count = |refused: &Refused| refused.count.load(Ordering::Relaxed);
            counts.push((format!("calls_denied_{name}"), refused.iter().map(count).sum()));
            for (rule, refused) in Rule::ALL.iter().zip(refused) {
                if count(refused) > 0 {
                    let name = format!("calls_denied_{name}{{rule=\"{rule}\"}}");
                    counts.push((name, count(refused)));
                }
            }
        }
        counts
    }
}

impl End {
    fn name(self) -> &'static str {
        match self {
            End::Out => "out",
            End::In => "in",
        }
    }
}

impl Node {
    /// Counts a refused call, tells of it, and makes the error.
    pub(super) fn denied(
        &self,
        end: End,
        source: &Source,
        (function, contract, target): (&str, &ContractId, &ComponentId),
        missing: &Missing,
    ) -> CallError {
        let function: String = function.chars().take(80).collect();
        let message =
            format!("{source} may not call `{function}` of `{contract}` of `{target}`: {missing}");
        let place = Rule::ALL.iter().position(|rule| *rule == missing.rule).unwrap_or_default();
        let [out, arrived] = &self.grants().refused;
        let refused = if end == End::Out { out } else { arrived };
        if let Some(refused) = refused.get(place) {
            refused.count.fetch_add(1, Ordering::Relaxed);
            let now = u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX).max(1);
            let told = refused.told.load(Ordering::Relaxed);
            // A flood of refusals must not be one of log lines.
            if told == 0 || now.saturating_sub(told) >= QUIET_MILLIS {
                refused.told.store(now, Ordering::Relaxed);
                tracing::warn!(end = end.name(), rule = missing.rule.name(), message, "refused");
                if let (End::Out, Source::Component(id)) = (end, source) {
                    self.logs().push(id, "warn", "wattle", &message);
                }
            }
        }
        let error = CallError::new(ErrorKind::NotAllowed, message);
        // What arrives is written down where it is known which node it has come from.
        if end == End::Out {
            self.note_denied(source, None, &target.to_string(), &error);
        }
        error
    }

    fn denied_route(&self, end: End, route: &CallRoute, missing: &Missing) -> CallError {
        let what = (route.function.as_str(), &route.contract, &route.target);
        self.denied(end, &route.source, what, missing)
    }

    /// Takes the first of `links` of the component `of` that grants the call, and counts it there;
    /// `from` is the node that the call has come from, `None` where it leaves.
    fn spend<'t>(
        &self,
        from: Option<NodeId>,
        of: &ComponentId,
        links: impl IntoIterator<Item = Granted<'t>>,
        function: &str,
        asked: &Asked<'_>,
        bytes: u64,
    ) -> Result<&'t Link, Missing> {
        let mut missing = None;
        for (contract, link) in links {
            let grant = &link.options.grant;
            let granted = grant.allows(function, asked, bytes).and_then(|()| {
                if !grant.is_metered() {
                    return Ok(());
                }
                let key = LinkKey {
                    from: of.clone(),
                    contract: contract.clone(),
                    name: link.name.clone(),
                };
                let mut meters =
                    self.grants().meters.lock().unwrap_or_else(PoisonError::into_inner);
                meters.take(self.now(), &key, from, grant, bytes)
            });
            match granted {
                Ok(()) => return Ok(link),
                Err(why) => missing = Some(why),
            }
        }
        Err(missing.unwrap_or_else(|| Missing::new(Rule::Contract, "no link grants it")))
    }
}
