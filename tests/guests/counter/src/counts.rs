//! The numbers in the bucket. An error is the text that the asker is to see.

use crate::bindings::wasi::config::store as config;
use crate::bindings::wasi::keyvalue::atomics;
use crate::bindings::wasi::keyvalue::store::{self, Bucket};
use crate::bindings::wasi::logging::logging::{Level, log};

pub(crate) fn increment(key: &str) -> Result<u64, String> {
    let count = atomics::increment(&bucket()?, key, 1).map_err(said)?;
    log(Level::Debug, "counter", &format!("{key} is now {count}"));
    Ok(count)
}

pub(crate) fn read(key: &str) -> Result<u64, String> {
    let Some(value) = bucket()?.get(key).map_err(said)? else {
        return Ok(0);
    };
    // Stores keep what they increment as a decimal number in text.
    let text = str::from_utf8(&value).ok();
    text.and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| format!("the value of `{key}` is not a number"))
}

fn bucket() -> Result<Bucket, String> {
    let name = config::get("bucket").map_err(|error| match error {
        config::Error::Upstream(text) | config::Error::Io(text) => text,
    })?;
    store::open(name.as_deref().unwrap_or("default")).map_err(said)
}

fn said(error: store::Error) -> String {
    match error {
        store::Error::NoSuchStore => "no such store".to_owned(),
        store::Error::AccessDenied => "access denied".to_owned(),
        store::Error::Other(text) => text,
    }
}
