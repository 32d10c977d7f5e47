//! `wattle history`.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use wattle_contracts::record::RecordKey;

use super::NodeArgs;
use super::output::{print, print_json, table};
use crate::api::{Change, HistoryReply};

#[derive(Args)]
pub(super) struct History {
    /// What the changes were about: app/NAME, link/… or config/….
    key: RecordKey,
    #[command(flatten)]
    node: NodeArgs,
}

impl History {
    pub(super) async fn run(self) -> Result<()> {
        let path = format!("/v1/history/{}", in_path(&self.key));
        let reply: HistoryReply = self.node.client()?.get(&path).await?;
        if self.node.json {
            return print_json(&reply);
        }
        if reply.current.is_none() && reply.lost.is_empty() && reply.held_back.is_empty() {
            return print(&format!("nothing is known of {}\n", self.key));
        }
        let row = |change: &Change, state: &str| {
            let what = if change.is_delete { "deleted" } else { "declared" };
            [time(change.at_millis), change.by.clone(), what.to_string(), state.to_string()]
        };
        let held = reply.held_back.iter().map(|c| row(c, "from the future: held back until then"));
        let current = reply.current.iter().map(|change| row(change, "current"));
        let lost = reply.lost.iter().rev().map(|c| row(c, "lost to one made at the same time"));
        let rows: Vec<_> = held.chain(current).chain(lost).collect();
        print(&table(["WHEN", "WRITTEN BY", "WHAT", "STATE"], &rows))
    }
}

/// The key as part of a path: the name of a configuration value may hold anything.
fn in_path(key: &RecordKey) -> String {
    const PLAIN: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(&key.to_string(), PLAIN).to_string()
}

/// The time in UTC, as in HTTP (RFC 9110).
fn time(millis: u64) -> String {
    // Beyond what the format can say, the number is clearer anyway.
    match millis {
        0..253_402_300_800_000 => {
            httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(millis))
        }
        _ => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_with_anything_in_it_is_one_part_of_a_path() {
        let key = "config/shop/basket/tax rate?#é".parse().unwrap();
        assert_eq!(super::in_path(&key), "config/shop/basket/tax%20rate%3F%23%C3%A9");
    }

    #[test]
    fn a_time_is_told_however_far_it_is() {
        assert_eq!(super::time(1_800_000_000_123), "Fri, 15 Jan 2027 08:00:00 GMT");
        assert_eq!(super::time(u64::MAX), "18446744073709551615 ms");
    }
}
