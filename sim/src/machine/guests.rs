//! Calls that real components execute here, and what these ask of the mesh.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use wattle_contracts::call::{CallError, CallHeader, ErrorKind, Source};
use wattle_contracts::id::{ComponentId, ContractId, Digest, Subject};
use wattle_contracts::message::MessageId;
use wattle_contracts::provider::KeyValueRequest;
use wattle_contracts::record::{ComponentSpec, ProviderKind};
use wattle_contracts::wire;
use wattle_mesh::core::time::Time;

use super::calls::Calling;
use super::table::Target;
use super::{Cx, Effect, Machine, Then, Wake};
use crate::lattice::happening::Happening;
use crate::rng::Seeded;
use crate::wasm::{self, Asked, Begin, Guests, Input, Message, Moment, Output, Step, Undo, What};

/// What is asked of a store and needs no write takes so long.
const READ: Duration = Duration::from_micros(100);
/// A message may take its handler so long, unless the component's own limit is shorter. As in a
/// real node.
const HANDLER: Duration = Duration::from_secs(300);

/// What has ended when a component has.
#[derive(Debug, Clone, Copy)]
enum Ends {
    /// An execution of a call.
    Serve(u64),
    /// The next message of a delivery.
    Handle(u64),
}

/// A call that a real component executes, as the machine knows it.
#[derive(Debug)]
pub(super) struct Guest {
    ends: Ends,
    target: ComponentId,
    function: String,
    /// Not to be polled before.
    resumes: Time,
    /// It has ended, and its time passes.
    ended: Option<Result<Output, ErrorKind>>,
}

/// What a component is to do.
struct Job<'a> {
    source: Source,
    contract: &'a ContractId,
    function: &'a str,
    input: &'a Input,
    time: Duration,
}

/// What is to be done once a change of a store is on the disk.
#[derive(Debug)]
pub(crate) struct Stored {
    serve: u64,
    reply: Vec<u8>,
    undo: Undo,
}

impl Machine {
    /// Lets a real component, or a store, execute a call. False where the callee is made up.
    pub(super) fn begin_guest(
        &mut self,
        serve: u64,
        header: &CallHeader,
        input: &Input,
        cx: &mut Cx<'_>,
    ) -> bool {
        if self.settings.code.is_none() {
            return false;
        }
        let route = &header.route;
        let target = &route.target;
        let provider = match self.table.target(target) {
            Some(Target::Provider(spec)) => Some(spec.kind.clone()),
            _ => None,
        };
        match (provider, input) {
            (Some(ProviderKind::KeyValue), Input::Bytes(bytes)) => {
                self.ask_store(serve, target, bytes, cx);
                return true;
            }
            (Some(ProviderKind::HttpClient { hosts }), Input::Http(request)) => {
                self.ask_outside(serve, &hosts, header, request, cx);
                return true;
            }
            (Some(_), _) => return false,
            (None, Input::Http(_)) => {}
            // Who calls it without a request wants an answer that is made up.
            (None, _) if wasm::is_http(&route.contract) => return false,
            (None, _) => {}
        }
        let job = Job {
            source: route.source.clone(),
            contract: &route.contract,
            function: &route.function,
            input,
            time: header.time_left,
        };
        self.begin_job(Ends::Serve(serve), target, &job, cx)
    }

    /// Lets a real component handle a message. False where it is made up.
    pub(super) fn begin_handling(
        &mut self,
        delivery: u64,
        target: &ComponentId,
        message: Message,
        cx: &mut Cx<'_>,
    ) -> bool {
        if self.settings.code.is_none() {
            return false;
        }
        let Ok(contract) = "wattle:messaging/incoming-handler".parse() else { return false };
        let job = Job {
            source: Source::Messages,
            contract: &contract,
            function: "handle",
            input: &Input::Message(Arc::new(message)),
            time: HANDLER,
        };
        self.begin_job(Ends::Handle(delivery), target, &job, cx)
    }

    fn begin_job(
        &mut self,
        ends: Ends,
        target: &ComponentId,
        job: &Job<'_>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(code) = self.settings.code.clone() else { return false };
        let Some(spec) = self.component_now(target) else { return false };
        let Some(component) = code.component(target, &spec) else { return false };
        let deadline = cx.now.plus(job.time.min(wasm::limits(&spec).time));
        let begin = Begin {
            id: target,
            component,
            spec: &spec,
            source: job.source.clone(),
            contract: job.contract,
            function: job.function,
            input: job.input,
            deadline,
        };
        let guests = self.guests.get_or_insert_with(|| Box::new(Guests::new(cx.rng.random())));
        match guests.begin(begin) {
            Ok(id) => {
                let (target, function) = (target.clone(), job.function.to_owned());
                let guest = Guest { ends, target, function, resumes: cx.now, ended: None };
                self.executions.insert(id, guest);
                cx.wake(cx.now, Wake::Guest(id));
                cx.wake(deadline, Wake::Guest(id));
            }
            Err(error) => self.job_ended(ends, Err(error.kind), cx),
        }
        true
    }

