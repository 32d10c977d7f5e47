//! Nobody is taken for dead who is up and can be talked to, as long as not more is lost than a
//! stated share.

use std::time::Duration;

use wattle_mesh::core::membership::Standing;

use super::{Findings, Oracle, Scene};
use crate::lattice::happening::{Happened, Happening};
use crate::scenario::Scenario;

/// So long after a fault nodes may still find out about it, and a node that has just started may
/// not be known for alive.
const GRACE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct NoFalseDeath {
    findings: Findings,
}

impl Oracle for NoFalseDeath {
    fn name(&self) -> &'static str {
        "no-false-death"
    }

    fn promise(&self, scenario: &Scenario) -> String {
        let (whole, part) = (scenario.expect.loss_ppm / 10_000, scenario.expect.loss_ppm % 10_000);
        let share = if part == 0 { format!("{whole} %") } else { format!("{whole}.{part:04} %") };
        format!("with at most {share} of packets lost, nobody is taken for dead who is not")
    }

    fn see(&mut self, event: &Happened, scene: &mut Scene<'_>) {
        let Happening::Stands { of, to } = &event.what else { return };
        let Some(other) = scene.lattice.number_of(*of).filter(|other| *other != event.node) else {
            return;
        };
        // Of other cells a node knows whether the cell is reached, and not how each node is.
        if scene.lattice.cell_of(event.node) != scene.lattice.cell_of(other) {
            return;
        }
        let calm = scene.whole.is_some_and(|since| event.at >= since.plus(GRACE));
        let up = |number: usize| {
            let since = scene.up.get(number).copied().flatten();
            since.is_some_and(|since| event.at >= since.plus(GRACE))
        };
        if !calm || !up(event.node) || !up(other) {
            return;
        }
        self.findings.checked();
        if matches!(to, Standing::Unreachable | Standing::Left) {
            let (one, two) = (scene.lattice.name_of(event.node), scene.lattice.name_of(other));
            let text = format!("{one} thinks {two} {}, and it is not", to.name());
            self.findings.breach(event.at, event.node, Some(other), text);
        }
    }

    fn look(&mut self, scene: &mut Scene<'_>) {
        if scene.whole.is_some_and(|since| scene.lattice.now() >= since.plus(GRACE)) {
            self.findings.checked();
        }
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}
