//! Writes down every message that it is given, in the order in which they come.
//!
//! | text of a message | what happens |
//! | --- | --- |
//! | `refuse …` | it is not written down, and the answer is an error, each time |
//! | `refuse-twice …` | the same, but only for the first two times that a message of this text comes |
//! | `slow …` | `begun …` is written down at once, and the text itself three seconds later |
//! | anything else | it is written down |

mod bindings {
    wit_bindgen::generate!({ path: "../wit/messages", world: "subscriber", generate_all });
}

use std::thread;
use std::time::Duration;

use bindings::exports::example::messages::ledger::Guest as Ledger;
use bindings::exports::wattle::messaging::incoming_handler::{Guest as Handler, Message};
use bindings::wasi::keyvalue::atomics;
use bindings::wasi::keyvalue::store::{self, Bucket, Error};

struct Book;

impl Handler for Book {
    fn handle(message: Message) -> Result<(), String> {
        let text = String::from_utf8(message.body).map_err(|error| error.to_string())?;
        let bucket = bucket()?;
        if text.starts_with("refuse ") {
            return Err(format!("told to: {text}"));
        }
        if text.starts_with("refuse-twice ") {
            let times = atomics::increment(&bucket, &format!("times/{text}"), 1).map_err(said)?;
            if times <= 2 {
                return Err(format!("told to: {text}"));
            }
        }
        let sequence = message.id.map_or("-".to_owned(), |id| id.sequence.to_string());
        let write = |text: &str| {
            let number = atomics::increment(&bucket, "count", 1).map_err(said)?;
            let entry = format!("{sequence} {} {text}", message.subject);
            bucket.set(&key(number), entry.as_bytes()).map_err(said)
        };
        if let Some(rest) = text.strip_prefix("slow ") {
            write(&format!("begun {rest}"))?;
            thread::sleep(Duration::from_secs(3));
        }
        write(&text)
    }
}

impl Ledger for Book {
    fn entries(first: u32, count: u32) -> Result<Vec<String>, String> {
        let bucket = bucket()?;
        let last = bucket.get("count").map_err(said)?.unwrap_or_default();
        let last = str::from_utf8(&last).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut entries = Vec::new();
        for number in (u64::from(first)..=last).take(count as usize) {
            // A number without an entry: its node was killed between the two steps. The message
            // came again, and has another one.
            if let Some(entry) = bucket.get(&key(number)).map_err(said)? {
                entries.push(String::from_utf8(entry).map_err(|error| error.to_string())?);
            }
        }
        Ok(entries)
    }
}

fn key(number: u64) -> String {
    format!("entry/{number}")
}

fn bucket() -> Result<Bucket, String> {
    store::open("ledger").map_err(said)
}

fn said(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no such store".to_owned(),
        Error::AccessDenied => "access denied".to_owned(),
        Error::Other(text) => text,
    }
}

bindings::export!(Book with_types_in bindings);
