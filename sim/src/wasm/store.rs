//! The key-value stores of one node, as components see them. As in a real node's database.

use std::collections::BTreeMap;

use wattle_contracts::id::ComponentId;
use wattle_contracts::provider::{KeyValueOperation as Op, KeyValueReply, KeyValueRequest};

use crate::lattice::disk;

/// How many keys one page of a listing holds.
const PAGE: usize = KeyValueRequest::MAX_KEYS;

/// Store, bucket and key.
type Place = (ComponentId, String, String);

/// What is in the stores of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values(BTreeMap<Place, Vec<u8>>);

/// What a change has replaced, should the disk refuse it.
#[derive(Debug, Default)]
pub(crate) struct Undo(Vec<(Place, Option<Vec<u8>>)>);

impl Values {
    /// What was on a disk.
    pub(crate) fn load(kept: &disk::Kept) -> Self {
        Self(kept.values().clone())
    }

    /// Does what is asked, and gives what is to be written down for it.
    pub(crate) fn handle(
        &mut self,
        store: &ComponentId,
        request: KeyValueRequest,
    ) -> (KeyValueReply, Vec<disk::Op>, Undo) {
        if let Err(why) = request.check() {
            return (KeyValueReply::Failed(why), Vec::new(), Undo::default());
        }
        let KeyValueRequest { bucket, operation } = request;
        let place = |key: &str| (store.clone(), bucket.clone(), key.to_owned());
        let get = |key: &str| self.0.get(&place(key)).cloned();
        let reply = match operation {
            Op::Open => KeyValueReply::Done,
            Op::Get(key) => KeyValueReply::Value(get(&key)),
            Op::Exists(key) => KeyValueReply::Exists(self.0.contains_key(&place(&key))),
            Op::GetMany(keys) => {
                let sizes = keys.iter().filter_map(|key| self.0.get(&place(key)).map(Vec::len));
                match KeyValueRequest::check_values(sizes.sum()) {
                    Err(why) => KeyValueReply::Failed(why),
                    Ok(()) => {
                        let one = |key: String| get(&key).map(|value| (key, value));
                        KeyValueReply::Values(keys.into_iter().map(one).collect())
                    }
                }
            }
            Op::ListKeys(cursor) => self.list(store, &bucket, cursor),
            Op::Set(key, value) => return self.write(vec![(place(&key), Some(value))]),
            Op::SetMany(pairs) => {
                let one = |(key, value): (String, Vec<u8>)| (place(&key), Some(value));
                return self.write(pairs.into_iter().map(one).collect());
            }
            Op::Delete(key) => return self.write(vec![(place(&key), None)]),
            Op::DeleteMany(keys) => {
                return self.write(keys.iter().map(|key| (place(key), None)).collect());
            }
            Op::Increment(key, delta) => {
                let old = match self.0.get(&place(&key)) {
                    None => Some(0),
                    Some(value) => str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
                };
                match old.and_then(|old: u64| old.checked_add(delta)) {
                    None => KeyValueReply::Failed(format!(
                        "the value of `{key}` is not a number that can be incremented"
                    )),
                    Some(sum) => {
                        let change = (place(&key), Some(sum.to_string().into_bytes()));
                        let (_, ops, undo) = self.write(vec![change]);
                        return (KeyValueReply::Number(sum), ops, undo);
                    }
                }
            }
        };
        (reply, Vec::new(), Undo::default())
    }

    /// The disk has refused a change.
    pub(crate) fn undo(&mut self, undo: Undo) {
        for (place, old) in undo.0.into_iter().rev() {
            self.put(place, old);
        }
    }

    fn put(&mut self, place: Place, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        match value {
            Some(value) => self.0.insert(place, value),
            None => self.0.remove(&place),
        }
    }

    fn write(
        &mut self,
        changes: Vec<(Place, Option<Vec<u8>>)>,
    ) -> (KeyValueReply, Vec<disk::Op>, Undo) {
        let (mut ops, mut undo) = (Vec::new(), Undo::default());
        for (place, value) in changes {
            ops.push(disk::Op::Value(place.clone(), value.clone()));
            let old = self.put(place.clone(), value);
            undo.0.push((place, old));
        }
        (KeyValueReply::Done, ops, undo)
    }

    fn list(&self, store: &ComponentId, bucket: &str, cursor: Option<u64>) -> KeyValueReply {
        let skip = usize::try_from(cursor.unwrap_or(0)).unwrap_or(usize::MAX);
        let first = (store.clone(), bucket.to_owned(), String::new());
        let own = self.0.range(first..).map(|(place, _)| place);
        let own = own.take_while(|(its, named, _)| its == store && named == bucket);
        let mut keys: Vec<String> =
            own.skip(skip).take(PAGE + 1).map(|(_, _, key)| key.clone()).collect();
        let more = keys.len() > PAGE;
        keys.truncate(PAGE);
        KeyValueReply::Keys(keys, more.then(|| skip.saturating_add(PAGE) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_does_what_the_contract_says_and_takes_back_what_the_disk_refused() {
        let mut values = Values::default();
        let store: ComponentId = "shop/db".parse().unwrap();
        let mut ask = |operation| {
            let request = KeyValueRequest { bucket: "b".into(), operation };
            values.handle(&store, request)
        };
        assert_eq!(ask(Op::Get("k".into())).0, KeyValueReply::Value(None));
        let (reply, ops, _) = ask(Op::Set("k".into(), b"7".to_vec()));
        assert_eq!((reply, ops.len()), (KeyValueReply::Done, 1));
        let (reply, _, undo) = ask(Op::Increment("k".into(), 3));
        assert_eq!(reply, KeyValueReply::Number(10));
        assert_eq!(ask(Op::ListKeys(None)).0, KeyValueReply::Keys(vec!["k".into()], None));
        values.undo(undo);
        let get = KeyValueRequest { bucket: "b".into(), operation: Op::Get("k".into()) };
        assert_eq!(values.handle(&store, get).0, KeyValueReply::Value(Some(b"7".to_vec())));
        let other = KeyValueRequest { bucket: "c".into(), operation: Op::ListKeys(None) };
        assert_eq!(values.handle(&store, other).0, KeyValueReply::Keys(Vec::new(), None));
    }

    #[test]
    fn a_long_list_comes_in_pages() {
        let mut values = Values::default();
        let store: ComponentId = "shop/db".parse().unwrap();
        let mut ask = |operation| {
            let request = KeyValueRequest { bucket: "b".into(), operation };
            values.handle(&store, request).0
        };
        for numbers in [0..1000, 1000..1500] {
            let pairs = numbers.map(|n| (format!("{n:04}"), Vec::new())).collect();
            assert_eq!(ask(Op::SetMany(pairs)), KeyValueReply::Done);
        }
        let keys = (0..1001).map(|n| n.to_string()).collect();
        let refused = ask(Op::GetMany(keys));
        assert!(matches!(&refused, KeyValueReply::Failed(why) if why.contains("1001 keys")));
        let KeyValueReply::Keys(first, Some(1000)) = ask(Op::ListKeys(None)) else { panic!() };
        let KeyValueReply::Keys(rest, None) = ask(Op::ListKeys(Some(1000))) else { panic!() };
        assert_eq!((first.len(), rest.len(), rest.first().unwrap().as_str()), (1000, 500, "1000"));
    }
}
