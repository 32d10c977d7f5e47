//! Instances of one component, and those of them that rest between two calls.
//!
//! By default each call has an instance of its own: nothing that a call leaves behind is seen by
//! another. A component that asks for it ([`Limits::reuse`](crate::limits::Limits::reuse)) has its
//! instances used again, one call at a time, which spares making and wiping them. One whose call
//! did not end well is never used again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Store, UpdateDeadline};
use wattle_contracts::call::{CallError, ErrorKind};

use super::Shared;
use crate::engine::{Engine, Ticking};
use crate::outside::CallContext;
use crate::state::{Call, State};

/// How many instances of one component rest at most: the engine has a fixed number for all.
const MOST_AT_REST: usize = 32;

/// One that rested for so long goes, and its memory with it.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// What a call on a deterministic engine begins with: more than it can use up.
const FUEL: u64 = u64::MAX;

/// The instances of one component.
pub(super) struct Instances {
    pre: InstancePre<State>,
    resting: Arc<Mutex<Resting>>,
    engine: Engine,
}

#[derive(Default)]
struct Resting {
    /// The longest resting first.
    seats: Vec<(Instant, Seat)>,
    /// Whether a task waits to let them go.
    watched: bool,
}

/// A place in which one call at a time runs: a store, and its instance once there is one.
pub(super) struct Seat {
    pub(super) store: Store<State>,
    instance: Option<Instance>,
    calls_left: u32,
    /// While a call is under way.
    ticking: Option<Ticking>,
}

impl Instances {
    pub(super) fn new(pre: InstancePre<State>, engine: Engine) -> Self {
        Self { pre, resting: Arc::default(), engine }
    }

    pub(super) fn pre(&self) -> &InstancePre<State> {
        &self.pre
    }

    /// A seat for one call. Fails when it is too late to begin.
    pub(super) fn seat(
        &self,
        shared: &Arc<Shared>,
        mut context: CallContext,
    ) -> Result<Seat, CallError> {
        let now = Instant::now();
        if context.deadline <= now {
            return Err(shared.too_late());
        }
        if let Some(latest) = now.checked_add(shared.limits.time) {
            context.deadline = context.deadline.min(latest);
        }
        let call = Call::new(shared.clone(), context);
        if shared.limits.reuse > 1
            && let Some((_, mut seat)) = lock(&self.resting).seats.pop()
        {
            seat.ticking = self.engine.tick_on();
            seat.store.data_mut().begin(call);
            seat.store.set_epoch_deadline(1);
            return Ok(seat);
        }
        let mut store = Store::new(self.pre.engine(), State::new(call));
        store.limiter(|state| state);
        store.set_hostcall_fuel(shared.limits.output);
        if self.engine.is_deterministic() {
            // However much it computes: whoever polls the call says when it is enough.
            let metered = store.set_fuel(FUEL);
            let metered =
                metered.and_then(|()| store.fuel_async_yield_interval(Some(Engine::STEP)));
            metered.map_err(|error| CallError::new(ErrorKind::Internal, error.to_string()))?;
            return Ok(Seat { store, instance: None, calls_left: 1, ticking: None });
        }
        store.set_epoch_deadline(1);
        // A component that computes gives way on each tick, so that it holds up neither the
        // other tasks of its thread nor the timers and sockets that they wait for.
        store.epoch_deadline_callback(|store| {
            let state = store.data();
            if state.context().deadline <= Instant::now() {
                return Err(state.actor().too_late().into());
            }
            if let Some(flood) = state.flood() {
                return Err(flood.into());
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        let (calls_left, ticking) = (shared.limits.reuse, self.engine.tick_on());
        Ok(Seat { store, instance: None, calls_left, ticking })
    }

    /// How much fuel the call on a seat has used; nothing where that is not counted.
    pub(super) fn used(&self, seat: &Seat) -> Option<u64> {
        let left = self.engine.is_deterministic().then(|| seat.store.get_fuel().ok()).flatten();
        left.map(|left| FUEL.saturating_sub(left))
    }

    /// Takes back a seat whose call ended well.
    pub(super) fn give_back(&self, mut seat: Seat) {
        seat.ticking = None;
        seat.calls_left = seat.calls_left.saturating_sub(1);
        if seat.calls_left == 0 {
            return;
        }
        let mut resting = lock(&self.resting);
        if resting.seats.len() >= MOST_AT_REST {
            return;
        }
        resting.seats.push((Instant::now(), seat));
        if !resting.watched {
            resting.watched = true;
            tokio::spawn(watch(Arc::downgrade(&self.resting)));
        }
    }
}

impl Seat {
    /// Its instance, made now if it is the first call.
    pub(super) async fn instance(
        &mut self,
        pre: &InstancePre<State>,
    ) -> wasmtime::Result<Instance> {
        if let Some(instance) = self.instance {
            return Ok(instance);
        }
        let instance = pre.instantiate_async(&mut self.store).await?;
        self.instance = Some(instance);
        Ok(instance)
    }
}

/// Lets go what rests for too long, until nothing rests.
async fn watch(resting: Weak<Mutex<Resting>>) {
    loop {
        tokio::time::sleep(LONGEST_REST / 2).await;
        let Some(resting) = resting.upgrade() else { return };
        let tired: Vec<_> = {
            let mut resting = lock(&resting);
            let now = Instant::now();
            let rested = |seat: &(Instant, Seat)| now.duration_since(seat.0) >= LONGEST_REST;
            let tired = resting.seats.iter().take_while(|seat| rested(seat)).count();
            let tired = resting.seats.drain(..tired).collect();
            resting.watched = !resting.seats.is_empty();
            tired
        };
        // Wiping them takes a while: not under the lock.
        drop(tired);
        if !lock(&resting).watched {
            return;
        }
    }
}

fn lock(resting: &Mutex<Resting>) -> MutexGuard<'_, Resting> {
    resting.lock().unwrap_or_else(PoisonError::into_inner)
}
