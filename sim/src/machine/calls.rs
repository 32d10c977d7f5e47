//! Calls that begin here: where each goes, and what becomes of it. As in the node's daemon
//! (`invoke`, `reach`, `along`) and the mesh's links.

mod choice;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use wattle_contracts::call::{
    CallHeader, CallRoute, Encoding, ErrorKind, Relay, Source, TraceContext,
};
use wattle_contracts::id::{ComponentId, ContractId, NodeId};
use wattle_contracts::record::LinkOptions;
use wattle_mesh::core::invoke::{Budgets, Call, Step, Verdict};
use wattle_mesh::core::outbox::Sending;
use wattle_mesh::core::routing::Router;
use wattle_mesh::core::time::Time;

use super::frame::{Answer, Body, Frame};
use super::links::Way;
use super::{Cx, Effect, Machine, Payload, Wake};
use crate::lattice::happening::Happening;
use crate::mutant::Mutant;
use crate::wasm::{Input, Output};

/// A call that somebody wants made.
#[derive(Debug, Clone)]
pub(crate) struct Calling {
    /// Its number in this run.
    pub(crate) call: u64,
    /// The component that calls; nobody for an operator, and for the gateway, which has a request.
    pub(crate) from: Option<ComponentId>,
    /// Whom, if no link says so.
    pub(crate) to: Option<ComponentId>,
    pub(crate) contract: ContractId,
    pub(crate) function: String,
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
    /// What it gives.
    pub(crate) input: Input,
    /// The component that waits for its end, and as what.
    pub(crate) asked_by: Option<(u64, u64)>,
}

/// The calls of one node that are under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    router: Router,
    budgets: Budgets,
    next: u64,
    outgoing: BTreeMap<u64, Outgoing>,
    attempts: BTreeMap<u64, Attempt>,
}

#[derive(Debug)]
struct Outgoing {
    calling: Arc<Calling>,
    route: Arc<CallRoute>,
    options: Arc<LinkOptions>,
    deadline: Time,
    /// How it may be repeated, if it may.
    repeat: Option<Call>,
    tried: Vec<NodeId>,
    waiting: Vec<NodeId>,
    failed: Option<ErrorKind>,
    results: Output,
}

#[derive(Debug)]
struct Attempt {
    whose: Whose,
    to: NodeId,
    /// None while it is executed here.
    connection: Option<u64>,
}

/// To whom the end of an attempt is told.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    Call(u64),
    Delivery(Box<Sending>),
    /// Of another node, for which this one passes it on: over which connection it came, and as
    /// what.
    Relayed {
        connection: u64,
        id: u64,
        passing: (NodeId, u64),
    },
}

impl Calls {
    /// Whether no call is under way over this connection.
    pub(super) fn is_idle(&self, connection: u64) -> bool {
        !self.attempts.values().any(|attempt| attempt.connection == Some(connection))
    }
}

impl Machine {
    /// Somebody here makes a call.
    pub(crate) fn call(&mut self, calling: Calling, cx: &mut Cx<'_>) {
        let deadline = cx.now.plus(calling.time);
        let (call, time) = (calling.call, calling.time);
        let (target, options) = match self.resolve(&calling, cx) {
            Ok(resolved) => resolved,
            Err(kind) => {
                cx.happens(Happening::CallBegan { call, may_repeat: false, time });
                return self.tell_end(&calling, Err(kind), cx);
            }
        };
        let may_repeat = options.idempotent.contains(&calling.function);
        cx.happens(Happening::CallBegan { call, may_repeat, time });
        let repeats = may_repeat || self.is_broken(Mutant::RepeatEverything);
        let hedge = options.hedge_millis.map(|millis| Duration::from_millis(millis.into()));
        let repeat = repeats.then(|| Call::new(cx.now, deadline, hedge));
        self.calls.next += 1;
        let id = self.calls.next;
        let (tried, waiting, failed) = (Vec::new(), Vec::new(), None);
        let (outside, encoding) = match calling.input {
            Input::Http(_) => (Source::Gateway, Encoding::Message),
            _ => (Source::Operator, Encoding::Values),
        };
        let route = Arc::new(CallRoute {
            source: calling.from.clone().map_or(outside, Source::Component),
            target,
            contract: calling.contract.clone(),
            function: calling.function.clone(),
            encoding,
        });
        let (calling, options) = (Arc::new(calling), Arc::new(options));
        let results = Output::default();
        let outgoing =
            Outgoing { calling, route, options, deadline, repeat, tried, waiting, failed, results };
        self.calls.outgoing.insert(id, outgoing);
        if repeats {
            self.advance_call(id, cx);
        } else {
            self.attempt_call(id, &[], cx);
        }
        self.settle(cx);
    }

