//! `wattle operator`: who may change what. The keys stay with the people: a node only ever sees
//! what they signed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use wattle_contracts::id::{AppName, OperatorKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Admin, Charter, Operator, Print, RecordBody, RecordKey};
use wattle_contracts::trust::Invited;

use super::NodeArgs;
use super::invite::read_token;
use super::output::{print, print_json, table, when};
use crate::api::{
    Client, OperatorsReply, PrintsReply, RecordReply, RecordRequest, StampReply, Wired,
};
use crate::home;

#[derive(Subcommand)]
pub(super) enum OperatorVerb {
    /// Makes an operator's key, and prints its public half.
    New(New),
    /// Makes somebody an operator: of some apps, of everything (`--role admin`), or one who only
    /// looks (`--role viewer`). From the first admin on, only operators declare.
    Add(Add),
    /// Becomes an operator by an invitation.
    Accept(Accept),
    /// Shows the operators, and what was revoked.
    Ls(Ls),
}

#[derive(Args)]
pub(super) struct New {
    /// Where to write the private key.
    #[arg(long, value_name = "FILE", default_value = home::OPERATOR_KEY)]
    out: PathBuf,
}

#[derive(Args)]
pub(super) struct Add {
    /// The public key, as `wattle operator new` shows it there.
    #[arg(value_name = "OPERATOR-KEY")]
    key: OperatorKey,
    /// What people call them.
    #[arg(long)]
    name: String,
    /// As what; a deployer, if only apps are named.
    #[arg(long, value_enum, value_name = "ROLE", required_unless_present_any = ["apps", "admin"])]
    role: Option<As>,
    /// The same as `--role admin`.
    #[arg(long, conflicts_with = "role")]
    admin: bool,
    /// An app that a deployer may declare. Repeatable.
    #[arg(long = "app", value_name = "APP")]
    apps: Vec<AppName>,
    #[command(flatten)]
    signer: Signer,
    #[command(flatten)]
    node: NodeArgs,
}

/// As what somebody works with a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum As {
    /// Looks, and declares nothing.
    Viewer,
    /// Declares some apps (`--app`).
    Deployer,
    /// Declares everything, and says who else may what. Needs the mesh's private key (`--key
    /// mesh.key`).
    Admin,
}

/// Whose key signs what is said of others.
#[derive(Args)]
pub(super) struct Signer {
    /// The private key that signs: the mesh's, or an admin's. That of the operator who works with
    /// this node, if it is left out.
    #[arg(long = "key", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Signer {
    pub(super) fn read(&self, node: &NodeArgs) -> Result<SigningKey> {
        match self.file.clone().or_else(|| node.operator_key()) {
            Some(path) => home::read_key(&path),
            None => bail!("whose key signs this? Say --key mesh.key, or an admin's"),
        }
    }
}

#[derive(Args)]
pub(super) struct Accept {
    /// The invitation, or a file with it; `-` reads it from standard input.
    token: String,
    /// What people call you.
    #[arg(long)]
    name: String,
    /// Where your private key is, or is to be written. In the data folder, if it is left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub(super) struct Ls {
    #[command(flatten)]
    node: NodeArgs,
}

impl OperatorVerb {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::New(verb) => verb.run(),
            Self::Add(verb) => verb.run().await,
            Self::Accept(verb) => verb.run().await,
            Self::Ls(verb) => verb.run().await,
        }
    }
}

impl New {
    fn run(self) -> Result<()> {
        let key = SigningKey::generate()?;
        home::write_private(&self.out, key.to_text().as_bytes())?;
        print(&format!("{}\n", OperatorKey::from_bytes(key.public())))
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let role = self.role()?;
        let signer = self.signer.read(&self.node)?;
        let client = self.node.client()?;
        let (about, body) = match role {
            As::Admin => {
                let admin = Admin { name: self.name.clone() };
                (RecordKey::Admin(self.key), RecordBody::Admin(admin))
            }
            As::Deployer | As::Viewer => {
                let apps = self.apps.iter().cloned().collect();
                let operator = Operator { apps, name: self.name.clone(), invitation: None };
                (RecordKey::Operator(self.key), RecordBody::Operator(operator))
            }
        };
        put(&client, &signer, about, body).await?;
        let known: OperatorsReply = client.get("/v1/operators").await?;
        let mut note = "";
        if role == As::Admin && !known.only_operators {
            // What was declared before stays: by name, as anything else could be made up later.
            let kept = prints(&client, "charter").await?;
            put(&client, &signer, RecordKey::Charter, RecordBody::Charter(Charter { kept }))
                .await?;
            note = "from now on only operators declare; what was declared before stays\n";
        }
        let what = match role {
            As::Viewer => "a viewer",
            As::Deployer => "an operator",
            As::Admin => "an admin",
        };
        print(&format!("{} is {what}\n{note}", self.key))
    }

