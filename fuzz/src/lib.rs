//! What must hold whatever somebody else wrote: one module for each decoder or parser.
//!
//! Each has a function `holds`, which takes any bytes and panics where the decoder does not keep
//! its promise: that what it reads is written and read again as the same, that it takes no more
//! than its bounds, and that nothing is believed that nobody signed. The fuzz targets call these
//! functions; so do the crates' own tests (`tests/corpus.rs` in each), over the inputs in `corpus/`.

pub mod contracts;
#[cfg(feature = "mesh")]
pub mod mesh;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(feature = "sim")]
pub mod sim;
