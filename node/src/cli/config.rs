//! `wattle config`.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, Subcommand};
use wattle_contracts::id::{ComponentId, ConfigName};

use super::NodeArgs;
use super::output::{changed, print, print_json, table, when};
use crate::api::{ChangeReply, ConfigInfo, ConfigReply};
use crate::daemon::ConfigRequest;

/// How much of a value a table shows, in characters.
const SHOWN: usize = 60;

#[derive(Subcommand)]
pub(super) enum ConfigVerb {
    /// Changes what a component reads as its configuration, without applying its app anew.
    ///
    /// Each value becomes a record of its own. It counts before the app's value of that name, until
    /// it is taken back with `wattle config rm`. Calls under way keep the old values.
    Put(Put),
    /// Takes back values that were put by hand; the app's own count again.
    Rm(Rm),
    /// Lists what components read, and who says so.
    Ls(Ls),
}

#[derive(Args)]
pub(super) struct Put {
    /// The component: app/component.
    #[arg(value_name = "COMPONENT")]
    component: ComponentId,
    /// The values.
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = pair)]
    values: Vec<(ConfigName, String)>,
    /// Put them although the component is not known here (yet).
    #[arg(long)]
    ahead: bool,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub(super) struct Rm {
    /// The component: app/component.
    #[arg(value_name = "COMPONENT")]
    component: ComponentId,
    /// The names of the values.
    #[arg(value_name = "KEY", required = true)]
    names: Vec<ConfigName>,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub(super) struct Ls {
    /// One component; all of them if it is left out.
    #[arg(value_name = "COMPONENT")]
    component: Option<ComponentId>,
    #[command(flatten)]
    node: NodeArgs,
}

impl ConfigVerb {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Put(Put { component, values, ahead, node }) => {
                let values = values.into_iter().map(|(name, value)| (name, Some(value)));
                let reply = change(&node, &component, values.collect(), ahead).await?;
                changed(&reply, "put value", node.json)
            }
            Self::Rm(Rm { component, names, node }) => {
                let values = names.into_iter().map(|name| (name, None));
                let reply = change(&node, &component, values.collect(), false).await?;
                changed(&reply, "took back value", node.json)
            }
            Self::Ls(verb) => verb.run().await,
        }
    }
}

async fn change(
    node: &NodeArgs,
    component: &ComponentId,
    values: BTreeMap<ConfigName, Option<String>>,
    ahead: bool,
) -> Result<ChangeReply> {
    let values = values.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    let request = ConfigRequest { values, ahead };
    Ok(node.client()?.patch(&format!("/v1/config/{component}"), &request).await?)
}

impl Ls {
    async fn run(self) -> Result<()> {
        let mut reply: ConfigReply = self.node.client()?.get("/v1/config").await?;
        if let Some(wanted) = &self.component {
            reply.values.retain(|info| info.component == *wanted);
        }
        if self.node.json {
            return print_json(&reply);
        }
        if reply.values.is_empty() {
            return print("no configuration values\n");
        }
        let rows: Vec<_> = reply.values.iter().map(row).collect();
        print(&table(["COMPONENT", "KEY", "VALUE", "SAID BY", "THROUGH", "AT"], &rows))
    }
}

fn row(info: &ConfigInfo) -> [String; 6] {
    let said_by = match &info.instead_of {
        Some(value) => format!("{}, not {}", info.origin, shown(value)),
        None => info.origin.clone(),
    };
    [
        info.component.to_string(),
        info.name.clone(),
        shown(&info.value),
        said_by,
        info.writer.short(),
        when(info.at),
    ]
}

/// A value on one line, the start of it where it is long; `--json` shows it whole.
fn shown(value: &str) -> String {
    let plain = !value.is_empty() && !value.contains(char::is_control) && value.trim() == value;
    let text = if plain { value.to_string() } else { format!("{value:?}") };
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN - 1).chain(['…']).collect()
}

fn pair(text: &str) -> Result<(ConfigName, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("expected KEY=VALUE, and there is no `=` in `{text}`"))?;
    let name = name.parse::<ConfigName>().map_err(|error| error.to_string())?;
    Ok((name, value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_cut_at_its_first_equals_sign() {
        let (name, value) = pair("url=http://x/?a=b").unwrap();
        assert_eq!((name.as_str(), &*value), ("url", "http://x/?a=b"));
        assert_eq!(pair("empty=").unwrap().1, "");
        assert!(pair("none").unwrap_err().contains("KEY=VALUE"));
        assert!(pair("=x").unwrap_err().contains("it is empty"));
    }

    #[test]
    fn a_value_takes_one_short_line() {
        assert_eq!(shown("plain text"), "plain text");
        assert_eq!(shown(" a\nb"), r#"" a\nb""#);
        assert_eq!(shown(""), "\"\"");
        let long = shown(&"x".repeat(1000));
        assert!(long.chars().count() == SHOWN && long.ends_with('…'));
    }
}