    /// What is to be done next about a call that may be repeated.
    pub(super) fn advance_call(&mut self, id: u64, cx: &mut Cx<'_>) {
        loop {
            let Some(outgoing) = self.calls.outgoing.get_mut(&id) else { return };
            let Some(repeat) = outgoing.repeat.as_mut() else { return };
            let budget = self.calls.budgets.of(&outgoing.route.target);
            match repeat.next(cx.now, budget) {
                Step::Wait(until) => {
                    if !self.is_broken(Mutant::NoDeadline) {
                        cx.wake(until, Wake::Call(id));
                    }
                    return;
                }
                Step::GiveUp => {
                    let kind = outgoing.failed.unwrap_or(ErrorKind::Deadline);
                    return self.end_call(id, Err(kind), cx);
                }
                Step::Begin { hedge, .. } => {
                    let tried = outgoing.tried.clone();
                    if self.attempt_call(id, &tried, cx) {
                        continue;
                    }
                    if hedge {
                        self.skip_hedge(id);
                    // All were tried: perhaps one of them is back.
                    } else if tried.is_empty() || !self.attempt_call(id, &[], cx) {
                        self.call_ended(id, None, Err(ErrorKind::Unreachable), cx);
                    }
                }
            }
        }
    }

    /// There was no other node for a hedge.
    fn skip_hedge(&mut self, id: u64) {
        let Some(outgoing) = self.calls.outgoing.get_mut(&id) else { return };
        if let Some(repeat) = outgoing.repeat.as_mut() {
            repeat.skipped(self.calls.budgets.of(&outgoing.route.target));
        }
    }

    /// Makes one attempt, on a node that is not among `tried`. False if there is none.
    fn attempt_call(&mut self, id: u64, tried: &[NodeId], cx: &mut Cx<'_>) -> bool {
        let Some(outgoing) = self.calls.outgoing.get(&id) else { return false };
        let (route, options) = (Arc::clone(&outgoing.route), Arc::clone(&outgoing.options));
        let (calling, deadline) = (Arc::clone(&outgoing.calling), outgoing.deadline);
        let (call, bytes, input) = (calling.call, calling.bytes, calling.input.clone());
        let body = Body::Call { call, bytes, input: input.clone() };
        let header = CallHeader {
            time_left: deadline.since(cx.now),
            trace: TraceContext::default(),
            route: Arc::clone(&route),
            hops: 1,
            relay: None,
        };
        let here = tried.is_empty() && self.answers_here(&route.target, &options);
        if here {
            let attempt = self.new_attempt(Whose::Call(id), self.me, None);
            self.watch_deadline(attempt, deadline, cx);
            self.execute_here(attempt, &header, call, &input, cx);
            return true;
        }
        let Some(to) = self.choose(&route.target, &options, tried, cx) else {
            if self.calls.outgoing.get(&id).is_some_and(|one| one.repeat.is_none()) {
                self.end_call(id, Err(ErrorKind::Unreachable), cx);
            }
            return false;
        };
        if let Some(outgoing) = self.calls.outgoing.get_mut(&id) {
            outgoing.tried.push(to);
            outgoing.waiting.push(to);
        }
        self.calls.router.began(to);
        self.request(Whose::Call(id), to, header, body, cx);
        true
    }

    fn new_attempt(&mut self, whose: Whose, to: NodeId, connection: Option<u64>) -> u64 {
        self.calls.next += 1;
        let id = self.calls.next;
        self.calls.attempts.insert(id, Attempt { whose, to, connection });
        id
    }

    fn watch_deadline(&self, attempt: u64, deadline: Time, cx: &mut Cx<'_>) {
        if !self.is_broken(Mutant::NoDeadline) {
            cx.wake(deadline, Wake::Attempt(attempt));
        }
    }

    /// Sends a request to a node, by the way that leads there now.
    pub(super) fn request(
        &mut self,
        whose: Whose,
        to: NodeId,
        mut header: CallHeader,
        body: Body,
        cx: &mut Cx<'_>,
    ) {
        if matches!(whose, Whose::Call(_) | Whose::Delivery(_)) {
            self.want(to);
        }
        let way = self.links.way(to);
        let deadline = cx.now.plus(header.time_left);
        let attempt = self.new_attempt(whose, to, way.map(|way| way.connection));
        let Some(Way { connection, through }) = way else {
            return self.attempt_ended(attempt, Err(ErrorKind::Unreachable), cx);
        };
        if through && header.relay.is_none() {
            let call = cx.rng.random();
            header.relay = Some(Box::new(Relay { to, call, path: Vec::new(), proof: None }));
        }
        let frame = Frame::Request { id: attempt, header, body };
        cx.out.push(Effect::Send { connection, payload: Payload::Call(Box::new(frame)) });
        self.watch_deadline(attempt, deadline, cx);
    }

