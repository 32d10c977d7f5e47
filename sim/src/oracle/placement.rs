//! In a calm mesh, what is declared runs as often as it should, where it may.

use std::collections::BTreeMap;

use wattle_contracts::id::ComponentId;
use wattle_mesh::core::routing::carries;

use super::{Findings, Oracle, Scene};
use crate::scenario::Scenario;

#[derive(Default)]
pub(super) struct Placement {
    findings: Findings,
}

impl Oracle for Placement {
    fn name(&self) -> &'static str {
        "placement"
    }

    fn promise(&self, scenario: &Scenario) -> String {
        let within = scenario.expect.place;
        format!(
            "{within:?} after the last fault, each component runs on as many nodes as it should"
        )
    }

    fn look(&mut self, scene: &mut Scene<'_>) {
        let within = scene.scenario.expect.place;
        // With circles, nobody knows all nodes, and each part places by what it knows.
        if !scene.is_calm_for(within) || !scene.scenario.gossip {
            return;
        }
        let now = scene.lattice.now();
        let all = 0..scene.lattice.len();
        let up: Vec<usize> = all.filter(|number| scene.lattice.is_up(*number)).collect();
        if scene.steady(within).len() < up.len() {
            return;
        }
        let mut running: BTreeMap<ComponentId, Vec<usize>> = BTreeMap::new();
        for number in &up {
            for component in scene.lattice.running(*number) {
                running.entry(component).or_default().push(*number);
            }
        }
        for declared in scene.scenario.apps.iter().filter(|d| now.elapsed() >= d.at + within) {
            for (name, spec) in &declared.app.components {
                let id = ComponentId::new(declared.app.name.clone(), name.clone());
                let carry = |number: &&usize| {
                    scene.lattice.labels_of(**number).is_some_and(|l| carries(l, &spec.on))
                };
                let may = up.iter().filter(carry).count();
                let wanted = may.min(spec.replicas as usize);
                let on = running.get(&id).map(Vec::as_slice).unwrap_or_default();
                let astray = on.iter().find(|number| !carry(number));
                self.findings.checked();
                if on.len() != wanted || astray.is_some() {
                    let names: Vec<&str> = on.iter().map(|n| scene.lattice.name_of(*n)).collect();
                    let text = format!(
                        "{id} runs on {} of {wanted} nodes ({}) {within:?} after all was well",
                        on.len(),
                        names.join(", ")
                    );
                    let node = on.first().copied().unwrap_or(0);
                    self.findings.breach(now, node, on.last().copied(), text);
                }
            }
        }
    }

    fn end(&mut self, scene: &mut Scene<'_>) {
        self.look(scene);
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}
