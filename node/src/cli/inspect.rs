//! `wattle inspect`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use wattle_contracts::artifact;
use wattle_contracts::id::{Digest, PublisherKey};
use wattle_runtime::{Component, Engine, EngineConfig, Interface};

use super::output::{print, print_json};

#[derive(Args)]
pub(super) struct Inspect {
    /// The component.
    file: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> Result<()> {
        let name = self.file.display().to_string();
        let bytes = super::sign::read(&self.file)?;
        let signers = artifact::signers(&bytes).with_context(|| name.clone())?;
        let digest = Digest::of(&bytes);
        // Who claims to have signed it, and whether that is so.
        let genuine = |signer: &PublisherKey| artifact::verify(&bytes, &[*signer]).is_ok();
        let signers: Vec<_> = signers.iter().map(|signer| (*signer, genuine(signer))).collect();
        let engine = Engine::new(EngineConfig::default())?;
        let component = Component::load(&engine, &digest, &bytes).with_context(|| name.clone())?;
        if self.json {
            let interfaces = |all: &[Interface]| {
                let one = |i: &Interface| {
                    let functions =
                        i.functions.iter().map(|f| (f.name.clone(), f.signature.clone()));
                    json!({
                        "contract": i.contract,
                        "fingerprint": i.fingerprint(),
                        "functions": functions.collect::<std::collections::BTreeMap<_, _>>(),
                    })
                };
                all.iter().map(one).collect::<Vec<_>>()
            };
            let signers: Vec<_> = signers
                .iter()
                .map(|(signer, genuine)| json!({ "publisher": signer, "genuine": genuine }))
                .collect();
            return print_json(&json!({
                "file": name,
                "digest": digest,
                "bytes": bytes.len(),
                "signers": signers,
                "imports": interfaces(component.imports()),
                "exports": interfaces(component.exports()),
            }));
        }
        let mut text = format!("{name}\n  {digest}, {} bytes\n", bytes.len());
        if signers.is_empty() {
            text.push_str("  not signed\n");
        }
        for (signer, genuine) in signers {
            let verdict = if genuine { "" } else { " — BAD SIGNATURE" };
            text.push_str(&format!("  signed by {signer}{verdict}\n"));
        }
        for (title, interfaces) in
            [("imports", component.imports()), ("exports", component.exports())]
        {
            text.push_str(&format!("{title}\n"));
            for interface in interfaces {
                let short: String = interface.fingerprint().hex().chars().take(16).collect();
                text.push_str(&format!("  {} {short}\n", interface.contract));
                // Those of the standard are known, and long.
                if interface.contract.namespace() != "wasi" {
                    for function in &interface.functions {
                        text.push_str(&format!("    {}: {}\n", function.name, function.signature));
                    }
                }
            }
        }
        print(&text)
    }
}
