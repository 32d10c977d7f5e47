//! From text to a checked scenario.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use wattle_contracts::id::ComponentId;
use wattle_contracts::manifest::{Manifest, Text};
use wattle_contracts::record::App;

use super::nodes::Nodes;
use super::quantity::{rate, share, size, time, time_or};
use super::raw::{
    RawApp, RawCall, RawEdit, RawExpect, RawGossip, RawPublish, RawQuality, RawRequest, RawScenario,
};
use super::{Declared, Expect, Load, LoadKind, Read, Scenario, ScenarioError, app, fault, request};
use crate::lattice::CallPlan;
use crate::lattice::fabric::{Link, Quality};
use crate::lattice::nodes::NodeSet;
use crate::machine::{Behaviour, GossipBy};
use crate::oracle;

type Written = Spanned<String>;

/// An app is declared so long after the start, if nothing else is said: nodes know each other then.
const DECLARED_AT: Duration = Duration::from_secs(10);
/// Above so many nodes, a stand-in gossips in chitchat's place if nothing else is said: what
/// chitchat sends and reckons grows with the square of the nodes.
const CHITCHAT_NODES: usize = 100;
/// Load begins so long after the start.
const LOAD_FROM: Duration = Duration::from_secs(20);

pub(super) fn scenario(file: &str, text: &str, read: &Read<'_>) -> Result<Scenario, ScenarioError> {
    let at = Text { file, text };
    let raw: RawScenario = toml::from_str(text)
        .map_err(|error| at.error(error.span().unwrap_or(0..0), error.message().trim()))?;
    let run = time(at, &raw.run)?;
    let circle = raw.mesh.circle.as_ref().map(|circle| *circle.get_ref());
    let nodes = Nodes::read(at, &raw.nodes, circle)?;
    let usual = fault::quality(at, &raw.mesh.links, Quality::default())?;
    let expect = expect(at, &raw.expect)?;
    let quiet = expect.deliver.max(expect.converge);
    let Some(until) = run.checked_sub(quiet).filter(|until| *until > LOAD_FROM) else {
        let message = format!(
            "expected a run longer than {:?}: the load takes the first part, and what must hold in \
             the end the last {quiet:?}",
            quiet + LOAD_FROM
        );
        return Err(at.error(raw.run.span(), message));
    };
    let links = raw.link.iter().map(|link| {
        let [one, other] = &link.between;
        let quality = RawQuality {
            latency: link.latency.clone(),
            jitter: link.jitter.clone(),
            loss: link.loss.clone(),
            duplicate: link.duplicate.clone(),
            reorder: link.reorder.clone(),
            bandwidth: link.bandwidth.clone(),
        };
        Ok(Link {
            one: nodes.named(at, one)?,
            other: nodes.named(at, other)?,
            quality: fault::quality(at, &quality, usual)?,
        })
    });
    let links = links.collect::<Result<Vec<_>, _>>()?;
    let apps = raw.app.iter().map(|app| declared(at, app, &nodes, read));
    let apps: Vec<Declared> = apps.collect::<Result<_, _>>()?;
    let names = Names { at, nodes: &nodes, apps: &apps, until };
    let behaviours = names.behaviours(&raw)?;
    let outside = request::outside(at, &raw.outside)?;
    let calls = raw.call.iter().map(|call| names.call(call));
    let requests = raw.request.iter().map(|request| names.request(request));
    let publishes = raw.publish.iter().map(|publish| names.publish(publish));
    let edits = raw.edit.iter().map(|edit| names.edit(edit));
    let load = calls.chain(requests).chain(publishes).chain(edits).collect::<Result<_, _>>()?;
    let faults = raw.fault.iter().map(|raw| fault::read(at, &nodes, usual, raw));
    let faults = faults.collect::<Result<_, _>>()?;
    let pace = raw.mesh.pace.as_ref();
    if let Some(pace) = pace.filter(|pace| !(1..=1000).contains(pace.get_ref())) {
        return Err(at.error(pace.span(), "expected a pace from 1, as a real node, to 1000"));
    }
    Ok(Scenario {
        name: raw.name.get_ref().clone(),
        about: raw.about.trim().into(),
        run,
        seed: raw.seed.unwrap_or(1),
        pace: pace.map_or(1, |pace| *pace.get_ref()),
        gossip: raw.mesh.gossip.map_or(circle.is_none(), |gossip| gossip != RawGossip::Off),
        gossip_by: match raw.mesh.gossip {
            Some(RawGossip::StandIn) => GossipBy::StandIn,
            None if nodes.plans.len() > CHITCHAT_NODES => GossipBy::StandIn,
            _ => GossipBy::Chitchat,
        },
        nodes: nodes.plans,
        starts: nodes.starts,
        groups: nodes.groups,
        nats: nodes.nats,
        usual,
        links,
        apps,
        behaviours,
        outside,
        load,
        faults,
        expect,
    })
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(
    at: Text<'_>,
    text: &Written,
) -> Result<T, ScenarioError> {
    text.get_ref().parse().map_err(|error: T::Err| at.error(text.span(), error.to_string()))
}

fn declared(
    at: Text<'_>,
    raw: &RawApp,
    nodes: &Nodes,
    read: &Read<'_>,
) -> Result<Declared, ScenarioError> {
    let place = raw.manifest.span();
    let (file, text) = read(raw.manifest.get_ref()).map_err(|why| at.error(place.clone(), why))?;
    let manifest = Manifest::parse(&file, &text)?;
    let folder = Path::new(&file).parent().unwrap_or(Path::new(""));
    let components = manifest.components.iter();
    let files = components.map(|(name, one)| (name.clone(), folder.join(&one.wasm))).collect();
    let app = app::declared(manifest, &nodes.plans).map_err(|why| at.error(place, why))?;
    let on = nodes.named_or_all(at, &raw.on)?;
    Ok(Declared { app, files, at: time_or(at, &raw.at, DECLARED_AT)?, on })
}

fn expect(at: Text<'_>, raw: &RawExpect) -> Result<Expect, ScenarioError> {
    let usual = Expect::default();
    for name in &raw.off {
        if !oracle::NAMES.contains(&name.get_ref().as_str()) {
            let all = oracle::NAMES.join(", ");
            return Err(at.error(name.span(), format!("no oracle is called so; there are {all}")));
        }
    }
    Ok(Expect {
        converge: time_or(at, &raw.converge, usual.converge)?,
        deliver: time_or(at, &raw.deliver, usual.deliver)?,
        place: time_or(at, &raw.place, usual.place)?,
        loss_ppm: raw.alive_under.as_ref().map_or(Ok(usual.loss_ppm), |text| share(at, text))?,
        bytes: raw.bytes.as_ref().map_or(Ok(usual.bytes), |text| rate(at, text))?,
        records: raw.records.as_ref().map_or(usual.records, |count| *count.get_ref() as usize),
        off: raw.off.iter().map(|name| name.get_ref().clone()).collect(),
    })
}

/// What the load of a scenario may refer to.
struct Names<'a> {
    at: Text<'a>,
    nodes: &'a Nodes,
    apps: &'a [Declared],
    until: Duration,
}

