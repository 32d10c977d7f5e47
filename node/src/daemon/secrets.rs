//! Secrets: opened where a component runs, each time it asks, and handed over to nodes that were
//! not there when they were sealed.
//!
//! A secret is a record that only those nodes can open that could run its component when it was
//! put. One that may run it now and can't open it asks one that can, which seals it to that node
//! alone, by the same rule: the node carries the labels that the component asks for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use wattle_contracts::audit::Happening;
use wattle_contracts::call::{CallError, CallHeader, Encoding, ErrorKind, Source};
use wattle_contracts::id::{ComponentId, ConfigName, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{ConfigKey, RecordBody, RecordKey, Secret, Version};
use wattle_contracts::secret::{self, SecretError};
use wattle_contracts::wire;
use wattle_mesh::core::routing::carries;
use wattle_mesh::net::{Records, Reply, Standing};
use wattle_runtime::CallContext;
use zeroize::Zeroizing;

use super::calls::contract;
use super::change::{ChangeError, Notes};
use super::node::Node;
use super::table::{Table, Target};

/// What a node is asked that hands a secret over.
const HANDOVER: &str = "wattle:secrets/handover";

/// How long one node is waited for that could hand a secret over.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many of them are asked.
const ASKED: usize = 3;

/// How many secrets that were handed over are kept, sealed to this node, in memory only.
const KEPT: usize = 1024;

/// What opens secrets on this node.
pub(crate) struct Secrets {
    /// The node's own, and those that it had before.
    keys: Vec<Arc<SigningKey>>,
    /// Those that others sealed to this node, by name and version.
    handed: Mutex<BTreeMap<ConfigKey, (Version, Secret)>>,
}

/// Which secret a node asks for.
#[derive(Debug, Serialize, Deserialize)]
struct Handover {
    about: ConfigKey,
    version: Version,
}

/// What a person wants of a secret. The value was sealed before it came here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretRequest {
    /// The sealed value; none takes the secret back.
    pub(crate) secret: Option<Secret>,
}

impl Secrets {
    pub(super) fn new(keys: Vec<Arc<SigningKey>>) -> Self {
        Self { keys, handed: Mutex::default() }
    }

    /// What was handed over, if it is of this version.
    fn handed(&self, about: &ConfigKey, version: Version) -> Option<Secret> {
        let handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.get(about).filter(|(of, _)| *of == version).map(|(_, secret)| secret.clone())
    }

    fn keep(&self, about: ConfigKey, version: Version, secret: Secret) {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        if handed.len() >= KEPT && !handed.contains_key(&about) {
            handed.pop_first();
        }
        handed.insert(about, (version, secret));
    }

    fn open(&self, about: &ConfigKey, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        self.with_own(|key| secret::open(about, secret, key))
    }

    /// The same secret, for `node`.
    fn seal_on(
        &self,
        about: &ConfigKey,
        secret: &Secret,
        node: NodeId,
    ) -> Result<Secret, SecretError> {
        self.with_own(|key| secret::seal_on(about, secret, key, &[node]))
    }

    /// What comes of the first of this node's keys to which a secret is sealed.
    fn with_own<T>(
        &self,
        attempt: impl Fn(&SigningKey) -> Result<T, SecretError>,
    ) -> Result<T, SecretError> {
        let mut attempts = self.keys.iter().map(|key| attempt(key));
        let is_for_us =
            |outcome: &Result<T, SecretError>| !matches!(outcome, Err(SecretError::NotForUs));
        attempts.find(is_for_us).unwrap_or(Err(SecretError::NotForUs))
    }
}

/// A sealed secret among the records, and its version.
fn secret_in<'r>(records: &'r Records, about: &ConfigKey) -> Option<(&'r Secret, Version)> {
    let record = records.get(&RecordKey::Secret(about.clone()))?;
    match &record.body {
        RecordBody::Secret(secret) => Some((secret, record.version)),
        _ => None,
    }
}

