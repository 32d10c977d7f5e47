//! `wattle link`.

use std::str::FromStr;

use anyhow::Result;
use clap::{Args, Subcommand};
use wattle_contracts::id::SubjectPattern;
use wattle_contracts::id::{ComponentId, ContractId, IdError, LinkName, LocalName};
use wattle_contracts::record::{Grant, Labels, LinkOptions};

use super::NodeArgs;
use super::output::{changed, labels, print, print_json, short_ids, table, when};
use super::up::label;
use crate::api::{ChangeReply, LinkInfo, LinksReply};
use crate::daemon::LinkRequest;

#[derive(Subcommand)]
pub(super) enum LinkVerb {
    /// Sends an import elsewhere, or to one more target, without applying its app anew.
    ///
    /// The link becomes a record of its own. It counts before the app's link with the same source,
    /// contract and name, until it is taken back with `wattle link rm`.
    Put(Box<Put>),
    /// Takes back a link that was put by hand; the app's own, if it has one, counts again.
    Rm(Rm),
    /// Lists where imports go, and who says so.
    Ls(Ls),
}

#[derive(Args)]
pub(super) struct Put {
    #[command(flatten)]
    at: At,
    /// The component or provider that serves it: app/name, or a name in the source's own app.
    #[arg(value_name = "TARGET")]
    to: Name,
    /// How many of the calls it takes among several links of one import, in proportion to the
    /// others' weights; 0 for a spare, taken only where no other can be.
    #[arg(long, value_name = "NUMBER", default_value_t = LinkOptions::default_weight())]
    weight: u32,
    /// A label that a node must carry to be called along it. May be said several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    require: Vec<(String, String)>,
    /// A label whose carriers are called as long as one can be. May be said several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    prefer: Vec<(String, String)>,
    /// A function that may run more than once for one call, and so is tried again when no answer
    /// comes. May be said several times.
    #[arg(long, value_name = "FUNCTION")]
    idempotent: Vec<String>,
    /// Ask a second node if such a call takes longer, in milliseconds.
    #[arg(long, value_name = "MS")]
    hedge: Option<u32>,
    #[command(flatten)]
    grant: GrantArgs,
    /// Put it although the source or the target is not known here (yet).
    #[arg(long)]
    ahead: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// What of the contract a link grants; all of it, if nothing is said.
#[derive(Args)]
#[command(next_help_heading = "What it grants (everything, if none of these is given)")]
struct GrantArgs {
    /// A function that may be called. May be said several times.
    #[arg(long = "function", value_name = "FUNCTION")]
    functions: Vec<String>,
    /// A bucket of a key-value store. May be said several times.
    #[arg(long = "bucket", value_name = "BUCKET")]
    buckets: Vec<String>,
    /// What keys of a key-value store must begin with. May be said several times.
    #[arg(long = "key-prefix", value_name = "PREFIX")]
    keys: Vec<String>,
    /// A host outside of the mesh: NAME, NAME:PORT, *.NAME or *. May be said several times.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// An HTTP method, in capitals. May be said several times.
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// A pattern of subjects to publish to. May be said several times.
    #[arg(long = "subject", value_name = "SUBJECT")]
    subjects: Vec<SubjectPattern>,
    /// How many calls in a second, of each node on which the source runs.
    #[arg(long, value_name = "NUMBER")]
    calls_per_second: Option<u32>,
    /// How many bytes of arguments in a second, of each node on which the source runs.
    #[arg(long, value_name = "BYTES")]
    bytes_per_second: Option<u64>,
    /// How many bytes of arguments in one call.
    #[arg(long, value_name = "BYTES")]
    bytes_per_call: Option<u64>,
}

impl From<GrantArgs> for Grant {
    fn from(args: GrantArgs) -> Self {
        Self {
            functions: args.functions,
            buckets: args.buckets,
            keys: args.keys,
            hosts: args.hosts,
            methods: args.methods,
            subjects: args.subjects,
            calls_per_second: args.calls_per_second,
            bytes_per_second: args.bytes_per_second,
            bytes_per_call: args.bytes_per_call,
        }
    }
}

#[derive(Args)]
pub(super) struct Rm {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub(super) struct Ls {
    #[command(flatten)]
    node: NodeArgs,
}

/// Which link.
#[derive(Args)]
struct At {
    /// The component that imports: app/component.
    #[arg(value_name = "SOURCE")]
    from: ComponentId,
    /// What it imports: namespace:package, or namespace:package/interface, with @version or
    /// without.
    contract: ContractId,
    /// The link's name, which tells several links of one import apart.
    #[arg(long, value_name = "NAME", default_value_t)]
    name: LinkName,
}

/// Something of any app, or of the app that is spoken of.
#[derive(Debug, Clone)]
enum Name {
    Whole(ComponentId),
    Local(LocalName),
}

impl FromStr for Name {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.contains('/') {
            true => text.parse().map(Self::Whole),
            false => text.parse().map(Self::Local),
        }
    }
}

impl LinkVerb {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Put(verb) => verb.run().await,
            Self::Rm(verb) => verb.run().await,
            Self::Ls(verb) => verb.run().await,
        }
    }
}