    /// An answer has come over a connection.
    pub(super) fn answered(
        &mut self,
        connection: u64,
        id: u64,
        result: Result<Answer, ErrorKind>,
        cx: &mut Cx<'_>,
    ) {
        let is_its = |attempt: &Attempt| attempt.connection == Some(connection);
        if self.calls.attempts.get(&id).is_some_and(is_its) {
            self.attempt_ended(id, result, cx);
        }
    }

    /// The time of an attempt is over.
    pub(super) fn attempt_late(&mut self, id: u64, cx: &mut Cx<'_>) {
        self.attempt_ended(id, Err(ErrorKind::Deadline), cx);
    }

    /// A connection is gone, and the answers that were to come over it.
    pub(super) fn calls_lost(&mut self, connection: u64, cx: &mut Cx<'_>) {
        let lost = self.calls.attempts.iter().filter(|(_, a)| a.connection == Some(connection));
        let lost: Vec<u64> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            self.attempt_ended(id, Err(ErrorKind::Unreachable), cx);
        }
        self.serving.forget(connection);
        self.receiving.abandon(connection);
    }

    pub(super) fn attempt_ended(
        &mut self,
        id: u64,
        result: Result<Answer, ErrorKind>,
        cx: &mut Cx<'_>,
    ) {
        let Some(attempt) = self.calls.attempts.remove(&id) else { return };
        let outcome = result.as_ref().map(drop).map_err(|kind| *kind);
        match attempt.whose {
            Whose::Call(call) => {
                let to = attempt.to;
                if let (Ok(Answer::Done { results, .. }), Some(outgoing)) =
                    (&result, self.calls.outgoing.get_mut(&call))
                {
                    outgoing.results = results.clone();
                }
                if to != self.me {
                    self.calls.router.ended(cx.now, to, outcome);
                }
                self.call_ended(call, Some(to), outcome, cx);
            }
            Whose::Delivery(sending) => self.delivered(*sending, result, cx),
            Whose::Relayed { connection, id, passing } => {
                self.serving.passed(passing);
                self.respond(connection, id, result, cx);
            }
        }
    }

    /// An attempt of a call has ended.
    fn call_ended(
        &mut self,
        id: u64,
        by: Option<NodeId>,
        outcome: Result<(), ErrorKind>,
        cx: &mut Cx<'_>,
    ) {
        let Some(outgoing) = self.calls.outgoing.get_mut(&id) else { return };
        outgoing.waiting.retain(|node| Some(*node) != by);
        let Some(repeat) = outgoing.repeat.as_mut() else {
            return self.end_call(id, outcome, cx);
        };
        match (repeat.ended(cx.now, outcome, cx.rng), outcome) {
            (Verdict::GoesOn, Err(kind)) => {
                outgoing.failed = Some(kind);
                cx.wake(cx.now, Wake::Call(id));
            }
            (_, outcome) => {
                let waiting = std::mem::take(&mut outgoing.waiting);
                if outcome.is_ok() {
                    waiting.iter().for_each(|node| self.calls.router.outpaced(cx.now, *node));
                }
                self.end_call(id, outcome, cx);
            }
        }
    }

    fn end_call(&mut self, id: u64, outcome: Result<(), ErrorKind>, cx: &mut Cx<'_>) {
        let Some(outgoing) = self.calls.outgoing.remove(&id) else { return };
        // What else is under way is given up.
        let own = |attempt: &Attempt| matches!(attempt.whose, Whose::Call(of) if of == id);
        let given_up: Vec<u64> =
            self.calls.attempts.iter().filter(|(_, a)| own(a)).map(|(id, _)| *id).collect();
        for attempt in given_up {
            if let Some(attempt) = self.calls.attempts.remove(&attempt)
                && attempt.to != self.me
            {
                self.calls.router.ended(cx.now, attempt.to, Err(ErrorKind::Cancelled));
            }
        }
        self.tell_end(&outgoing.calling, outcome.map(|()| outgoing.results), cx);
    }

    fn tell_end(&mut self, calling: &Calling, outcome: Result<Output, ErrorKind>, cx: &mut Cx<'_>) {
        let how = outcome.as_ref().map(drop).map_err(|kind| *kind);
        cx.happens(Happening::CallEnded { call: calling.call, outcome: how });
        self.responded(calling, &outcome, cx);
        if let Some(asked_by) = calling.asked_by {
            self.guest_answered(asked_by, outcome, cx);
        }
    }
}
