//! What can be called in a component, found once and looked up on each call.

use std::collections::HashMap;
use std::fmt;

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{ComponentExportIndex, Type, Val};
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId};

use crate::bind::Known;
use crate::component::Component;
use crate::host::REQUEST_HANDLER;
use crate::value::{DecodeError, ShapeError, Signature, wave};

/// The callable functions of a component.
pub(super) struct Exports {
    interfaces: HashMap<ContractId, HashMap<Box<str>, Export>>,
    functions: HashMap<Box<str>, Export>,
}

/// One function.
pub(crate) struct Export {
    /// With its contract, for messages.
    pub(super) name: String,
    pub(super) index: ComponentExportIndex,
    /// How it is called with bulk data.
    pub(super) known: Option<Known>,
    ty: ComponentFunc,
    signature: Result<Signature, ShapeError>,
}

impl Exports {
    pub(super) fn of(component: &Component) -> Self {
        let engine = component.engine().wasmtime();
        let component = component.wasmtime();
        let mut exports = Self { interfaces: HashMap::new(), functions: HashMap::new() };
        for (name, item) in component.component_type().exports(engine) {
            let index = component.get_export_index(None, name);
            match (item.ty, name.parse::<ContractId>()) {
                (ComponentItem::ComponentInstance(instance), Ok(contract)) => {
                    let functions = instance.exports(engine).filter_map(|(function, item)| {
                        let index = component.get_export_index(index.as_ref(), function)?;
                        let name = format!("{contract}#{function}");
                        Some((function.into(), Export::new(name, index, &item.ty)?))
                    });
                    let functions = functions.collect();
                    exports.interfaces.insert(contract, functions);
                }
                (ty, _) => {
                    let export = index.and_then(|index| Export::new(name.into(), index, &ty));
                    exports.functions.extend(export.map(|export| (name.into(), export)));
                }
            }
        }
        exports
    }

    /// The function that serves calls to `contract`: of the interface in just this version, or in
    /// one that goes with it.
    pub(super) fn find(&self, contract: Option<&ContractId>, function: &str) -> Option<&Export> {
        let Some(contract) = contract else { return self.functions.get(function) };
        if let Some(functions) = self.interfaces.get(contract) {
            return functions.get(function);
        }
        let mut compatible = self
            .interfaces
            .iter()
            .filter(|(own, _)| own.covers(contract) && contract.interface().is_some());
        compatible.find_map(|(_, functions)| functions.get(function))
    }

    /// Whether HTTP requests can be given to it.
    pub(super) fn takes_requests(&self) -> bool {
        self.interfaces.keys().any(|contract| contract.unversioned().to_string() == REQUEST_HANDLER)
    }
}

/// The names, for a person who looked for another one.
impl fmt::Display for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interfaces = self.interfaces.values().flat_map(HashMap::values);
        let mut names: Vec<&str> =
            interfaces.chain(self.functions.values()).map(|export| &*export.name).collect();
        names.sort_unstable();
        if names.is_empty() {
            return f.write_str("nothing that can be called");
        }
        f.write_str(&names.join(", "))
    }
}

impl Export {
    fn new(name: String, index: ComponentExportIndex, item: &ComponentItem) -> Option<Self> {
        let ComponentItem::ComponentFunc(ty) = item else { return None };
        let signature = Signature::of(ty);
        let known = signature.as_ref().ok().and_then(Known::find);
        Some(Self { name, index, known, ty: ty.clone(), signature })
    }

    /// How its values are written.
    pub(super) fn signature(&self, id: &ComponentId) -> Result<&Signature, CallError> {
        self.signature.as_ref().map_err(|why| {
            let message = format!("{} of {id} can't be called from outside: {why}", self.name);
            CallError::new(ErrorKind::NotAllowed, message)
        })
    }

    pub(super) fn parse_wave(&self, id: &ComponentId, text: &str) -> Result<Vec<Val>, CallError> {
        let error = |why: &dyn fmt::Display| {
            let params: Vec<String> = self.ty.params().map(|(name, _)| name.into()).collect();
            let message = format!(
                "the arguments for {} of {id} can't be read: {why}; it takes ({})",
                self.name,
                params.join(", ")
            );
            CallError::new(ErrorKind::NotAllowed, message)
        };
        let types: Vec<Type> = self.ty.params().map(|(_, ty)| ty).collect();
        wave::arguments::<Val>(text, &types).map_err(|why| error(&why))
    }

    /// The bytes of a call are not arguments of this function.
    pub(super) fn undecodable(&self, id: &ComponentId, error: DecodeError) -> CallError {
        if error == DecodeError::OtherSignature {
            return self.other_definition(id);
        }
        let message = format!("the arguments for {} of {id} can't be read: {error}", self.name);
        CallError::new(ErrorKind::Internal, message)
    }

    pub(super) fn other_definition(&self, id: &ComponentId) -> CallError {
        let message = format!(
            "{id} has another definition of {} than its caller was built against; build both from \
             the same WIT package, and give a changed one a new version",
            self.name
        );
        CallError::new(ErrorKind::NotLinked, message)
    }
}