impl At {
    /// Its place in the API.
    fn path(&self) -> String {
        let Self { from, contract, name } = self;
        // Nothing that may stand in these would have to be escaped.
        format!("/v1/links/{from}/{name}/{contract}")
    }
}

impl Put {
    async fn run(self) -> Result<()> {
        let to = match self.to {
            Name::Whole(id) => id,
            Name::Local(name) => ComponentId::new(self.at.from.app.clone(), name),
        };
        let options = LinkOptions {
            weight: self.weight,
            require: self.require.into_iter().collect(),
            prefer: self.prefer.into_iter().collect(),
            idempotent: self.idempotent,
            hedge_millis: self.hedge,
            grant: self.grant.into(),
        };
        let request = LinkRequest { to, options, ahead: self.ahead };
        let client = self.node.client()?;
        let reply: ChangeReply = client.put_json(&self.at.path(), &request).await?;
        changed(&reply, "put link", self.node.json)
    }
}

impl Rm {
    async fn run(self) -> Result<()> {
        let reply: ChangeReply = self.node.client()?.delete(&self.at.path()).await?;
        changed(&reply, "took back link", self.node.json)
    }
}

impl Ls {
    async fn run(self) -> Result<()> {
        let reply: LinksReply = self.node.client()?.get("/v1/links").await?;
        if self.node.json {
            return print_json(&reply);
        }
        if reply.links.is_empty() {
            return print("no links\n");
        }
        let rows: Vec<_> = reply.links.iter().map(row).collect();
        let header =
            ["FROM", "CONTRACT", "NAME", "TO", "OPTIONS", "SAID BY", "THROUGH", "AT", "SERVED BY"];
        print(&table(header, &rows))
    }
}

fn row(link: &LinkInfo) -> [String; 9] {
    let said_by = match &link.instead_of {
        Some(to) => format!("{}, not {to}", link.origin),
        None => link.origin.clone(),
    };
    [
        link.from.to_string(),
        link.contract.to_string(),
        link.name.to_string(),
        link.to.to_string(),
        options(&link.options),
        said_by,
        link.writer.short(),
        when(link.at),
        short_ids(&link.served_by),
    ]
}

/// What differs from how links are where nothing is said.
fn options(options: &LinkOptions) -> String {
    let mut words = Vec::new();
    if options.weight != LinkOptions::default_weight() {
        words.push(format!("weight {}", options.weight));
    }
    let mut say = |word: &str, wanted: &Labels| {
        if !wanted.is_empty() {
            words.push(format!("{word} {}", labels(wanted)));
        }
    };
    say("require", &options.require);
    say("prefer", &options.prefer);
    if !options.idempotent.is_empty() {
        words.push(format!("idempotent {}", options.idempotent.join(",")));
    }
    words.extend(options.hedge_millis.map(|millis| format!("hedge {millis} ms")));
    words.extend(granted(&options.grant));
    if words.is_empty() { "-".into() } else { words.join("; ") }
}

/// What a link does not grant all of.
fn granted(grant: &Grant) -> Vec<String> {
    let subjects: Vec<String> = grant.subjects.iter().map(ToString::to_string).collect();
    let lists = [
        ("functions", &grant.functions),
        ("buckets", &grant.buckets),
        ("keys", &grant.keys),
        ("hosts", &grant.hosts),
        ("methods", &grant.methods),
        ("subjects", &subjects),
    ];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let lists = lists.map(|(word, list)| format!("{word} {}", list.join(",")));
    let limits = [
        (grant.calls_per_second.map(u64::from), "calls/s"),
        (grant.bytes_per_second, "bytes/s"),
        (grant.bytes_per_call, "bytes/call"),
    ];
    let limits = limits.into_iter().filter_map(|(limit, unit)| Some(format!("{} {unit}", limit?)));
    lists.chain(limits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_a_link_is_shown() {
        assert_eq!(options(&LinkOptions::default()), "-");
        let require = [("zone".to_string(), "a".to_string())].into();
        let some = LinkOptions { weight: 0, require, ..LinkOptions::default() };
        assert_eq!(options(&some), "weight 0; require zone=a");
        let grant = Grant {
            functions: vec!["get".into(), "set".into()],
            calls_per_second: Some(5),
            ..Grant::ALL
        };
        let some = LinkOptions { grant, ..LinkOptions::default() };
        assert_eq!(options(&some), "functions get,set; 5 calls/s");
    }

    #[test]
    fn the_path_of_a_link_needs_no_escapes() {
        let at = At {
            from: "shop/basket".parse().unwrap(),
            contract: "example:shop/pricing@1.0.0-rc.1+build.5".parse().unwrap(),
            name: LinkName::default(),
        };
        let path = at.path();
        assert_eq!(path, "/v1/links/shop/basket/default/example:shop/pricing@1.0.0-rc.1+build.5");
        path.parse::<http::Uri>().unwrap();
    }
}
