//! Why a call into a component failed, in words for people.

use std::fmt::Write as _;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wattle_contracts::call::{CallError, ErrorKind};

use crate::state::{MAX_RESOURCES, State};

/// How many of the innermost functions are named.
const FRAMES: usize = 4;

/// What wasmtime says of an instance that may have no more resources.
const TABLE_FULL: &str = "resource table has no free keys";

/// The failure of `function` of the component that `state` belongs to.
pub(crate) fn failure(state: &State, function: &str, error: &wasmtime::Error) -> CallError {
    // What a call out of the component failed with goes back to the first caller as it is: that
    // a target is unreachable must not look like a bug of the component in between.
    if let Some(error) = error.downcast_ref::<CallError>() {
        return error.clone();
    }
    let id = &state.actor().id;
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        let message = format!("no instance is free for {id} on this node: {error}");
        return CallError::new(ErrorKind::Overloaded, message);
    }
    let mut message = format!("{id} failed in {function}: ");
    if let Some(I32Exit(status)) = error.downcast_ref() {
        let _ = write!(message, "it ended itself with exit status {status}");
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        let _ = write!(message, "{trap}");
    } else {
        let _ = write!(message, "{}", error.root_cause());
    }
    if message.contains("fuel allocated for hostcalls") {
        let limit = state.actor().limits.output >> 20;
        let _ = write!(message, "; it may hand out {limit} MiB at once, its limit");
    }
    if message.contains(TABLE_FULL) {
        let _ = write!(
            message,
            "; it may hold {MAX_RESOURCES} streams, pollables, headers and other resources of the \
             host at a time, its limit"
        );
    }
    if state.memory_refused() {
        let limit = state.actor().limits.memory >> 20;
        let _ = write!(
            message,
            "; it had been refused memory over its limit of {limit} MiB, or what all of its instances may \
             have together"
        );
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        frames(backtrace, &mut message);
    }
    CallError::new(ErrorKind::Trapped, message)
}

/// Appends the innermost functions that have names.
fn frames(backtrace: &WasmBacktrace, message: &mut String) {
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    for (index, name) in names.take(FRAMES).enumerate() {
        message.push_str(if index == 0 { "; innermost functions: " } else { " < " });
        let _ = write!(message, "{:#}", rustc_demangle::demangle(name));
    }
}
