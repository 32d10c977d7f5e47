//! A component that is compiled, and what it imports and exports.

use std::sync::Arc;

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wattle_contracts::id::{ContractId, Digest};

use crate::engine::{Engine, MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT};
use crate::value;

/// The largest component that is compiled, in bytes. Python's are near 18 MB.
const MAX_SIZE: usize = 128 << 20;

/// A compiled component. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    digest: Digest,
    component: wasmtime::component::Component,
    imports: Vec<Interface>,
    exports: Vec<Interface>,
    functions: Vec<Function>,
}

/// An interface that a component imports or exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name with its version.
    pub contract: ContractId,
    /// Its functions.
    pub functions: Vec<Function>,
    /// Whether it defines or passes resources, which can't leave their process.
    pub resources: bool,
}

impl Interface {
    /// A hash of what it is made of: its functions by name, each with its type. Two components that
    /// speak of one contract with different fingerprints don't mean the same.
    pub fn fingerprint(&self) -> Digest {
        let mut lines: Vec<String> =
            self.functions.iter().map(|f| format!("{}: {}\n", f.name, f.signature)).collect();
        lines.sort();
        Digest::of(format!("{}\n{}", self.contract.unversioned(), lines.concat()).as_bytes())
    }
}

/// A function of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its type as in WIT, without the names of types: `func(key: string) -> option<u32>`.
    pub signature: String,
}

/// Why bytes are not a component that can run here.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is a plain module.
    #[error(
        "this is a core WebAssembly module, not a component; build it for `wasm32-wasip2`, or wrap \
         it with `wasm-tools component new`"
    )]
    Module,
    /// It is not WebAssembly at all.
    #[error("this is not a WebAssembly component: it does not start with the magic bytes of one")]
    NotWasm,
    /// It is larger than anything that is compiled here.
    #[error("the component has {size} bytes, more than the {MAX_SIZE} that are accepted")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// It is damaged, or uses what this engine does not have.
    #[error("the component can't be compiled: {0:#}")]
    Invalid(wasmtime::Error),
}

impl Component {
    /// Compiles `bytes`, or takes the code from the cache. Takes seconds for a large component:
    /// call it where blocking is allowed.
    ///
    /// The caller has verified that `digest` is the SHA-256 of `bytes`, and that somebody who is
    /// trusted has signed it. Nothing of that is checked again here.
    pub fn load(engine: &Engine, digest: &Digest, bytes: &[u8]) -> Result<Self, LoadError> {
        check_kind(bytes)?;
        let component = engine.compile(digest, bytes).map_err(LoadError::Invalid)?;
        let ty = component.component_type();
        let engine_handle = engine.wasmtime();
        let imports = ty
            .imports(engine_handle)
            .filter_map(|(name, item)| interface(engine_handle, name, &item.ty))
            .collect();
        let exports = ty
            .exports(engine_handle)
            .filter_map(|(name, item)| interface(engine_handle, name, &item.ty))
            .collect();
        let functions = ty
            .exports(engine_handle)
            .filter_map(|(name, item)| match &item.ty {
                ComponentItem::ComponentFunc(ty) => Some(function(name, ty)),
                _ => None,
            })
            .collect();
        let (engine, digest) = (engine.clone(), *digest);
        Ok(Self {
            inner: Arc::new(Inner { engine, digest, component, imports, exports, functions }),
        })
    }

    /// The SHA-256 that it was loaded under.
    pub fn digest(&self) -> &Digest {
        &self.inner.digest
    }

    /// The interfaces that it imports. A component may import other things than interfaces of
    /// packages; those can't be bound, and binding says so.
    pub fn imports(&self) -> &[Interface] {
        &self.inner.imports
    }

    /// The interfaces that it exports.
    pub fn exports(&self) -> &[Interface] {
        &self.inner.exports
    }

    /// The functions that it exports outside any interface.
    pub fn functions(&self) -> &[Function] {
        &self.inner.functions
    }

    /// How many instances of it share `instances` places of a pool, each of which is good for one memory and
    /// two tables: a component may be made of several modules, and take several.
    pub fn instances_within(&self, instances: u32) -> usize {
        let required = self.inner.component.resources_required();
        let (memories, tables) = required
            .map_or((MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT), |required| {
                (required.num_memories, required.num_tables)
            });
        let places = memories.max(tables.div_ceil(2)).max(1);
        (instances / places).max(1) as usize
    }

    /// The engine that compiled it.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::component::Component {
        &self.inner.component
    }
}

