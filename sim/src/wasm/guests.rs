//! The calls of one node that real components execute: futures that are polled by hand.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use wattle_contracts::call::{CallError, ErrorKind, Source};
use wattle_contracts::id::{ComponentId, ContractId};
use wattle_contracts::record::ComponentSpec;
use wattle_mesh::core::time::Time;
use wattle_runtime::{Actor, CallContext, Component, Engine, HttpBody};

use super::desk::{Asked, Desk, Shared};
use super::http::{BODY, pack_response, unpack_request};
use super::tasks::Tasks;
use super::{Input, Message, code, time_of};

/// The clocks of a node, while one of its components is polled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moment {
    /// In nanoseconds.
    pub(crate) monotonic: u64,
    /// Since the Unix epoch.
    pub(crate) wall: Duration,
}

/// A call that is to be executed.
pub(crate) struct Begin<'a> {
    pub(crate) id: &'a ComponentId,
    pub(crate) component: &'a Component,
    pub(crate) spec: &'a ComponentSpec,
    pub(crate) source: Source,
    pub(crate) contract: &'a ContractId,
    pub(crate) function: &'a str,
    pub(crate) input: &'a Input,
    /// When it is over, at the latest.
    pub(crate) deadline: Time,
}

/// What came of polling one.
#[derive(Debug)]
pub(crate) enum Step {
    /// It computes: to be polled again after [`super::step`].
    Computes,
    /// It waits for what it has asked for.
    Waits,
    /// It has ended, and what it computed since it was last polled takes so long still.
    Ends { rest: Duration, fuel: u64, result: Result<Vec<u8>, CallError> },
}

/// What came of polling one, what it asks for, and what it has said.
pub(crate) type Polled = (Step, Vec<Asked>, Vec<(ComponentId, String)>);

/// The guests of one node.
pub(crate) struct Guests {
    desk: Shared,
    /// Where a component can ask somebody outside.
    tasks: Option<Tasks>,
    actors: BTreeMap<ComponentId, (ComponentSpec, Arc<Actor>)>,
    running: BTreeMap<u64, Running>,
    next: u64,
}

type Call = Pin<Box<dyn Future<Output = Result<Vec<u8>, CallError>> + Send>>;

struct Running {
    call: Call,
    /// The fuel whose time has passed.
    charged: u64,
    deadline: Time,
}

/// Notes that a component has given way, and not been kept waiting.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Guests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guests").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

impl Guests {
    /// Nobody yet, with a seed for all their randomness.
    pub(crate) fn new(seed: u64) -> Self {
        let desk = Shared::new(Desk::new(seed));
        Self { desk, tasks: None, actors: BTreeMap::new(), running: BTreeMap::new(), next: 0 }
    }

    /// Begins a call, which runs from when it is first polled.
    pub(crate) fn begin(&mut self, begin: Begin<'_>) -> Result<u64, CallError> {
        let actor = self.actor(&begin)?;
        let context = CallContext::untimed(begin.source);
        let (contract, function) = (begin.contract.clone(), begin.function.to_owned());
        let call: Call = match begin.input {
            Input::Bytes(bytes) => {
                let bytes = Arc::clone(bytes);
                Box::pin(async move { actor.call(context, &contract, &function, &bytes).await })
            }
            Input::Message(message) => {
                let message = Message::clone(message);
                Box::pin(async move {
                    actor.handle_message(context, message).await.map(|()| Vec::new())
                })
            }
            Input::Http(bytes) => {
                let request = unpack_request(bytes)?.map(HttpBody::full);
                Box::pin(async move {
                    let answered = actor.http_whole(context, request, BODY).await?;
                    pack_response(&answered.map(|body| body.to_vec())).map(|bytes| bytes.to_vec())
                })
            }
            input => {
                let text = match input {
                    Input::Text(text) => Arc::clone(text),
                    _ => "".into(),
                };
                let found = code::export(begin.component, &contract, &function);
                let own = found.and_then(|(contract, _)| contract.cloned());
                Box::pin(async move {
                    let said = actor.call_wave(context, own.as_ref(), &function, &text).await;
                    said.map(String::into_bytes)
                })
            }
        };
        self.next += 1;
        let running = Running { call, charged: 0, deadline: begin.deadline };
        self.running.insert(self.next, running);
        Ok(self.next)
    }

    /// The component as it is declared and configured now. Calls under way keep what they have.
    fn actor(&mut self, begin: &Begin<'_>) -> Result<Arc<Actor>, CallError> {
        if let Some((spec, actor)) = self.actors.get(begin.id)
            && spec == begin.spec
        {
            return Ok(Arc::clone(actor));
        }
        let config = wattle_runtime::ActorConfig {
            id: begin.id.clone(),
            config: begin.spec.config.clone(),
            limits: code::limits(begin.spec),
        };
        if self.tasks.is_none() && code::asks_outside(begin.component) {
            let tasks = Tasks::new();
            self.tasks =
                Some(tasks.map_err(|e| CallError::new(ErrorKind::Internal, e.to_string()))?);
        }
        let made = Actor::new(begin.component, config, Arc::new(self.desk.clone()));
        let actor = made.map_err(|e| CallError::new(ErrorKind::Internal, e.to_string()))?;
        let known = (begin.spec.clone(), Arc::clone(&actor));
        self.actors.insert(begin.id.clone(), known);
        Ok(actor)
    }

    /// When a call is over, at the latest; nothing if it is no longer there.
    pub(crate) fn deadline(&self, id: u64) -> Option<Time> {
        self.running.get(&id).map(|running| running.deadline)
    }

    /// Gives a call up.
    pub(crate) fn drop_call(&mut self, id: u64) {
        self.running.remove(&id);
    }

    /// Lets a call go on: what came of it, what it asks for, and what it has said.
    pub(crate) fn poll(&mut self, id: u64, moment: Moment) -> Option<Polled> {
        let running = self.running.get_mut(&id)?;
        self.desk.lock().moment = moment;
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        let mut context = Context::from_waker(&waker);
        let (polled, gave_way) = loop {
            // A task that has its answer hands it over first.
            self.tasks.iter().for_each(Tasks::go_on);
            flag.0.store(false, Ordering::Relaxed);
            let inside = self.tasks.as_ref().map(Tasks::enter);
            let polled = running.call.as_mut().poll(&mut context);
            drop(inside);
            let gave_way = flag.0.load(Ordering::Relaxed);
            // What it has put beside itself puts its questions down, and may be through already.
            self.tasks.iter().for_each(Tasks::go_on);
            let is_answered = flag.0.load(Ordering::Relaxed);
            if polled.is_ready() || gave_way || !is_answered {
                break (polled, gave_way);
            }
        };
        let step = match polled {
            Poll::Ready(result) => {
                let fuel = self.desk.lock().take_used();
                let rest = time_of(fuel.saturating_sub(running.charged));
                self.running.remove(&id);
                Step::Ends { rest, fuel, result }
            }
            Poll::Pending if gave_way => {
                running.charged = running.charged.saturating_add(Engine::STEP);
                Step::Computes
            }
            Poll::Pending => Step::Waits,
        };
        let (asked, said) = self.desk.lock().take();
        Some((step, asked, said))
    }

    /// What a call has asked for is there.
    pub(crate) fn answer(&mut self, id: u64, request: u64, answer: Result<Vec<u8>, CallError>) {
        // Who is gone looks at nothing.
        if self.running.contains_key(&id) {
            self.desk.lock().answer(request, answer);
        }
    }
}
