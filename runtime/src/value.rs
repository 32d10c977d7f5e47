//! Component values to bytes and back, driven by types.
//!
//! Both sides of a call know its types, so the bytes carry none: a number is its digits, a record
//! its fields one after the other. What is derived from a function's type once ([`Signature`]) is
//! used for each call. The bytes of a call begin with the fingerprint of the signature, so that two
//! sides that were built against different definitions notice instead of misreading each other.

mod decode;
mod encode;
mod plain;
mod shape;
mod signature;
mod text;
pub mod wave;

pub use decode::{DECODE_BUDGET, DecodeError};
pub use encode::EncodeError;
pub(crate) use plain::PlainList;
pub use shape::{Shape, ShapeError};
pub use signature::Signature;
pub(crate) use signature::decode_plain;
pub(crate) use text::function as function_text;

#[cfg(test)]
mod tests;
