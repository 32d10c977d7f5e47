//! What is written by `contracts::wire`.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeTuple as _, Serializer};
use wattle_contracts::wire;

/// Reads a message; one that can be read is written again, and that is read as the same. What is
/// written has one spelling, though what is read may have more.
pub fn same_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let read: T = wire::decode(bytes).ok()?;
    let written = wire::encode(&read).expect("what was read can be written");
    let again: T = wire::decode(&written).expect("what was written can be read");
    assert_eq!(again, read);
    assert_eq!(wire::encode(&again).as_ref(), Ok(&written), "it has two spellings");
    Some(read)
}

/// The same of something that is nowhere longer than it came: nobody makes this node say more than
/// was said to it.
pub fn same_and_no_longer<T>(bytes: &[u8]) -> Option<T>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let read: T = same_again(bytes)?;
    let length = wire::encode(&read).unwrap().len();
    assert!(length <= bytes.len(), "{} bytes became {length}", bytes.len());
    Some(read)
}

/// Bytes that are written as they are.
pub struct Raw<'a>(pub &'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}
