//! `bincode`, with limits.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No decoded message may claim more memory than this, in bytes, whatever its lengths say.
const MAX_DECODED: usize = 4 * 1024 * 1024;

const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_DECODED>> =
    bincode::config::standard().with_limit::<MAX_DECODED>();

/// Most messages are no longer than this, in bytes: so they are written without being moved.
const USUAL: usize = 128;

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end too early, claim too much, or hold an unknown message.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// Bytes are left over after the message.
    #[error("malformed message: {0} bytes after its end")]
    Trailing(usize),
    /// A frame says that it is longer than any may be.
    #[error("a frame of {length} bytes, where at most {limit} are allowed")]
    TooLong {
        /// The length it claims, in bytes.
        length: usize,
        /// The longest allowed, in bytes.
        limit: usize,
    },
    /// The message does not fit the limits of its own format.
    #[error("a message that can't be encoded: {0}")]
    Unencodable(String),
}

/// Writes `message` as bytes.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::with_capacity(USUAL);
    encode_into(message, &mut bytes)?;
    Ok(bytes)
}

/// Reads a message that takes up all of `bytes`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let (message, used) = bincode::serde::decode_from_slice(bytes, CONFIG)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    match bytes.len().saturating_sub(used) {
        0 => Ok(message),
        left => Err(WireError::Trailing(left)),
    }
}

/// Appends `message` to `out`.
pub(super) fn encode_into<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), WireError> {
    bincode::serde::encode_into_std_write(message, out, CONFIG)
        .map(|_| ())
        .map_err(|error| WireError::Unencodable(error.to_string()))
}
