//! Inputs that are changed on purpose.

/// Where an input is changed: anywhere, and at the same place each time.
fn somewhere(data: &[u8], length: usize) -> usize {
    let mixed = data
        .iter()
        .fold(17u64, |sum, byte| sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(*byte)));
    usize::try_from(mixed % (length.max(1) as u64)).unwrap()
}

/// The same bytes, with one bit the other way.
pub fn flipped(bytes: &[u8], data: &[u8]) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    let at = somewhere(data, bytes.len() * 8);
    if let Some(byte) = flipped.get_mut(at / 8) {
        *byte ^= 1 << (at % 8);
    }
    flipped
}
