//! Where a call leaves: the component may make it, or it goes nowhere.

use wattle_contracts::call::{CallError, Source};
use wattle_contracts::id::{ComponentId, ContractId};
use wattle_contracts::provider::KeyValueRequest;
use wattle_contracts::record::{Asked, Missing};
use wattle_mesh::core::links::{Import, Target as Link};

use super::{End, Granted};
use crate::daemon::node::Node;
use crate::daemon::table::Table;
use crate::providers::keyvalue;

/// A call that a component of this node wants to make.
pub(crate) struct Leaving<'a> {
    pub(crate) source: &'a ComponentId,
    pub(crate) contract: &'a ContractId,
    pub(crate) function: &'a str,
    pub(crate) asked: Asked<'a>,
}

impl Leaving<'_> {
    /// Whether `link` grants it, as far as can be said without its arguments.
    pub(crate) fn fits(&self, link: &Link) -> Result<(), Missing> {
        link.options.grant.allows(self.function, &self.asked, 0)
    }
}

impl Node {
    /// The import of `source` for `contract`; that there is none is a call that was not granted, and is written
    /// down as one.
    pub(crate) fn import<'t>(
        &self,
        table: &'t Table,
        source: &ComponentId,
        contract: &ContractId,
    ) -> Result<&'t Import, CallError> {
        table.import(source, contract).inspect_err(|error| {
            let source = Source::Component(source.clone());
            self.note_denied(&source, None, &contract.to_string(), error);
        })
    }

    /// Refuses a call that a component of this node wants to make.
    pub(crate) fn not_leaving(
        &self,
        leaving: &Leaving<'_>,
        target: &ComponentId,
        missing: &Missing,
    ) -> CallError {
        let what = (leaving.function, leaving.contract, target);
        self.denied(End::Out, &Source::Component(leaving.source.clone()), what, missing)
    }

    /// Counts a call that leaves along one of `links`, each of which leads to `target`; refuses it
    /// where none of them grants it.
    pub(crate) fn leaves<'t>(
        &self,
        leaving: &Leaving<'_>,
        target: &ComponentId,
        links: impl IntoIterator<Item = Granted<'t>>,
        bytes: u64,
    ) -> Result<&'t Link, CallError> {
        let Leaving { source, function, asked, .. } = leaving;
        self.spend(None, source, links, function, asked, bytes)
            .map_err(|missing| self.not_leaving(leaving, target, &missing))
    }

    /// Counts an operation on a store that leaves, and gives back the link that grants it.
    pub(crate) fn store_leaves<'t>(
        &self,
        table: &'t Table,
        source: &ComponentId,
        store: &ComponentId,
        request: &KeyValueRequest,
    ) -> Result<&'t Link, CallError> {
        let (contract, function, asked, bytes) = keyvalue::asked(request)?;
        let leaving = Leaving { source, contract: &contract, function, asked };
        self.leaves(&leaving, store, table.links_between(source, &contract, store), bytes)
    }
}
