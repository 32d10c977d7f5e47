//! Who belongs and who may change what, as records.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Print;
use crate::id::{AppName, NodeId};
use crate::trust::{Invitation, Paper};

/// A node belongs to the mesh. It proves itself: whoever lets the node in may write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The paper with which it came. Its invitation stays used. What it was given since is a record
    /// of its own.
    pub came: Paper,
}

impl Admitted {
    pub(super) fn is_of(&self, node: NodeId) -> bool {
        let came = &self.came;
        came.node() == node && came.renewal.is_none() && came.successions.is_empty()
    }
}

/// Somebody may declare some apps; or, where none is named, only look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Which, each with its links and its configuration. None: a viewer, who declares nothing.
    pub apps: BTreeSet<AppName>,
    /// What people call them.
    pub name: String,
    /// The invitation whose key signed this record; `None` where the authority or an admin did.
    pub invitation: Option<Box<Invitation>>,
}

/// Somebody may declare every app, and say who else may. Written by the authority alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admin {
    /// What people call them.
    pub name: String,
}

impl Admin {
    pub(super) fn check(&self) -> Result<(), String> {
        check_name(&self.name)
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let bad = name.is_empty() || name.chars().any(char::is_control);
    match bad || name.len() > Operator::MAX_NAME {
        true => Err(format!("the name of an operator has 1 to {} bytes", Operator::MAX_NAME)),
        false => Ok(()),
    }
}

impl Operator {
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 64;

    pub(super) fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        match self.apps.len() > Invitation::MAX_NAMED {
            true => Err(format!("an operator is one of at most {} apps", Invitation::MAX_NAMED)),
            false => Ok(()),
        }
    }

    /// Whether they only look.
    pub fn is_viewer(&self) -> bool {
        self.apps.is_empty()
    }
}

/// From now on only operators declare: the word of a node alone is none. Written by the authority
/// when it makes the first operator.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Charter {
    /// What nodes had declared before, and stays.
    pub kept: BTreeSet<Print>,
}
