//! Joins the mesh and the runtime into one process: the daemon, its scheduler, the built-in
//! providers, the audit log, the local API and the `wattle` command line.
//!
//! Called by people, through the binary. It never decides who is alive, which record wins or
//! where a call goes (`wattle_mesh::core` does), and never touches a Wasm engine itself
//! (`wattle_runtime` does).

mod api;
mod audit;
pub mod cli;
mod daemon;
mod demo;
mod home;
mod providers;
mod rotation;
mod state;
mod threads;
