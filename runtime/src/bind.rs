//! Binds every import of a component, once, so that nothing is left to link when it is called.
//!
//! The interfaces of the host are defined if the component imports them. Every other interface
//! becomes functions that ask, on each call, where the call goes: no generated code, any WIT
//! without resources.

mod known;
mod out;

use std::sync::Arc;

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{InstancePre, Linker, LinkerInstance};
use wattle_contracts::id::{ComponentId, ContractId};

use crate::component::Component;
use crate::host::{HostInterface, INTERFACES};
use crate::state::State;
use crate::value::{ShapeError, Signature};

pub(crate) use self::known::Known;
pub(crate) use self::out::Import;

/// Why a component can't be run with these settings.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// It imports something that has no place in a mesh.
    #[error(
        "{id} imports `{name}`, which is not an interface of a package (`namespace:package/interface`): \
         nothing can be linked to it"
    )]
    NotAnInterface {
        /// The component.
        id: ComponentId,
        /// The name of the import.
        name: String,
    },
    /// It imports an interface that passes what can't leave its process, and the host does not
    /// implement it.
    #[error(
        "{id} imports {contract}, and `{item}` can't be linked to another component: {why}. \
         Interfaces like that must come from the host, which implements {available}"
    )]
    Handle {
        /// The component.
        id: ComponentId,
        /// The interface.
        contract: Box<ContractId>,
        /// The function or resource.
        item: String,
        /// What is wrong with it.
        why: String,
        /// What the host implements instead.
        available: String,
    },
    /// It imports another version of an interface that the host implements.
    #[error("{id} imports {contract}; this host implements version {available} of it")]
    Version {
        /// The component.
        id: ComponentId,
        /// The interface.
        contract: Box<ContractId>,
        /// The version that there is.
        available: &'static str,
    },
    /// It was given a limit that the engine can't keep.
    #[error(
        "{id} is allowed {wanted} MiB of memory, and the engine's instances have at most {most}"
    )]
    Memory {
        /// The component.
        id: ComponentId,
        /// Its limit in MiB.
        wanted: usize,
        /// The engine's in MiB.
        most: usize,
    },
    /// A single call of it would need more than one component may have.
    #[error(
        "{id} needs {needed} {what} for one call, and one component may have {share} of the {all} \
         that all of this node share: build it with fewer"
    )]
    Share {
        /// The component.
        id: ComponentId,
        /// What it needs too much of.
        what: &'static str,
        /// How many.
        needed: u32,
        /// How many it may have.
        share: u32,
        /// How many there are.
        all: u32,
    },
    /// The engine refuses it.
    #[error("{id} can't be prepared: {error:#}")]
    Engine {
        /// The component.
        id: ComponentId,
        /// What the engine says.
        error: wasmtime::Error,
    },
}

/// A component with all its imports bound.
pub(crate) fn bind(
    id: &ComponentId,
    component: &Component,
) -> Result<InstancePre<State>, BindError> {
    let engine = component.engine().wasmtime();
    let failed = |error| BindError::Engine { id: id.clone(), error };
    let mut linker = Linker::<State>::new(engine);
    let mut defined: Vec<&'static str> = Vec::new();
    for (name, item) in component.wasmtime().component_type().imports(engine) {
        let (ComponentItem::ComponentInstance(instance), Ok(contract)) =
            (&item.ty, name.parse::<ContractId>())
        else {
            // A type that stands alone is bound by nobody and needs nobody.
            if matches!(item.ty, ComponentItem::Type(_)) {
                continue;
            }
            return Err(BindError::NotAnInterface { id: id.clone(), name: name.into() });
        };
        match HostInterface::find(&contract) {
            Some(host) if host.serves(&contract) => {
                // Two versions of one interface can be imported, and are the same here.
                if !defined.contains(&host.name) {
                    host.add(&mut linker).map_err(failed)?;
                    defined.push(host.name);
                }
            }
            Some(host) => {
                let (id, contract) = (id.clone(), Box::new(contract));
                return Err(BindError::Version { id, contract, available: host.version });
            }
            None => dynamic(id, name, &contract, instance, engine, &mut linker)?,
        }
    }
    linker.instantiate_pre(component.wasmtime()).map_err(failed)
}

/// Defines each function of `instance` as one that asks where its calls go.
fn dynamic(
    id: &ComponentId,
    name: &str,
    contract: &ContractId,
    instance: &ComponentInstance,
    engine: &wasmtime::Engine,
    linker: &mut Linker<State>,
) -> Result<(), BindError> {
    let refused = |item: &str, why: String| BindError::Handle {
        id: id.clone(),
        contract: Box::new(contract.clone()),
        item: item.into(),
        why,
        available: packages(),
    };
    let failed = |error| BindError::Engine { id: id.clone(), error };
    let mut functions = linker.instance(name).map_err(failed)?;
    for (function, item) in instance.exports(engine) {
        match &item.ty {
            ComponentItem::ComponentFunc(ty) => {
                let signature = Signature::of(ty)
                    .map_err(|why: ShapeError| refused(function, why.to_string()))?;
                let import = Import::new(contract.clone(), function, signature);
                let define = Known::find(&import.signature).map_or(
                    out::define as fn(&mut LinkerInstance<'_, State>, Arc<Import>) -> _,
                    |known| known.define,
                );
                define(&mut functions, Arc::new(import)).map_err(failed)?;
            }
            ComponentItem::Type(_) => {}
            ComponentItem::Resource(_) => {
                return Err(refused(function, "it is a resource".into()));
            }
            _ => return Err(refused(function, "it is neither a function nor a type".into())),
        }
    }
    Ok(())
}

/// The packages of the host, for people: `wasi:io, wasi:clocks, …`.
fn packages() -> String {
    let mut packages: Vec<&str> =
        INTERFACES.iter().filter_map(|interface| Some(interface.name.split_once('/')?.0)).collect();
    packages.dedup();
    packages.join(", ")
}
