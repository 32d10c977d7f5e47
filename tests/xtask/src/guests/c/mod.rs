//! The guest written in C. Its bindings are generated, its core module is compiled and linked without a C library,
//! and the module becomes a component.

mod bindings;
mod compiler;
mod linker;
mod sources;

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;

use crate::paths;
use compiler::Compiler;
use sources::Sources;

/// The component, compiled again only when a source changed.
pub(crate) fn component() -> Result<Vec<u8>> {
    let build = paths::guests_build().join("counter-c");
    let bindings = bindings::generate()?;
    let sources = Sources::read()?;
    let made_from = fingerprint(&bindings, &sources);
    let (done, stamp) = (build.join("counter_c.wasm"), build.join("made-from"));
    if fs::read_to_string(&stamp).is_ok_and(|old| old == made_from) && done.is_file() {
        return fs::read(&done).with_context(|| format!("reading {}", done.display()));
    }
    let component = compile(&build, &bindings, &sources)?;
    super::put(&done, &component)?;
    super::put(&stamp, made_from.as_bytes())?;
    Ok(component)
}

fn compile(build: &Path, bindings: &Files, sources: &Sources) -> Result<Vec<u8>> {
    let generated = build.join("bindings");
    bindings::write(bindings, &generated)?;
    let headers = [generated.clone(), sources::folder().join("libc")];
    let compiler = Compiler::find_or_install()?;
    let mut objects = bindings::with_extension(bindings, &generated, "o");
    for source in sources.c_files().chain(bindings::with_extension(bindings, &generated, "c")) {
        let object = build.join("objects").join(format!("{}.o", objects.len()));
        compiler.compile(&source, &headers, &object)?;
        objects.push(object);
    }
    let module = linker::link(&objects, &build.join("counter_c.core.wasm"))?;
    let encoder = ComponentEncoder::default().validate(true).module(&module);
    encoder.and_then(|mut encoder| encoder.encode()).context("making a component of the C guest")
}

/// Changes whenever the component might. How it is made is part of that.
fn fingerprint(bindings: &Files, sources: &Sources) -> String {
    let mut hasher = DefaultHasher::new();
    for recipe in [include_str!("mod.rs"), include_str!("compiler.rs"), include_str!("linker.rs")] {
        recipe.hash(&mut hasher);
    }
    for file in bindings.iter() {
        file.hash(&mut hasher);
    }
    sources.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
