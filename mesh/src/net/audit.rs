//! Where the mesh tells what must be written down.

use std::fmt::Debug;

use wattle_contracts::audit::Happening;

/// Takes what happens. It must not wait: it is told from the tasks that move bytes.
pub trait Audit: Debug + Send + Sync {
    /// This has happened.
    fn note(&self, happening: Happening);
}

/// Writes nothing down: for a mesh without a disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAudit;

impl Audit for NoAudit {
    fn note(&self, _: Happening) {}
}
