//! What one call may use.

use std::time::Duration;

/// What an actor's calls may use. Every limit has a default that suits a short request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, in bytes, all its memories together.
    pub memory: usize,
    /// Linear memory of all instances of the component together, in bytes.
    pub memory_together: usize,
    /// Elements in all tables of one instance together.
    pub table_elements: usize,
    /// The longest that one call may take, whatever deadline it came with; at most
    /// [`LimitSpec::MAX_TIME`](wattle_contracts::record::LimitSpec::MAX_TIME).
    pub time: Duration,
    /// Calls that may run at the same time; one more is refused as overloaded.
    pub concurrency: usize,
    /// Calls out of the component that one call into it may make.
    pub outbound: u32,
    /// HTTP requests out of the component that may be under way at once for one call into it.
    /// Other calls it makes one at a time.
    pub outstanding: u32,
    /// Functions of the host that one call may call in a second, WASI's included.
    pub host_calls: u32,
    /// Lines that the component may log in a second; what is more is left out.
    pub log_lines: u32,
    /// What the component may hand out at once, as arguments or as a result, in bytes as the host
    /// holds it: a value that is no number, text or list of bytes takes several times what it has
    /// in the component's memory.
    pub output: usize,
    /// Calls that one instance may serve, one after the other. With 1 each call has an instance
    /// of its own, and finds nothing that another has left in its memory.
    pub reuse: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            memory_together: usize::MAX,
            table_elements: 100_000,
            time: Duration::from_secs(30),
            concurrency: 256,
            outbound: 10_000,
            outstanding: 64,
            host_calls: 2_000_000,
            log_lines: 10_000,
            output: 64 << 20,
            reuse: 1,
        }
    }
}
