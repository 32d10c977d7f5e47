//! Signing what a node has drafted, with a key that never leaves this process.

use anyhow::{Result, bail};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Record, RecordBody, RecordKey, Stamp};
use wattle_contracts::trust::Paper;
use wattle_mesh::net::WallClock;

use crate::daemon::Draft;

/// The one record that an operator has asked for.
pub(crate) type Expected = (RecordKey, RecordBody);

/// Signs a draft of what an operator asked for. A node that has been taken over could ask for the
/// signature of something else: of what governs the mesh it gets none, and where it is known what
/// was asked for, of nothing else.
pub(crate) fn sign_draft(
    draft: Draft,
    key: &SigningKey,
    expected: Option<&Expected>,
) -> Result<Record> {
    let is_asked = match (&draft.key, expected) {
        (about, Some((wanted, body))) => about == wanted && draft.body == *body,
        (RecordKey::App(_) | RecordKey::Link(_) | RecordKey::Config(_), None) => true,
        _ => false,
    };
    match &draft.key {
        _ if is_asked => sign(&draft.stamp, key, draft.key, draft.body),
        other => bail!("the node asks for a signature of {other}, which nobody asked it for"),
    }
}

/// Signs a record where a node says that it stands, if that is about now.
pub(super) fn sign(
    stamp: &Stamp,
    key: &SigningKey,
    about: RecordKey,
    body: RecordBody,
) -> Result<Record> {
    let (now, at) = (WallClock::default().now().0, stamp.at.millis);
    let apart = std::time::Duration::from_millis(now.abs_diff(at));
    if apart > Paper::CLOCK_TOLERANCE {
        let which = if at > now { "ahead of" } else { "behind" };
        bail!(
            "the node's clock is {apart:?} {which} this machine's; what is signed with its time \
             would count too long or not at all: set the clocks right"
        );
    }
    Ok(stamp.sign(key, about, body)?)
}

#[cfg(test)]
mod tests {
    use wattle_contracts::record::{App, Config, Hlc};

    use super::*;

    fn draft(key: RecordKey, body: RecordBody) -> Draft {
        let at = Hlc { millis: WallClock::default().now().0, counter: 0 };
        Draft { key, stamp: Stamp { at, previous: None }, body }
    }

    #[test]
    fn what_nobody_asked_for_is_not_signed() {
        let key = SigningKey::from_seed([1; 32]).unwrap();
        let app = || {
            let app = App::new("shop".parse().unwrap());
            draft(RecordKey::App(app.name.clone()), RecordBody::App(Box::new(app)))
        };
        let secret = |body| draft(RecordKey::Secret("shop/basket/pin".parse().unwrap()), body);
        let taken_back = || RecordBody::Tombstone;
        let expected = (secret(taken_back()).key, taken_back());
        assert!(sign_draft(app(), &key, None).is_ok());
        assert!(sign_draft(secret(taken_back()), &key, Some(&expected)).is_ok());
        assert!(sign_draft(secret(taken_back()), &key, None).is_err());
        assert!(sign_draft(app(), &key, Some(&expected)).is_err());
        let other = RecordBody::Config(Config { value: "x".into() });
        assert!(sign_draft(secret(other), &key, Some(&expected)).is_err());
        assert!(sign_draft(draft(RecordKey::Charter, taken_back()), &key, None).is_err());
    }

    #[test]
    fn with_the_time_of_a_clock_that_is_off_nothing_is_signed_and_the_person_is_told_of_clocks() {
        let key = SigningKey::from_seed([1; 32]).unwrap();
        let at = |millis: u64| {
            let stamp = Stamp { at: Hlc { millis, counter: 0 }, previous: None };
            sign(&stamp, &key, RecordKey::App("shop".parse().unwrap()), RecordBody::Tombstone)
        };
        let now = WallClock::default().now().0;
        at(now).unwrap();
        at(now - 10 * 60_000).unwrap();
        for (millis, which) in [(now + 3_600_000, "ahead of"), (now - 3_600_000, "behind")] {
            let error = at(millis).unwrap_err().to_string();
            assert!(error.contains(&format!("{which} this machine's")), "{error}");
            assert!(error.contains("set the clocks right"), "{error}");
        }
    }
}
