//! How many connections there are, by who and where they come from.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wattle_mesh::core::doorman::{Config, Doorman, TurnedAway};
use wattle_mesh::core::time::Time;
use wattle_mesh::net::neighbourhood;

/// Connections at once that have shown no good token yet: those of sixteen addresses that have as
/// many as one may, so that it takes many to keep out who comes from another one.
const WAITING: usize = 256;

/// Connections at once that have.
const INSIDE: usize = 64;

/// How often one address may show a bad token in a row, and how long it waits for each one after
/// that.
const BAD_TOKENS: u32 = 20;
const EVERY: Duration = Duration::from_secs(3);

/// Counts who is there.
pub(in crate::api) struct Door {
    started: Instant,
    strangers: Mutex<Doorman<IpAddr>>,
    /// Counts tokens that were no good.
    liars: Mutex<Doorman<IpAddr>>,
    waiting: Arc<Semaphore>,
    inside: Arc<Semaphore>,
}

/// One connection's place.
pub(in crate::api) struct Place {
    door: Arc<Door>,
    from: SocketAddr,
    held: Mutex<Held>,
}

enum Held {
    /// By somebody of whom nothing is known.
    Waiting { _permit: OwnedSemaphorePermit },
    /// By an operator.
    Inside { _permit: OwnedSemaphorePermit },
}

/// Why a connection finds no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::api) enum NoPlace {
    /// Its address has enough of them, or comes too often.
    #[error(transparent)]
    TurnedAway(#[from] TurnedAway),
    /// All are taken.
    #[error("too many connections to the API at once")]
    Full,
}

impl Door {
    pub(super) fn new() -> Self {
        let bad = Config { pending: usize::MAX, burst: BAD_TOKENS, every: EVERY, addresses: 4096 };
        Self {
            started: Instant::now(),
            strangers: Mutex::new(Doorman::new(Config::default())),
            liars: Mutex::new(Doorman::new(bad)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            inside: Arc::new(Semaphore::new(INSIDE)),
        }
    }

    /// Somebody connects.
    pub(super) fn knock(self: &Arc<Self>, from: SocketAddr) -> Result<Place, NoPlace> {
        let mut strangers = lock(&self.strangers);
        let address = neighbourhood(from.ip());
        strangers.knock(self.now(), address)?;
        let Ok(_permit) = Arc::clone(&self.waiting).try_acquire_owned() else {
            strangers.done(&address);
            return Err(NoPlace::Full);
        };
        let held = Mutex::new(Held::Waiting { _permit });
        Ok(Place { door: Arc::clone(self), from, held })
    }

    fn now(&self) -> Time {
        Time::since_start(self.started.elapsed())
    }
}

impl Place {
    /// Where the connection comes from.
    pub(in crate::api) fn from(&self) -> IpAddr {
        self.from.ip()
    }

    /// Whether so many bad tokens came from there that none is looked at for now. Who is inside is
    /// not kept out by others at the same address.
    pub(in crate::api) fn is_barred(&self) -> bool {
        let waits = matches!(*lock(&self.held), Held::Waiting { .. });
        waits && lock(&self.door.liars).is_barred(self.door.now(), &self.address())
    }

    /// A token that came from there is no good.
    pub(in crate::api) fn lied(&self) {
        // That it is one too many is seen when the next one comes.
        let _ = lock(&self.door.liars).knock(self.door.now(), self.address());
    }

    /// An operator is at the other end.
    pub(in crate::api) fn come_in(&self) -> Result<(), NoPlace> {
        let mut held = lock(&self.held);
        if matches!(*held, Held::Inside { .. }) {
            return Ok(());
        }
        let permit = Arc::clone(&self.door.inside).try_acquire_owned();
        *held = Held::Inside { _permit: permit.map_err(|_| NoPlace::Full)? };
        lock(&self.door.strangers).done(&self.address());
        Ok(())
    }

    fn address(&self) -> IpAddr {
        neighbourhood(self.from.ip())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if matches!(*lock(&self.held), Held::Waiting { .. }) {
            lock(&self.door.strangers).done(&self.address());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_take_only_some_places_and_leave_those_inside_alone() {
        let door = Arc::new(Door::new());
        let known = door.knock(at("192.0.2.9:1")).unwrap();
        known.come_in().unwrap();
        let mut strangers = Vec::new();
        let full = loop {
            match door.knock(at("192.0.2.1:1")) {
                Ok(place) => strangers.push(place),
                Err(full) => break full,
            }
        };
        assert_eq!(full, NoPlace::TurnedAway(TurnedAway::Crowd));
        assert_eq!(strangers.len(), Config::default().pending);
        for other in 2..=WAITING / Config::default().pending {
            while let Ok(place) = door.knock(at(&format!("192.0.2.{other}:1"))) {
                strangers.push(place);
            }
        }
        assert_eq!(strangers.len(), WAITING);
        assert_eq!(door.knock(at("192.0.2.99:1")).err(), Some(NoPlace::Full));
        known.come_in().unwrap();
        // Each place is given back once, by whoever leaves and by whoever comes in.
        strangers[0].come_in().unwrap();
        drop(strangers);
        assert_eq!(door.waiting.available_permits(), WAITING);
        assert_eq!(door.inside.available_permits(), INSIDE - 1);
        let again: Vec<Place> = (0..16).map_while(|_| door.knock(at("192.0.2.1:1")).ok()).collect();
        assert_eq!(again.len(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_shows_bad_tokens_has_to_wait_and_others_have_not() {
        let door = Arc::new(Door::new());
        let (liar, other) =
            (door.knock(at("192.0.2.1:1")).unwrap(), door.knock(at("192.0.2.2:1")).unwrap());
        for _ in 0..BAD_TOKENS {
            assert!(!liar.is_barred());
            liar.lied();
        }
        assert!(liar.is_barred() && !other.is_barred());
        let inside = door.knock(at("192.0.2.1:2")).unwrap();
        inside.come_in().unwrap();
        assert!(!inside.is_barred());
        tokio::time::advance(EVERY).await;
        assert!(!liar.is_barred());
    }
}
