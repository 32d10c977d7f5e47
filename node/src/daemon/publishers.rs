//! Whose components may run on this node: asked before one is fetched, before it is compiled, once
//! it is known what it imports, and whenever a record changes.

use serde::{Deserialize, Serialize};
use wattle_contracts::artifact::ArtifactError;
use wattle_contracts::audit::Happening;
use wattle_contracts::id::{ComponentId, ContractId, PublisherKey};
use wattle_contracts::record::{
    ComponentSpec, Publisher, RecordBody, RecordKey, Revoked, SignedComponent,
};
use wattle_mesh::core::publishers::Refusal;
use wattle_runtime::Component;

use super::change::ChangeError;
use super::fit;
use super::node::Node;
use super::table::Table;

/// A publisher that is to be trusted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublisherRequest {
    pub(crate) publisher: Publisher,
}

impl Node {
    /// Whether what `publisher` has signed may run here as `component`; if not, why.
    pub(crate) fn may_run(
        &self,
        table: &Table,
        publisher: PublisherKey,
        component: &SignedComponent<'_>,
    ) -> Result<(), String> {
        let revoked = Revoked::Publisher(publisher);
        if self.mesh().is_some_and(|mesh| mesh.rights().revoked(&revoked)) {
            return Err(format!(
                "`{}` may not run: {publisher}, who signed it, was revoked",
                component.id
            ));
        }
        let refusal = match table.publishers().check(self.trusted(), publisher, component) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        Err(match refusal {
            Refusal::Unknown(signer) => {
                let trusted = table.publishers().keys(self.trusted());
                ArtifactError::Untrusted { signers: vec![signer], trusted }.to_string()
            }
            other => format!("`{}` may not run: {other}", component.id),
        })
    }

    /// The same of what is declared, by what its record says of it.
    pub(super) fn may_run_as(
        &self,
        table: &Table,
        id: &ComponentId,
        spec: &ComponentSpec,
    ) -> Result<(), String> {
        let imports = spec.imports.iter().map(|import| &import.contract);
        let contracts = Some(imports.chain(&spec.exports).collect());
        let component = SignedComponent { id, digest: spec.digest, contracts };
        self.may_run(table, spec.publisher, &component)
    }

    /// Stops what runs and may not any more, because a publisher or one of its rules is gone.
    pub(super) fn stop_what_may_not_run(&self, table: &Table) {
        for (id, spec) in self.running().specs() {
            if let Err(why) = self.may_run_as(table, &id, &spec) {
                self.forbid(&id, &spec, &why);
            }
        }
    }

    /// Lets `id` run no more, and writes down that it was stopped, if it ran.
    pub(super) fn forbid(&self, id: &ComponentId, spec: &ComponentSpec, why: &str) {
        if !self.running().refuse(id, why) {
            return;
        }
        tracing::warn!(component = %id, why, "stopped");
        self.audit().note(Happening::ComponentForbidden {
            component: id.clone(),
            digest: spec.digest,
            publisher: spec.publisher,
            why: why.into(),
        });
    }

    /// Trusts a publisher, everywhere in the mesh.
    pub(crate) async fn put_publisher(
        &self,
        key: PublisherKey,
        request: PublisherRequest,
    ) -> Result<Vec<String>, ChangeError> {
        let PublisherRequest { publisher } = request;
        publisher.check().map_err(ChangeError::Invalid)?;
        let table = self.table();
        let same = |(other, known, _): &(&PublisherKey, &Publisher, _)| {
            known.name == publisher.name && **other != key
        };
        if let Some((other, ..)) = table.publishers().iter().find(same) {
            let why = format!("the publisher {other} is called `{}` already", publisher.name);
            return Err(ChangeError::Invalid(why));
        }
        let body = RecordBody::Publisher(Box::new(publisher));
        self.change(RecordKey::Publisher(key), body).await?;
        Ok(self.now_refused())
    }

    /// Trusts a publisher no more.
    pub(crate) async fn remove_publisher(
        &self,
        key: PublisherKey,
    ) -> Result<Vec<String>, ChangeError> {
        if !self.table().publishers().iter().any(|(known, ..)| *known == key) {
            let own = match self.trusted().contains(&key) {
                true => "; this node trusts it by itself (wattle up --trust)",
                false => "",
            };
            let why = format!("{key} is no publisher that a record of this mesh names{own}");
            return Err(ChangeError::NotThere(why));
        }
        self.change(RecordKey::Publisher(key), RecordBody::Tombstone).await?;
        Ok(self.now_refused())
    }

    /// What is declared and may not run here, for whoever has changed the publishers.
    fn now_refused(&self) -> Vec<String> {
        let table = self.table();
        let refused = table.apps().flat_map(|app| {
            let table = &table;
            app.components.iter().filter_map(move |(name, spec)| {
                let id = ComponentId::new(app.name.clone(), name.clone());
                let why = self.may_run_as(table, &id, spec).err()?;
                Some(format!("`{id}` may not run here now: {why}"))
            })
        });
        refused.collect()
    }
}

/// What a component imports by links, and exports.
pub(super) fn contracts(component: &Component) -> Vec<ContractId> {
    let imports = fit::imports(component).into_iter().map(|import| import.contract);
    imports.chain(component.exports().iter().map(|export| export.contract.clone())).collect()
}
