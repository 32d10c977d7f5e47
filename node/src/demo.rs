//! `wattle demo`: the main job on one machine, with real processes and a real cut.
//!
//! Three nodes, each a process of its own, find each other; an app's component runs on one, its
//! store on another, and the third serves it over HTTP. Then the network is cut around the
//! component's node, and healed. It needs neither root nor multicast: between the nodes stand UDP
//! forwarders that can be told to drop packets ([`wire::Wire`]).

mod nodes;
mod story;
mod wire;

use std::process::ExitCode;

use anyhow::Result;

/// Plays the demo. Succeeds only if every step held.
pub(crate) async fn run(keep: bool) -> Result<ExitCode> {
    let mut story = story::Story::begin();
    let played = tokio::select! {
        played = story.play(keep) => played,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match played {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            story.failed(&error);
            Ok(ExitCode::FAILURE)
        }
    }
}
