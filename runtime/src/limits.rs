//! What one call may use.

use std::time::Duration;

/// What an actor's calls may use. Every limit has a default that suits a short request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, in bytes, all its memories together.
    pub memory: usize,
    /// Elements in all tables of one instance together.
    pub table_elements: usize,
    /// The longest that one call may take, whatever deadline it came with.
    pub time: Duration,
    /// Calls that may run at the same time; one more is refused as overloaded.
    pub concurrency: usize,
    /// Calls out of the component that one call into it may make.
    pub outbound: u32,
    /// Calls that one instance may serve, one after the other. With 1 each call has an instance
    /// of its own, and finds nothing that another has left in its memory.
    pub reuse: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            table_elements: 100_000,
            time: Duration::from_secs(30),
            concurrency: 256,
            outbound: 10_000,
            reuse: 1,
        }
    }
}