    fn job_ended(&mut self, ends: Ends, result: Result<Output, ErrorKind>, cx: &mut Cx<'_>) {
        match ends {
            Ends::Serve(id) => self.executed_with(id, result, cx),
            Ends::Handle(id) => self.handled_with(id, result.map(drop), cx),
        }
    }

    /// A component as it is declared, with the configuration that counts now.
    fn component_now(&self, id: &ComponentId) -> Option<ComponentSpec> {
        let app = self.table.apps().find(|app| app.name == id.app)?;
        let mut spec = app.components.get(&id.name)?.clone();
        let values = self.table.values.get(id).into_iter().flatten();
        spec.config.extend(values.map(|(name, value)| (name.clone(), value.clone())));
        Some(spec)
    }

    /// A call is due: to be polled again, or to end.
    pub(super) fn guest_due(&mut self, id: u64, cx: &mut Cx<'_>) {
        let Some(guest) = self.executions.get_mut(&id) else { return };
        if guest.resumes > cx.now {
            return;
        }
        if let Some(result) = guest.ended.take() {
            let ends = guest.ends;
            self.executions.remove(&id);
            return self.job_ended(ends, result, cx);
        }
        let Some(guests) = self.guests.as_mut() else { return };
        if guests.deadline(id).is_none_or(|deadline| deadline <= cx.now) {
            guests.drop_call(id);
            return self.guest_ends(id, Duration::ZERO, 0, Err(ErrorKind::Deadline), cx);
        }
        let moment = Moment {
            monotonic: u64::try_from(cx.now.elapsed().as_nanos()).unwrap_or(u64::MAX),
            wall: Duration::from_millis(cx.wall.0),
        };
        let Some((step, asked, said)) = guests.poll(id, moment) else { return };
        for (component, text) in said {
            cx.happens(Happening::Said { component, text });
        }
        for asked in asked {
            self.guest_asks(id, asked, cx);
        }
        match step {
            Step::Waits => {}
            Step::Computes => {
                let later = cx.now.plus(wasm::step());
                if let Some(guest) = self.executions.get_mut(&id) {
                    guest.resumes = later;
                }
                cx.wake(later, Wake::Guest(id));
            }
            Step::Ends { rest, fuel, result } => {
                let result = match result {
                    Ok(bytes) => Ok(Output::from(bytes)),
                    Err(error) => {
                        let component = self.executions.get(&id).map(|guest| guest.target.clone());
                        if let Some(component) = component {
                            cx.happens(Happening::Said { component, text: error.to_string() });
                        }
                        Err(error.kind)
                    }
                };
                self.guest_ends(id, rest, fuel, result, cx);
            }
        }
    }

    fn guest_ends(
        &mut self,
        id: u64,
        rest: Duration,
        fuel: u64,
        result: Result<Output, ErrorKind>,
        cx: &mut Cx<'_>,
    ) {
        let Some(guest) = self.executions.get_mut(&id) else { return };
        cx.happens(Happening::Ran {
            component: guest.target.clone(),
            function: guest.function.clone(),
            fuel,
            outcome: result.as_ref().map(|bytes| Digest::of(bytes)).map_err(|kind| *kind),
        });
        guest.ended = Some(result);
        guest.resumes = cx.now.plus(rest);
        cx.wake(guest.resumes, Wake::Guest(id));
    }

    fn guest_asks(&mut self, id: u64, asked: Asked, cx: &mut Cx<'_>) {
        let Asked { request, what } = asked;
        match what {
            What::Sleep { until } => {
                let until = Time::since_start(Duration::from_micros(until.div_ceil(1000)));
                cx.wake(until.max(cx.now), Wake::Guest(id));
            }
            What::Publish { from, subject, body, durable } => {
                self.guest_publishes((id, request), &from, &subject, body, durable, cx);
            }
            What::Send { from, request: bytes, time } => {
                let left = self.time_left(id, cx);
                let time = time.map_or(left, |time| time.min(left));
                self.guest_requests((id, request), from, bytes, time, cx);
            }
            What::Call { from, contract, function, arguments } => {
                let calling = Calling {
                    call: own_number(cx.rng),
                    from: Some(from),
                    to: None,
                    contract,
                    function,
                    bytes: arguments.len(),
                    time: self.time_left(id, cx),
                    input: Input::Bytes(arguments.into()),
                    asked_by: Some((id, request)),
                };
                self.call(calling, cx);
            }
        }
    }

