//! What the holder of a key may do who is no node.

use std::collections::BTreeSet;
use std::fmt;

use wattle_contracts::id::{AppName, NodeId, OperatorKey};
use wattle_contracts::record::Revoked;

use super::Rights;

/// As what somebody works with a mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// As its authority.
    Authority,
    /// As one who declares every app.
    Admin,
    /// As one who declares these.
    Deployer(BTreeSet<AppName>),
    /// As one who only looks.
    Viewer,
}

impl Role {
    /// Whether this may call what belongs to `app`, and declare it.
    pub fn covers(&self, app: &AppName) -> bool {
        match self {
            Role::Authority | Role::Admin => true,
            Role::Deployer(apps) => apps.contains(app),
            Role::Viewer => false,
        }
    }

    /// Whether this covers every app.
    pub fn covers_all(&self) -> bool {
        matches!(self, Role::Authority | Role::Admin)
    }

    /// The name, as people see it.
    pub fn name(&self) -> &'static str {
        match self {
            Role::Authority => "authority",
            Role::Admin => "admin",
            Role::Deployer(_) => "deployer",
            Role::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Role::Deployer(apps) = self {
            let apps: Vec<&str> = apps.iter().map(AppName::as_str).collect();
            write!(f, " of {}", apps.join(", "))?;
        }
        Ok(())
    }
}

impl Rights {
    /// As what the holder of `key` works with this mesh: `None` for a stranger, and for whoever was
    /// revoked.
    pub fn role(&self, key: &OperatorKey) -> Option<Role> {
        if key.as_bytes() == self.authority().as_bytes() {
            return Some(Role::Authority);
        }
        // A key that the authority had is nobody's, also where it had been made somebody's.
        if self.is_of_authority(NodeId::from_bytes(*key.as_bytes())) {
            return None;
        }
        if self.admins.contains(key) {
            return (!self.revoked(&Revoked::Admin(*key))).then_some(Role::Admin);
        }
        let granted = self.operators.get(key)?;
        if self.revoked(&Revoked::Operator(*key)) {
            return None;
        }
        match granted.apps.is_empty() {
            true => Some(Role::Viewer),
            false => Some(Role::Deployer(granted.apps.clone())),
        }
    }
}
