//! Calls that come from others: executed here, or passed on.

use std::collections::BTreeMap;

use wattle_contracts::call::{CallHeader, ErrorKind, Relay, Source};
use wattle_contracts::id::NodeId;
use wattle_mesh::core::routing::relay::Passing;

use super::calls::Whose;
use super::frame::{Answer, Body, Frame};
use super::{Cx, Effect, Machine, Payload, Wake};
use crate::lattice::fabric::draw;
use crate::lattice::happening::Happening;
use crate::wasm::{Input, Output};

/// The calls of others that are under way here.
#[derive(Debug, Default)]
pub(super) struct Serving {
    passing: Passing,
    next: u64,
    executing: BTreeMap<u64, Executing>,
}

#[derive(Debug)]
struct Executing {
    answers: Whom,
    result: Result<Output, ErrorKind>,
}

#[derive(Debug)]
enum Whom {
    /// An attempt of this node itself.
    Own(u64),
    Peer {
        connection: u64,
        id: u64,
    },
}

impl Serving {
    /// Nobody waits any more for what came over this connection.
    pub(super) fn forget(&mut self, connection: u64) {
        let is_its =
            |whom: &Whom| matches!(whom, Whom::Peer { connection: of, .. } if *of == connection);
        self.executing.retain(|_, one| !is_its(&one.answers));
    }

    pub(super) fn passed(&mut self, passing: (NodeId, u64)) {
        self.passing.end(passing);
    }
}

impl Machine {
    pub(super) fn on_frame(
        &mut self,
        from: NodeId,
        connection: u64,
        frame: Frame,
        cx: &mut Cx<'_>,
    ) {
        match frame {
            Frame::Response { id, result } => self.answered(connection, id, result, cx),
            Frame::Request { id, header, body } => {
                let to = header.relay.as_ref().map(|relay| relay.to);
                if to.is_some_and(|to| to != self.me) {
                    return self.pass_on((from, connection, id), header, body, cx);
                }
                match body {
                    Body::Call { call, input, .. } => {
                        let answers = Whom::Peer { connection, id };
                        self.execute(answers, &header, call, &input, cx);
                    }
                    Body::Delivery(delivery) => {
                        self.serve_delivery(from, (connection, id), &header, &delivery, cx);
                    }
                }
            }
        }
    }

    /// Passes a call on towards its target.
    fn pass_on(
        &mut self,
        (from, connection, id): (NodeId, u64, u64),
        mut header: CallHeader,
        body: Body,
        cx: &mut Cx<'_>,
    ) {
        let Some(relay) = header.relay.as_deref_mut() else { return };
        let to = relay.to;
        let passing = match self.serving.passing.begin(from, relay) {
            Ok(passing) => passing,
            Err(refusal) => return self.respond(connection, id, Err(refusal.kind()), cx),
        };
        let goes_on = match self.links.way(to) {
            Some(way) => {
                let peer = self.links.peer_of(way.connection);
                let is_short = !way.through || relay.path.len() < Relay::MAX;
                is_short && peer.is_some_and(|peer| !relay.path.contains(&peer))
            }
            None => false,
        };
        if !goes_on {
            self.serving.passed(passing);
            return self.respond(connection, id, Err(ErrorKind::Unreachable), cx);
        }
        header.hops = header.hops.saturating_add(1);
        self.request(Whose::Relayed { connection, id, passing }, to, header, body, cx);
    }

    pub(super) fn respond(
        &mut self,
        connection: u64,
        id: u64,
        result: Result<Answer, ErrorKind>,
        cx: &mut Cx<'_>,
    ) {
        let payload = Payload::Call(Box::new(Frame::Response { id, result }));
        cx.out.push(Effect::Send { connection, payload });
    }

    pub(super) fn execute_here(
        &mut self,
        attempt: u64,
        header: &CallHeader,
        call: u64,
        input: &Input,
        cx: &mut Cx<'_>,
    ) {
        self.execute(Whom::Own(attempt), header, call, input, cx);
    }

    fn execute(
        &mut self,
        answers: Whom,
        header: &CallHeader,
        call: u64,
        input: &Input,
        cx: &mut Cx<'_>,
    ) {
        let target = &header.route.target;
        let allowed = match &header.route.source {
            Source::Component(caller) => {
                let import = self.table.links.get(caller, &header.route.contract);
                import.is_some_and(|import| import.goes_to(target))
            }
            _ => true,
        };
        let refused = match () {
            () if !allowed => Some(ErrorKind::NotAllowed),
            () if !self.serves_here(target) => Some(ErrorKind::Unreachable),
            () => None,
        };
        self.serving.next += 1;
        let id = self.serving.next;
        let result = refused.map_or_else(|| Ok(Output::default()), Err);
        self.serving.executing.insert(id, Executing { answers, result });
        if refused.is_some() {
            return cx.wake(cx.now, Wake::Serve(id));
        }
        cx.happens(Happening::Executed { call });
        if !self.begin_guest(id, header, input, cx) {
            self.make_up(id, header, cx);
        }
    }

    /// A component that is not really there takes its time, and fails as often as it is said to.
    fn make_up(&mut self, id: u64, header: &CallHeader, cx: &mut Cx<'_>) {
        let behaviour = self.settings.behaviours.get(&header.route.target);
        let behaviour = behaviour.copied().unwrap_or_default();
        let (takes, result) = match (draw(behaviour.fails_ppm, cx.rng), behaviour.takes) {
            (_, takes) if takes > header.time_left => (header.time_left, Err(ErrorKind::Deadline)),
            (true, takes) => (takes, Err(ErrorKind::Trapped)),
            (false, takes) => (takes, Ok(Output::default())),
        };
        self.set_result(id, result);
        cx.wake(cx.now.plus(takes), Wake::Serve(id));
    }

    pub(super) fn set_result(&mut self, id: u64, result: Result<Output, ErrorKind>) {
        if let Some(executing) = self.serving.executing.get_mut(&id) {
            executing.result = result;
        }
    }

    /// An execution has come to this end.
    pub(super) fn executed_with(
        &mut self,
        id: u64,
        result: Result<Output, ErrorKind>,
        cx: &mut Cx<'_>,
    ) {
        self.set_result(id, result);
        self.executed(id, cx);
    }

    /// An execution has come to its end.
    pub(super) fn executed(&mut self, id: u64, cx: &mut Cx<'_>) {
        let Some(Executing { answers, result }) = self.serving.executing.remove(&id) else {
            return;
        };
        let result = result.map(|results| {
            // Whoever is made up gives as much as others do.
            let bytes = if results.is_empty() { 64 } else { results.len() };
            Answer::Done { bytes, results }
        });
        match answers {
            Whom::Own(attempt) => self.attempt_ended(attempt, result, cx),
            Whom::Peer { connection, id } => self.respond(connection, id, result, cx),
        }
    }
}
