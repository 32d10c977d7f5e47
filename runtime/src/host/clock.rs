//! `wasi:clocks/monotonic-clock`: the machine's, or one that its host keeps.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::{self, Duration, Host, Instant};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::outside::Surroundings;
use crate::state::State;

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    monotonic_clock::add_to_linker::<_, HasClock>(linker, State::clock)
}

struct HasClock;

impl HasData for HasClock {
    type Data<'a> = Clock<'a>;
}

/// The clock of one instance.
pub(crate) struct Clock<'a> {
    pub(crate) machine: WasiClocksCtxView<'a>,
    pub(crate) kept: Option<Arc<dyn Surroundings>>,
}

impl Host for Clock<'_> {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        self.machine.now()
    }

    fn resolution(&mut self) -> wasmtime::Result<Instant> {
        self.machine.resolution()
    }

    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        match &self.kept {
            None => self.machine.subscribe_instant(when),
            Some(kept) => {
                let alarm = Alarm { clock: Arc::clone(kept), when };
                let alarm = self.machine.table.push(alarm)?;
                subscribe(self.machine.table, alarm)
            }
        }
    }

    fn subscribe_duration(
        &mut self,
        duration: Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        match &self.kept {
            None => self.machine.subscribe_duration(duration),
            Some(kept) => {
                let when = kept.monotonic().saturating_add(duration);
                self.subscribe_instant(when)
            }
        }
    }
}

/// Ready at a moment of a clock that the host keeps.
struct Alarm {
    clock: Arc<dyn Surroundings>,
    when: u64,
}

#[async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        self.clock.sleep_until(self.when).await;
    }
}
