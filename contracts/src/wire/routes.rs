//! Who calls what, written once on each stream.
//!
//! Names are most of a call's head, and the same in every call along one link. So the first call
//! of a [`CallRoute`] carries it whole, both sides remember it in the next of [`ROUTES`] places,
//! one after the other and round again, and later calls carry the number of the place. (HPACK's
//! dynamic table, RFC 7541, section 2.3.2, without its sizes.) Both sides count alike because
//! frames are read in the order in which they were written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::codec::WireError;
use crate::call::{CallHeader, CallRoute, Relay, TraceContext};

/// How many routes each side of a stream remembers. A peer can make this node hold some 1.5 KiB
/// for each.
const ROUTES: usize = 256;

/// A call's header as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireHeader {
    time_left: Duration,
    trace: TraceContext,
    route: WireRoute,
    hops: u8,
    relay: Option<Box<Relay>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum WireRoute {
    /// One that stood whole in an earlier call, by its place.
    Known(u16),
    /// One that has no place yet, or none any more, and takes the next.
    New(Box<CallRoute>),
}

/// The routes that this side has written.
#[derive(Debug, Default)]
pub(super) struct WrittenRoutes {
    places: Vec<Arc<CallRoute>>,
    known: HashMap<Arc<CallRoute>, u16>,
    next: usize,
}

impl WrittenRoutes {
    /// The header as it is written now, and the route that takes a place by it: say
    /// [`WrittenRoutes::wrote`] once it is written, or it takes none.
    pub(super) fn shorten(&self, header: CallHeader) -> (WireHeader, Option<Arc<CallRoute>>) {
        let CallHeader { time_left, trace, route, hops, relay } = header;
        let (route, new) = match self.known.get(&route) {
            Some(place) => (WireRoute::Known(*place), None),
            None => (WireRoute::New(Box::new(CallRoute::clone(&route))), Some(route)),
        };
        (WireHeader { time_left, trace, route, hops, relay }, new)
    }

    /// Remembers a route that was written whole.
    pub(super) fn wrote(&mut self, route: Arc<CallRoute>) {
        // At most 255.
        let place = self.next as u16;
        if let Some(old) = remember(&mut self.places, &mut self.next, route.clone()) {
            self.known.remove(&old);
        }
        self.known.insert(route, place);
    }
}

/// The routes that the other side has written.
#[derive(Debug, Default)]
pub(super) struct ReadRoutes {
    places: Vec<Arc<CallRoute>>,
    next: usize,
}

impl ReadRoutes {
    /// The whole of a header that was read.
    pub(super) fn whole(&mut self, header: WireHeader) -> Result<CallHeader, WireError> {
        let WireHeader { time_left, trace, route, hops, relay } = header;
        let route = match route {
            WireRoute::Known(place) => {
                let unknown = || WireError::Malformed(format!("no route has the number {place}"));
                self.places.get(usize::from(place)).ok_or_else(unknown)?.clone()
            }
            WireRoute::New(route) => {
                let (length, limit) = (route.function.len(), CallRoute::MAX_FUNCTION);
                if length > limit {
                    let text = format!("a function's name of {length} bytes; {limit} are allowed");
                    return Err(WireError::Malformed(text));
                }
                let route = Arc::new(*route);
                remember(&mut self.places, &mut self.next, route.clone());
                route
            }
        };
        let time_left = time_left.min(CallHeader::MAX_TIME_LEFT);
        Ok(CallHeader { time_left, trace, route, hops, relay })
    }
}

/// Puts `route` into the next place, and gives back what was there.
fn remember(
    places: &mut Vec<Arc<CallRoute>>,
    next: &mut usize,
    route: Arc<CallRoute>,
) -> Option<Arc<CallRoute>> {
    let old = match places.get_mut(*next) {
        Some(place) => Some(std::mem::replace(place, route)),
        None => {
            places.push(route);
            None
        }
    };
    *next = (*next + 1) % ROUTES;
    old
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::{Encoding, Source};

    fn header(function: String) -> CallHeader {
        let route = CallRoute {
            source: Source::Operator,
            target: "shop/pricing".parse().unwrap(),
            contract: "example:shop/pricing@0.1.0".parse().unwrap(),
            function,
            encoding: Encoding::Values,
        };
        CallHeader {
            time_left: Duration::from_secs(1),
            trace: TraceContext::default(),
            route: Arc::new(route),
            hops: 0,
            relay: None,
        }
    }

    proptest! {
        #[test]
        fn both_sides_mean_the_same_route_also_when_there_are_more_than_places(
            functions in prop::collection::vec(0..2 * ROUTES, 0..6 * ROUTES),
            lost in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let (mut written, mut read) = (WrittenRoutes::default(), ReadRoutes::default());
            let lost: Vec<usize> = match functions.len() {
                0 => Vec::new(),
                count => lost.iter().map(|index| index.index(count)).collect(),
            };
            for (at, function) in functions.iter().enumerate() {
                let sent = header(format!("f{function}"));
                let (short, new) = written.shorten(sent.clone());
                // One that could not be written.
                if lost.contains(&at) {
                    continue;
                }
                new.into_iter().for_each(|route| written.wrote(route));
                prop_assert_eq!(read.whole(short).unwrap(), sent);
            }
            prop_assert!(written.places.len() <= ROUTES && written.known.len() <= ROUTES);
            prop_assert!(read.places.len() <= ROUTES);
        }

        #[test]
        fn a_number_that_was_never_given_is_malformed(place in any::<u16>()) {
            let mut read = ReadRoutes::default();
            let (mut short, _) = WrittenRoutes::default().shorten(header("f".into()));
            short.route = WireRoute::Known(place);
            prop_assert!(matches!(read.whole(short), Err(WireError::Malformed(_))));
        }
    }

    #[test]
    fn the_second_call_of_a_route_is_short() {
        let mut written = WrittenRoutes::default();
        let size = |header: &WireHeader| super::super::encode(header).unwrap().len();
        let (first, new) = written.shorten(header("price".into()));
        written.wrote(new.unwrap());
        let (second, new) = written.shorten(header("price".into()));
        assert!(new.is_none());
        assert!(size(&first) > 50 && size(&second) < 15, "{} {}", size(&first), size(&second));
    }

    #[test]
    fn a_call_without_end_has_a_week() {
        let mut endless = header("price".into());
        endless.time_left = Duration::MAX;
        let (short, _) = WrittenRoutes::default().shorten(endless);
        let read = ReadRoutes::default().whole(short).unwrap();
        assert_eq!(read.time_left, CallHeader::MAX_TIME_LEFT);
    }

    #[test]
    fn a_name_too_long_to_be_remembered_is_refused() {
        let long = "f".repeat(CallRoute::MAX_FUNCTION + 1);
        let (short, _) = WrittenRoutes::default().shorten(header(long));
        assert!(matches!(ReadRoutes::default().whole(short), Err(WireError::Malformed(_))));
    }
}
