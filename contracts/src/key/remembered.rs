//! Signatures that were found good, remembered: for whoever runs many nodes in one thread, each of
//! which checks what the others have checked. Whether a signature is good depends on nothing but
//! the key, the message and the signature, so the answer is the same; only the time it takes is not.
//!
//! A node of its own has no use for it: it hardly ever checks the same thing twice.

use std::cell::RefCell;
use std::collections::HashMap;

/// So many are remembered; then it begins anew.
const MOST: usize = 1 << 16;

thread_local! {
    static REMEMBERED: RefCell<Option<Remembered>> = const { RefCell::new(None) };
}

/// Signatures that were found good, each with its key and its message: by the first bytes of the
/// signature, which are those of a random point.
#[derive(Debug, Default)]
pub struct Remembered(HashMap<u64, Good>);

#[derive(Debug, PartialEq, Eq)]
struct Good {
    signature: [u8; 64],
    public: [u8; 32],
    message: Vec<u8>,
}

impl Remembered {
    /// Does something during which what was found good in this thread is not checked again.
    pub fn during<T>(&mut self, act: impl FnOnce() -> T) -> T {
        /// Puts things back, whatever happens.
        struct Back<'a>(&'a mut Remembered, Option<Remembered>);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                let ours = REMEMBERED.replace(self.1.take());
                *self.0 = ours.unwrap_or_default();
            }
        }
        let before = REMEMBERED.replace(Some(std::mem::take(self)));
        let _back = Back(self, before);
        act()
    }
}

/// The answer of `check`, which is asked only if it is not remembered that it was yes.
pub(super) fn or_check(
    public: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
    check: impl FnOnce() -> bool,
) -> bool {
    REMEMBERED.with_borrow_mut(|remembered| {
        let Some(Remembered(good)) = remembered else { return check() };
        let first = signature.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        let is_this = |known: &Good| {
            (known.signature, known.public) == (*signature, *public) && known.message == message
        };
        if good.get(&first).is_some_and(is_this) {
            return true;
        }
        let is_good = check();
        if is_good {
            if good.len() >= MOST {
                good.clear();
            }
            let (signature, public) = (*signature, *public);
            good.insert(first, Good { signature, public, message: message.to_vec() });
        }
        is_good
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{Purpose, SigningKey};

    proptest! {
        #[test]
        fn the_answer_is_the_same_as_without(
            checks in prop::collection::vec((0u8..3, 0u8..3, 0u8..3, 0usize..64), 1..40),
        ) {
            let keys: Vec<SigningKey> =
                (0..3).map(|seed| SigningKey::from_seed([seed; 32]).unwrap()).collect();
            let mut remembered = Remembered::default();
            for (signer, named, body, flipped) in checks {
                let mut signature = keys[usize::from(signer)].sign(Purpose::Fact, &[body]);
                signature.0[flipped] ^= u8::from(flipped > 40);
                let public = keys[usize::from(named)].public();
                let plain = signature.verifies(&public, Purpose::Fact, &[body]);
                for _ in 0..2 {
                    let again =
                        remembered.during(|| signature.verifies(&public, Purpose::Fact, &[body]));
                    prop_assert_eq!(again, plain);
                }
                let check = || signature.verifies(&public, Purpose::Record, &[body]);
                let as_another = remembered.during(check);
                prop_assert!(!as_another);
            }
        }
    }

    #[test]
    fn what_is_remembered_is_not_checked_again_and_nothing_is_outside() {
        let mut remembered = Remembered::default();
        let ask = |answer: bool| or_check(&[1; 32], b"message", &[2; 64], || answer);
        assert!(!remembered.during(|| ask(false)));
        assert!(remembered.during(|| ask(true)));
        assert!(remembered.during(|| ask(false)));
        assert!(!ask(false));
    }
}