impl Node {
    /// The secret `name` of `source` as it is now; why not, for a component.
    pub(crate) async fn secret_of(
        &self,
        source: &ComponentId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, String> {
        let Ok(name) = name.parse::<ConfigName>() else { return Ok(None) };
        let about = ConfigKey { component: source.clone(), name };
        let records = self.mesh_started().map_err(|error| error.message)?.records();
        let Some((secret, version)) = secret_in(&records, &about) else { return Ok(None) };
        let outcome = match self.secrets().open(&about, secret) {
            Err(SecretError::NotForUs) => self.handed_over(&about, secret, version).await,
            other => other.map_err(|error| error.to_string()),
        };
        let (component, name) = (source.clone(), about.name.to_string());
        let why = outcome.as_ref().err().cloned();
        self.audit().note(Happening::SecretUsed { component, name, why });
        outcome.map(|value| Some(value.to_vec())).map_err(|why| format!("secret `{about}`: {why}"))
    }

    /// Opens what another node seals to this one.
    async fn handed_over(
        &self,
        about: &ConfigKey,
        secret: &Secret,
        version: Version,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        // Only the key to what the record holds is taken from another node, never a value.
        let open = |handed: &Secret| match handed.sealed == secret.sealed {
            true => self.secrets().open(about, handed).map_err(|error| error.to_string()),
            false => Err(SecretError::Damaged.to_string()),
        };
        if let Some(handed) = self.secrets().handed(about, version) {
            return open(&handed);
        }
        let mesh = self.mesh_started().map_err(|error| error.message)?;
        let view = mesh.view();
        let holders = view.nodes.values().filter(|node| !node.is_self && node.is_reachable());
        let holders: Vec<NodeId> =
            holders.map(|node| node.id).filter(|node| secret.is_for(*node)).collect();
        let mut why = "it is not sealed to this node, and none that could hand it over is reached"
            .to_string();
        for holder in holders.into_iter().take(ASKED) {
            let asked = timeout(PATIENCE, self.ask_for(holder, about, version)).await;
            let asked = asked.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
            let opened = asked.and_then(|handed| Ok((open(&handed)?, handed)));
            match opened {
                Ok((opened, handed)) => {
                    self.secrets().keep(about.clone(), version, handed);
                    return Ok(opened);
                }
                Err(error) => {
                    why = format!(
                        "it is not sealed to this node, and {holder} did not hand it over: {error}"
                    );
                    tracing::warn!(%about, %holder, %error, "a secret was not handed over");
                }
            }
        }
        Err(why)
    }

    async fn ask_for(
        &self,
        holder: NodeId,
        about: &ConfigKey,
        version: Version,
    ) -> Result<Secret, String> {
        let context = CallContext::new(Source::Secrets, Instant::now() + PATIENCE);
        let contract = contract(HANDOVER).map_err(|error| error.message)?;
        let header = self.header(&context, &about.component, &contract, "seal", Encoding::Message);
        let asks = Handover { about: about.clone(), version };
        let payload = wire::encode(&asks).map_err(|error| error.to_string())?;
        let reply = self.send_to(holder, header, payload.into(), None).await;
        let reply = reply.map_err(|error| error.message)?;
        wire::decode(&reply.payload).map_err(|error| error.to_string())
    }

    /// Seals a secret to the node `from`, if that may run its component. Whoever it was that asked
    /// in that node's name, only that node can open it.
    pub(super) async fn hand_over(
        &self,
        from: NodeId,
        header: &CallHeader,
        payload: &Bytes,
    ) -> Result<Reply, CallError> {
        let refused = |why: String| CallError::new(ErrorKind::NotAllowed, why);
        let asks: Handover = wire::decode(payload).map_err(|error| refused(error.to_string()))?;
        let about = asks.about;
        if about.component != header.route.target {
            return Err(refused("it asks for the secret of another component".into()));
        }
        let records = self.mesh_started()?.records();
        let (secret, version) = secret_in(&records, &about)
            .ok_or_else(|| refused(format!("there is no secret `{about}`, as far as is known")))?;
        if version != asks.version {
            return Err(refused(format!("of `{about}` another version is known here")));
        }
        if !self.may_have(&self.table(), &about.component)?.contains(&from) {
            let message = format!(
                "node {from} may not have `{about}`: it does not carry the labels that \
                 `{}` is placed by",
                about.component
            );
            return Err(refused(message));
        }
        let sealed = self.secrets().seal_on(&about, secret, from);
        let sealed = sealed.map_err(|error| refused(format!("`{about}`: {error}")))?;
        let (component, name) = (about.component.clone(), about.name.to_string());
        self.audit().note(Happening::SecretHandedOver { component, name, to: from });
        let payload = wire::encode(&sealed)
            .map_err(|error| CallError::new(ErrorKind::Internal, error.to_string()))?;
        Ok(Reply::new(payload))
    }

    /// The nodes that may run `component`: those known that carry its labels, have not left and
    /// were not revoked.
    fn may_have(&self, table: &Table, component: &ComponentId) -> Result<Vec<NodeId>, CallError> {
        let Target::Component(spec) = table.target(component)? else {
            let message = format!("`{component}` is a provider, which has no secrets");
            return Err(CallError::new(ErrorKind::NotLinked, message));
        };
        let view = self.mesh_started()?.view();
        let rights = self.mesh_started()?.rights();
        let may = view.nodes.values().filter(|node| carries(&node.about.labels, &spec.on));
        let may = may.filter(|node| node.standing != Standing::Left && !rights.is_revoked(node.id));
        Ok(may.map(|node| node.id).collect())
    }

    /// To whom a secret of `component` is to be sealed.
    pub(crate) fn secret_nodes(&self, component: &ComponentId) -> Result<Vec<NodeId>, ChangeError> {
        let nodes = self.may_have(&self.fresh_table(), component);
        let nodes = nodes.map_err(|error| ChangeError::Unknown(error.message))?;
        match nodes.is_empty() {
            true => Err(ChangeError::Unknown(format!(
                "no known node may run `{component}`: none carries the labels that it asks for, so \
                 there is nobody to seal a secret to"
            ))),
            false => Ok(nodes),
        }
    }

    /// Puts a sealed secret, or takes one back.
    pub(crate) async fn put_secret(
        &self,
        about: ConfigKey,
        secret: Option<Secret>,
    ) -> Result<Notes, ChangeError> {
        let node_error = |error: CallError| ChangeError::Node(error.message);
        let records = self.mesh_started().map_err(node_error)?.records();
        let body = match secret {
            Some(secret) => {
                secret
                    .check()
                    .map_err(|why| ChangeError::Invalid(format!("secret `{about}`: {why}")))?;
                RecordBody::Secret(Box::new(secret))
            }
            None if secret_in(&records, &about).is_none() => {
                return Err(ChangeError::NotThere(format!("there is no secret `{about}`")));
            }
            None => RecordBody::Tombstone,
        };
        self.change(RecordKey::Secret(about), body).await?;
        Ok(Vec::new())
    }
}