    /// How long a call that is executed here has still.
    fn time_left(&self, id: u64, cx: &Cx<'_>) -> Duration {
        let deadline = self.guests.as_ref().and_then(|guests| guests.deadline(id));
        deadline.unwrap_or(cx.now).since(cx.now)
    }

    /// A call that a component has made has ended.
    pub(super) fn guest_answered(
        &mut self,
        asked_by: (u64, u64),
        outcome: Result<Output, ErrorKind>,
        cx: &mut Cx<'_>,
    ) {
        let failed = |kind: ErrorKind| CallError::new(kind, "the call failed on its way");
        let answer = outcome.map(|bytes| bytes.to_vec()).map_err(failed);
        self.answer_guest(asked_by, answer, cx);
    }

    fn guest_publishes(
        &mut self,
        asked_by: (u64, u64),
        from: &ComponentId,
        subject: &str,
        body: Vec<u8>,
        durable: bool,
        cx: &mut Cx<'_>,
    ) {
        let parsed = subject.parse::<Subject>();
        let refused = match &parsed {
            Ok(subject) if !self.may_publish(from, subject) => {
                Some((ErrorKind::NotAllowed, "no link lets it publish that".to_owned()))
            }
            Ok(_) if !durable => {
                Some((ErrorKind::Internal, "only durable messages are rehearsed".to_owned()))
            }
            Ok(_) => None,
            Err(error) => Some((ErrorKind::NotLinked, error.to_string())),
        };
        match (parsed, refused) {
            (Ok(subject), None) => {
                if !self.publish(&subject, 0, Some(body.into()), Some(asked_by), cx) {
                    self.guest_published(asked_by, None, cx);
                }
            }
            (_, refused) => {
                let (kind, why) = refused.unwrap_or((ErrorKind::Internal, String::new()));
                self.answer_guest(asked_by, Err(CallError::new(kind, why)), cx);
            }
        }
    }

    /// Whether a link of `from` leads to a provider that lets it publish about `subject`.
    fn may_publish(&self, from: &ComponentId, subject: &Subject) -> bool {
        let Ok(contract) = "wattle:messaging/producer".parse() else { return false };
        let import = self.table.links.get(from, &contract);
        let mut targets = import.into_iter().flat_map(|import| import.targets());
        targets.any(|link| match self.table.target(&link.to) {
            Some(Target::Provider(spec)) => match &spec.kind {
                ProviderKind::Messaging { subjects } => {
                    subjects.iter().any(|pattern| pattern.matches(subject))
                }
                _ => false,
            },
            _ => false,
        })
    }

    /// A message that a component publishes is on the disk, or is refused.
    pub(super) fn guest_published(
        &mut self,
        asked_by: (u64, u64),
        id: Option<MessageId>,
        cx: &mut Cx<'_>,
    ) {
        let full = || CallError::new(ErrorKind::Overloaded, "this node's outbox does not take it");
        let answer = id.ok_or_else(full).and_then(|id| {
            wire::encode(&id).map_err(|e| CallError::new(ErrorKind::Internal, e.to_string()))
        });
        self.answer_guest(asked_by, answer, cx);
    }

    fn answer_guest(
        &mut self,
        (id, request): (u64, u64),
        answer: Result<Vec<u8>, CallError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(guests) = self.guests.as_mut() else { return };
        guests.answer(id, request, answer);
        cx.wake(cx.now, Wake::Guest(id));
    }

    fn ask_store(&mut self, serve: u64, store: &ComponentId, bytes: &[u8], cx: &mut Cx<'_>) {
        let request: Result<KeyValueRequest, _> = wire::decode(bytes);
        let Ok(request) = request else {
            return self.executed_with(serve, Err(ErrorKind::Internal), cx);
        };
        let (reply, ops, undo) = self.values.handle(store, request);
        let Ok(reply) = wire::encode(&reply) else {
            return self.executed_with(serve, Err(ErrorKind::Internal), cx);
        };
        if ops.is_empty() {
            self.set_result(serve, Ok(reply.into()));
            return cx.wake(cx.now.plus(READ), Wake::Serve(serve));
        }
        let then = Then::Stored(Box::new(Stored { serve, reply, undo }));
        cx.out.push(Effect::Write { ops, then });
    }

    /// A change of a store is on the disk, or is not.
    pub(super) fn value_written(&mut self, stored: Stored, is_done: bool, cx: &mut Cx<'_>) {
        let Stored { serve, reply, undo } = stored;
        if is_done {
            return self.executed_with(serve, Ok(reply.into()), cx);
        }
        self.values.undo(undo);
        self.executed_with(serve, Err(ErrorKind::Internal), cx);
    }
}

/// A number for a call that a component makes: none of the scenario's own is that large.
pub(super) fn own_number(rng: &mut Seeded) -> u64 {
    rng.random::<u64>() | 1 << 63
}
