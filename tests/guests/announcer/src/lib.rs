//! Publishes what it is told to. An error begins with the case of the contract's `error`.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/messages", world: "publisher", generate_all });
}

use std::time::Instant;

use bindings::exports::example::messages::announcer::Guest;
use bindings::wattle::messaging::producer::{self, Error};

struct Announcer;

impl Guest for Announcer {
    fn announce(subject: String, text: String) -> Result<(), String> {
        producer::publish(&subject, text.as_bytes()).map_err(said)
    }

    fn keep(subject: String, text: String) -> Result<u64, String> {
        let id = producer::publish_durable(&subject, text.as_bytes()).map_err(said)?;
        Ok(id.sequence)
    }

    fn keep_many(subject: String, size: u32, count: u32) -> Result<Vec<u64>, String> {
        let body = vec![b'x'; size as usize];
        let one = |_| {
            let begun = Instant::now();
            producer::publish_durable(&subject, &body).map_err(said)?;
            Ok(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX))
        };
        (0..count).map(one).collect()
    }
}

fn said(error: Error) -> String {
    match error {
        Error::BadSubject(why) => format!("bad-subject: {why}"),
        Error::NotAllowed(why) => format!("not-allowed: {why}"),
        Error::TooLarge(why) => format!("too-large: {why}"),
        Error::Full(why) => format!("full: {why}"),
        Error::Other(why) => format!("other: {why}"),
    }
}

bindings::export!(Announcer with_types_in bindings);
