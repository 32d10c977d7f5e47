//! `wattle apps`.

use anyhow::Result;
use clap::Args;

use super::NodeArgs;
use super::output::{labels, print, print_json, short_ids, table};
use crate::api::{AppInfo, AppsReply, ComponentInfo};
use crate::daemon::Status;

#[derive(Args)]
pub(super) struct Apps {
    #[command(flatten)]
    node: NodeArgs,
}

impl Apps {
    pub(super) async fn run(self) -> Result<()> {
        let reply: AppsReply = self.node.client()?.get("/v1/apps").await?;
        if self.node.json {
            return print_json(&reply);
        }
        if reply.apps.is_empty() {
            return print(
                "no app is declared in this mesh; declare one with: wattle apply APP.toml\n",
            );
        }
        let rows: Vec<_> = reply.apps.iter().flat_map(rows).collect();
        print(&table(["NAME", "IS", "ON", "RUNS", "WHERE", "NOTE"], &rows))
    }
}

fn rows(app: &AppInfo) -> Vec<[String; 6]> {
    let components = app.components.iter().map(|component| {
        [
            component.id.to_string(),
            "component".into(),
            labels(&component.on),
            format!("{}/{}", component.running.len(), component.replicas),
            short_ids(&component.running),
            note(component),
        ]
    });
    let providers = app.providers.iter().map(|provider| {
        [
            provider.id.to_string(),
            provider.contract.clone(),
            labels(&provider.on),
            "-".into(),
            provider.home.map_or("any".into(), |home| home.short()),
            String::new(),
        ]
    });
    components.chain(providers).collect()
}

fn note(component: &ComponentInfo) -> String {
    if let Some((node, why)) = component.failing.first_key_value() {
        return format!("fails on {}: {why}", node.short());
    }
    match (&component.here, &component.shortfall) {
        (Some(Status::Failed(why)), _) => format!("fails here: {why}"),
        (_, Some(shortfall)) => shortfall.clone(),
        (Some(Status::Starting), _) => "starting here".into(),
        _ => String::new(),
    }
}
