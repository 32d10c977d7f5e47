//! From a stream, or from a pattern, into a stream.

use alloc::vec::Vec;

use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};

const CHUNK: u64 = 64 * 1024;

/// A prime just under 256, so that no power of two of bytes that goes missing leaves the rest looking right.
const PERIOD: usize = 251;

/// Moves everything, and lets each chunk go out before it asks for the next.
pub(crate) fn copy(from: &InputStream, to: &OutputStream) -> Result<(), StreamError> {
    loop {
        match from.blocking_read(CHUNK) {
            Ok(chunk) => {
                write(to, &chunk)?;
                to.flush()?;
            }
            Err(StreamError::Closed) => return to.blocking_flush(),
            Err(error) => return Err(error),
        }
    }
}

/// Writes so many bytes of the pattern.
pub(crate) fn pattern(count: u64, to: &OutputStream) -> Result<(), StreamError> {
    // Whole periods: each chunk begins where the pattern begins.
    let chunk: Vec<u8> = (0..CHUNK as usize / PERIOD).flat_map(|_| 0..PERIOD as u8).collect();
    let mut left = count;
    while left > 0 {
        let now = chunk.get(..left.min(CHUNK) as usize).unwrap_or(&chunk);
        write(to, now)?;
        left -= now.len() as u64;
    }
    to.blocking_flush()
}

/// Waits until there is room: this is how a slow reader slows its writer down.
fn write(to: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(to.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            to.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        to.write(now)?;
        bytes = later;
    }
    Ok(())
}