    fn role(&self) -> Result<As> {
        let role = match (self.role, self.admin) {
            (_, true) => As::Admin,
            (Some(role), false) => role,
            (None, false) => As::Deployer,
        };
        match (role, self.apps.is_empty()) {
            (As::Deployer, true) => bail!("which apps may they declare? Say --app"),
            (As::Viewer | As::Admin, false) => {
                bail!("--app is for deployers: a viewer declares nothing, an admin everything")
            }
            _ => Ok(role),
        }
    }
}

impl Accept {
    async fn run(self) -> Result<()> {
        let token = read_token(&self.token)?;
        let Invited::Operator(apps) = &token.invitation.body.invited else {
            bail!("this invitation is for a node, not for an operator: wattle up --invite TOKEN");
        };
        let out = self.out.clone().unwrap_or_else(|| self.node.data.join(home::OPERATOR_KEY));
        let is_new = !out.exists();
        // On the disk before the invitation is used: it can't be used twice.
        let key = home::key_or_new(&out)?;
        let operator = Operator {
            apps: apps.clone(),
            name: self.name.clone(),
            invitation: Some(Box::new(token.invitation.clone())),
        };
        let id = OperatorKey::from_bytes(key.public());
        let (about, body) = (RecordKey::Operator(id), RecordBody::Operator(operator));
        let taken = put(&self.node.client()?, &token.key()?, about, body).await;
        if taken.is_err() && is_new {
            let _ = std::fs::remove_file(&out);
        }
        taken?;
        let apps: Vec<&str> = apps.iter().map(AppName::as_str).collect();
        let what = match apps.is_empty() {
            true => "a viewer".into(),
            false => format!("an operator of {}", apps.join(", ")),
        };
        print(&format!("you are {id}, {what}; your private key is in {}\n", out.display()))
    }
}

impl Ls {
    async fn run(self) -> Result<()> {
        let reply: OperatorsReply = self.node.client()?.get("/v1/operators").await?;
        if self.node.json {
            return print_json(&reply);
        }
        let rows: Vec<[String; 4]> = reply
            .operators
            .iter()
            .map(|one| {
                let apps = match one.role.as_str() {
                    "admin" => "all".into(),
                    "viewer" => "-".into(),
                    _ => one.apps.join(","),
                };
                let role = if one.revoked { "revoked" } else { one.role.as_str() };
                [one.name.clone(), role.into(), apps, one.key.clone()]
            })
            .collect();
        let mut text = match reply.only_operators {
            true => String::new(),
            false => {
                "no admin yet: every member may declare (wattle operator add --admin)\n".into()
            }
        };
        if !rows.is_empty() {
            text.push_str(&table(["NAME", "ROLE", "APPS", "KEY"], &rows));
        }
        if !reply.former_authorities.is_empty() {
            text.push_str(&format!("the mesh's authority: {}\n", reply.authority));
        }
        for one in &reply.former_authorities {
            let (key, until) = (one.key, when(one.until));
            text.push_str(&format!("before: {key}, whose papers are taken until {until}\n"));
        }
        for one in reply.renewers.iter().filter(|one| !one.revoked) {
            let (node, days, until) = (one.node, one.papers_secs / 86_400, when(one.until));
            text.push_str(&format!("renews papers: {node}, each for {days} days, until {until}\n"));
        }
        for one in &reply.revoked {
            let (key, reason) = (&one.key, &one.reason);
            text.push_str(&format!(
                "revoked: {key}{}{reason}\n",
                if reason.is_empty() { "" } else { ": " }
            ));
        }
        print(&text)
    }
}

/// Signs a record, and hands it to a node.
pub(super) async fn put(
    client: &Client,
    signer: &SigningKey,
    about: RecordKey,
    body: RecordBody,
) -> Result<()> {
    let key = about.to_string();
    let reply: StampReply = client.get(&format!("/v1/stamps/{key}")).await?;
    let stamp = reply.stamp.read().map_err(anyhow::Error::msg)?;
    let record = super::signing::sign(&stamp, signer, about, body)?;
    let request = RecordRequest { record: Wired::of(&record)? };
    let _: RecordReply = client.post("/v1/records", &request).await?;
    Ok(())
}

/// What the node holds that stays.
pub(super) async fn prints(client: &Client, of: &str) -> Result<BTreeSet<Print>> {
    let reply: PrintsReply = client.get(&format!("/v1/prints/{of}")).await?;
    reply.prints.read().map_err(anyhow::Error::msg)
}
