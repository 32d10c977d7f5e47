//! Unsigned LEB128 numbers of at most 32 bits, as the WebAssembly binary format writes them.

/// Appends `value` to `out`.
pub(super) fn write(mut value: u32, out: &mut Vec<u8>) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// Takes a number off the front of `bytes`.
pub(super) fn read(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok();
        }
    }
    None
}

/// Appends `slice` behind its length.
pub(super) fn write_slice(slice: &[u8], out: &mut Vec<u8>) {
    write(slice.len() as u32, out);
    out.extend_from_slice(slice);
}

/// Takes bytes that stand behind their length off the front of `bytes`.
pub(super) fn read_slice<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = read(bytes)? as usize;
    let (slice, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_long_ones_are_refused() {
        for value in [0, 1, 127, 128, 300, u32::MAX] {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            let mut rest = bytes.as_slice();
            assert_eq!(read(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
        assert_eq!(read(&mut [0xff; 6].as_slice()), None);
        assert_eq!(read(&mut [0x80].as_slice()), None);
    }
}