impl Names<'_> {
    fn component(&self, text: &Written) -> Result<ComponentId, ScenarioError> {
        let id: ComponentId = parsed(self.at, text)?;
        let has = |app: &App| {
            app.name == id.app
                && (app.components.contains_key(&id.name) || app.providers.contains_key(&id.name))
        };
        if self.apps.iter().any(|declared| has(&declared.app)) {
            return Ok(id);
        }
        let all = self.apps.iter().flat_map(|declared| {
            let names = declared.app.components.keys().chain(declared.app.providers.keys());
            names.map(|name| format!("`{}/{name}`", declared.app.name))
        });
        let all: Vec<String> = all.collect();
        let message = match all.is_empty() {
            true => format!("nothing is called `{id}`: the scenario declares no [[app]]"),
            false => format!("nothing is called `{id}`; the apps have {}", all.join(", ")),
        };
        Err(self.at.error(text.span(), message))
    }

    fn behaviours(
        &self,
        raw: &RawScenario,
    ) -> Result<BTreeMap<ComponentId, Behaviour>, ScenarioError> {
        let one = |(name, component): (&Written, &super::raw::RawComponent)| {
            let usual = Behaviour::default();
            let fails = component.fails.as_ref();
            let behaviour = Behaviour {
                takes: time_or(self.at, &component.takes, usual.takes)?,
                fails_ppm: fails.map_or(Ok(0), |text| share(self.at, text))?,
            };
            Ok((self.component(name)?, behaviour))
        };
        raw.component.iter().map(one).collect()
    }

    fn load(
        &self,
        on: NodeSet,
        (every, start, until): (&Written, &Option<Written>, &Option<Written>),
        what: LoadKind,
    ) -> Result<Load, ScenarioError> {
        let apart = time(self.at, every)?;
        if apart.is_zero() {
            return Err(self.at.error(every.span(), "expected a time above zero"));
        }
        let start = time_or(self.at, start, LOAD_FROM)?;
        let until = time_or(self.at, until, self.until)?.min(self.until);
        Ok(Load { on, every: apart, start, until, what })
    }

    fn call(&self, raw: &RawCall) -> Result<Load, ScenarioError> {
        let from = raw.from.as_ref().map(|text| self.component(text)).transpose()?;
        let to = raw.to.as_ref().map(|text| self.component(text)).transpose()?;
        let contract = match (&raw.contract, &from, &to) {
            (Some(text), _, _) => parsed(self.at, text)?,
            (None, None, Some(_)) => parsed(self.at, &Spanned::new(0..0, "wattle:any".into()))?,
            _ => {
                let message = "expected `from` with the `contract` that it imports, or `to`";
                return Err(self.at.error(raw.every.span(), message));
            }
        };
        if let (Some(from), Some(_)) = (&raw.from, &raw.to) {
            let message = "a call goes `from` a component along its link, or from outside `to` one";
            return Err(self.at.error(from.span(), message));
        }
        let bytes = raw.size.as_ref().map_or(Ok(200), |text| size(self.at, text))?;
        let plan = CallPlan {
            from,
            to,
            contract,
            function: raw.function.clone(),
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            arguments: raw.arguments.as_deref().map(Into::into),
            time: time_or(self.at, &raw.deadline, Duration::from_secs(5))?,
        };
        let on = self.nodes.named_or_all(self.at, &raw.on)?;
        self.load(on, (&raw.every, &raw.start, &raw.until), LoadKind::Call(plan))
    }

    fn request(&self, raw: &RawRequest) -> Result<Load, ScenarioError> {
        let apps = self.apps.iter().map(|declared| &declared.app);
        let plan = request::plan(self.at, raw, apps)?;
        let on = self.nodes.named_or_all(self.at, &raw.on)?;
        self.load(on, (&raw.every, &raw.start, &raw.until), LoadKind::Request(plan))
    }

    fn publish(&self, raw: &RawPublish) -> Result<Load, ScenarioError> {
        let bytes = raw.size.as_ref().map_or(Ok(200), |text| size(self.at, text))?;
        let what = LoadKind::Publish {
            subject: parsed(self.at, &raw.subject)?,
            size: usize::try_from(bytes).unwrap_or(usize::MAX),
            text: raw.text.as_deref().map(Into::into),
        };
        let on = self.nodes.named_or_all(self.at, &raw.on)?;
        self.load(on, (&raw.every, &raw.start, &raw.until), what)
    }

    fn edit(&self, raw: &RawEdit) -> Result<Load, ScenarioError> {
        let what = LoadKind::Edit {
            keys: raw.keys.as_ref().map_or(10, |keys| *keys.get_ref()).max(1),
            deletes_ppm: raw.deletes.as_ref().map_or(Ok(0), |text| share(self.at, text))?,
        };
        let on = self.nodes.named_or_all(self.at, &raw.on)?;
        self.load(on, (&raw.every, &raw.start, &raw.until), what)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
