//! `wattle demo`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::demo;

#[derive(Args)]
pub(super) struct Demo {
    /// Leave the mesh running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) async fn run(self) -> Result<ExitCode> {
        demo::run(self.keep).await
    }
}
