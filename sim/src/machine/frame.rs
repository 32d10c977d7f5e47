//! What travels on a call stream.

use std::sync::Arc;

use wattle_contracts::call::{CallHeader, ErrorKind};
use wattle_contracts::message::{Delivery, DeliveryReply};

use crate::wasm::{Input, Output};

/// A frame of the call stream.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Request { id: u64, header: CallHeader, body: Body },
    Response { id: u64, result: Result<Answer, ErrorKind> },
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// To execute this call, which has so many bytes of arguments.
    Call {
        call: u64,
        bytes: usize,
        input: Input,
    },
    Delivery(Arc<Delivery>),
}

/// What comes back.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Done { bytes: usize, results: Output },
    Delivery(DeliveryReply),
}

impl Body {
    /// What tells it apart in a trace.
    pub(crate) fn summary(&self) -> (u64, u64) {
        match self {
            Body::Call { call, bytes, .. } => (*call, *bytes as u64),
            Body::Delivery(delivery) => {
                let first = delivery.messages.first().map_or(0, |(sequence, _)| *sequence);
                (first, delivery.messages.len() as u64)
            }
        }
    }
}

/// How large an answer is, in bytes.
pub(crate) fn answer_size(answer: &Answer) -> u64 {
    match answer {
        Answer::Done { bytes, .. } => *bytes as u64,
        Answer::Delivery(reply) => 8 + u64::from(reply.handled.min(1)),
    }
}

impl Frame {
    /// How much is in it besides its head, in bytes.
    pub(crate) fn payload_size(&self) -> usize {
        match self {
            Frame::Request { body: Body::Call { bytes, .. }, .. } => *bytes,
            Frame::Request { body: Body::Delivery(delivery), .. } => {
                delivery.messages.iter().map(|(_, body)| body.len() + 10).sum()
            }
            Frame::Response { result: Ok(Answer::Done { bytes, .. }), .. } => *bytes,
            Frame::Response { .. } => 0,
        }
    }
}
