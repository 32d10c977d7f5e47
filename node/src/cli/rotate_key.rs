//! `wattle rotate-key`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::output::print;
use crate::home::Home;
use crate::rotation;

/// Gives a node that is stopped a new key, with all that it keeps. The old key is worth nothing from
/// the moment on that the others hear of it, when the node starts again.
#[derive(Args)]
pub(super) struct RotateKey {
    /// The node's data folder.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Home::default_root())]
    data: PathBuf,
}

impl RotateKey {
    pub(super) fn run(self) -> Result<()> {
        let rotated = rotation::rotate(&self.data)?;
        let (former, node) = (rotated.former, rotated.node);
        print(&format!("{node}\n"))?;
        // Apart from the id, so that that can be piped on.
        eprintln!(
            "{former} is {node} from now on; start it as ever (wattle up), and the others hear of it. \
             Until then the old key is as good as before"
        );
        if rotated.was_renewer {
            eprintln!(
                "its right to renew papers does not pass on: wattle mesh renewer {node} (with the \
                 mesh's key)"
            );
        }
        Ok(())
    }
}
