//! What somebody plans: the nodes of a mesh, and the calls in it.

use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::id::{CellName, ComponentId, ContractId};
use wattle_contracts::record::Labels;

/// A node as it is set up.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What people call it.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The nodes whose addresses it is given.
    pub join: Vec<usize>,
    /// The only nodes that it may know; everybody where there is no limit.
    pub circle: Option<Vec<usize>>,
}

impl Plan {
    /// The cell that it is in, by its labels.
    pub fn cell(&self) -> CellName {
        let label = self.labels.get(CellName::LABEL);
        label.and_then(|name| name.parse().ok()).unwrap_or_default()
    }
}

/// A call as somebody plans it.
#[derive(Debug, Clone)]
pub struct CallPlan {
    /// The component that calls; nobody for an operator.
    pub from: Option<ComponentId>,
    /// Whom an operator calls.
    pub to: Option<ComponentId>,
    /// The contract.
    pub contract: ContractId,
    /// The function.
    pub function: String,
    /// The size of its arguments, in bytes.
    pub bytes: usize,
    /// Its arguments as a person writes them (WAVE), where a real component reads them.
    pub arguments: Option<Arc<str>>,
    /// How long it may take.
    pub time: Duration,
}