/// Tells the usual mistakes apart before the compiler sees them.
fn check_kind(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.len() > MAX_SIZE {
        return Err(LoadError::TooLarge { size: bytes.len() });
    }
    // "\0asm", then the version (16 bits) and the layer (16 bits): 0 a module, 1 a component
    // (Component Model, Binary.md).
    match bytes.first_chunk::<8>() {
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(LoadError::Module),
        Some([0, b'a', b's', b'm', ..]) => Ok(()),
        _ => Err(LoadError::NotWasm),
    }
}

fn interface(engine: &wasmtime::Engine, name: &str, item: &ComponentItem) -> Option<Interface> {
    let ComponentItem::ComponentInstance(instance) = item else { return None };
    let contract = name.parse().ok()?;
    let mut functions = Vec::new();
    let mut resources = false;
    for (name, item) in instance.exports(engine) {
        match &item.ty {
            ComponentItem::Resource(_) => resources = true,
            ComponentItem::ComponentFunc(ty) => {
                resources |= value::Signature::of(ty).is_err();
                functions.push(function(name, ty));
            }
            _ => {}
        }
    }
    Some(Interface { contract, functions, resources })
}

fn function(name: &str, ty: &ComponentFunc) -> Function {
    Function { name: name.into(), signature: value::function_text(ty) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(bytes: &[u8]) -> Result<Component, LoadError> {
        let config = crate::EngineConfig { instances: 2, ..crate::EngineConfig::default() };
        Component::load(&Engine::new(config).unwrap(), &Digest::of(bytes), bytes)
    }

    #[test]
    fn a_core_module_is_refused_with_the_way_out() {
        let error = load(&wat::parse_str("(module)").unwrap()).err().unwrap();
        assert!(matches!(error, LoadError::Module), "{error}");
        assert!(error.to_string().contains("wasm32-wasip2"));
    }

    #[test]
    fn a_component_of_several_memories_or_tables_takes_several_places() {
        let within = |module: &str| {
            let text =
                format!("(component (core module $m {module}) (core instance (instantiate $m)))");
            load(&wat::parse_str(text).unwrap()).ok().unwrap().instances_within(256)
        };
        assert_eq!(within(""), 256);
        assert_eq!(within("(memory 1)"), 256);
        assert_eq!(within("(memory 1) (memory 1) (memory 1)"), 85);
        assert_eq!(within("(table 1 funcref) (table 1 funcref)"), 256);
        assert_eq!(within("(memory 1) (table 1 funcref) (table 1 funcref) (table 1 funcref)"), 128);
    }

    #[test]
    fn garbage_and_damage_are_told_apart() {
        assert!(matches!(load(b"not at all").err().unwrap(), LoadError::NotWasm));
        assert!(matches!(load(b"").err().unwrap(), LoadError::NotWasm));
        let mut bytes = wat::parse_str("(component)").unwrap();
        bytes.extend([0xff; 9]);
        assert!(matches!(load(&bytes).err().unwrap(), LoadError::Invalid(_)));
    }

    #[test]
    fn what_a_component_imports_and_exports_can_be_read() {
        let component = load(
            &wat::parse_str(
                r#"(component
                    (import "shop:pricing/price@1.2.0" (instance
                        (type $r (record (field "cents" u32) (field "note" (option string))))
                        (export "r" (type $r' (eq $r)))
                        (export "get" (func (param "sku" string) (result $r')))))
                    (import "wasi:io/poll@0.2.0" (instance (export "pollable" (type (sub resource)))))
                    (core module $m (func (export "f")))
                    (core instance $i (instantiate $m))
                    (func $f (canon lift (core func $i "f")))
                    (instance $e (export "tick" (func $f)))
                    (export "shop:clock/tick" (instance $e))
                    (export "now" (func $f)))"#,
            )
            .unwrap(),
        )
        .unwrap();
        let [price, poll] = component.imports() else { panic!("two imports") };
        assert_eq!(price.contract.to_string(), "shop:pricing/price@1.2.0");
        assert_eq!(
            price.functions.first().unwrap().signature,
            "func(sku: string) -> record { cents: u32, note: option<string> }"
        );
        assert!(!price.resources && poll.resources);
        // Of its version a contract may have several; what counts is what it is made of.
        let contract = "shop:pricing/price@1.3.0".parse().unwrap();
        let newer = Interface { contract, ..price.clone() };
        assert_eq!(newer.fingerprint(), price.fingerprint());
        let fewer = Interface { functions: Vec::new(), ..price.clone() };
        assert_ne!(fewer.fingerprint(), price.fingerprint());
        let [tick] = component.exports() else { panic!("one export") };
        assert_eq!(tick.functions, [Function { name: "tick".into(), signature: "func()".into() }]);
        assert_eq!(component.functions().len(), 1);
    }
}
