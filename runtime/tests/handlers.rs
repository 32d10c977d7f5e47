//! What the delivery of a message is told: whether it was begun.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::NodeId;
use wattle_contracts::message::MessageId;
use wattle_runtime::{IncomingMessage, Limits};

use crate::common::{Link, Node, actor, actor_with, component, context, engine, wat};

const NEXT: &str = "test:step/next";

fn message() -> IncomingMessage {
    let id = MessageId { publisher: NodeId::from_bytes([1; 32]), sequence: 7 };
    IncomingMessage { subject: "orders.placed".into(), body: b"tea".to_vec(), id: Some(id) }
}

#[tokio::test]
async fn a_handler_that_calls_something_that_is_busy_or_gone_has_failed() {
    let (engine, node) = (engine(), Node::new());
    let handler = actor(&component(&engine, &wat::handler(NEXT)), "t/handler", &node);
    let last = actor(&component(&engine, &wat::last(NEXT)), "t/last", &node);
    node.link(NEXT, Link::Local(last));
    handler.handle_message(context(), message()).await.unwrap();

    for kind in [ErrorKind::Overloaded, ErrorKind::Unreachable] {
        node.link(NEXT, Link::Broken(CallError::new(kind, "`t/other` has its limit")));
        let error = handler.handle_message(context(), message()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Trapped, "{error}");
        let told = format!("{}: `t/other` has its limit", kind.name());
        assert!(error.message.contains(&told), "{error}");
    }
    // Busy with the handler itself, which is there once and can't be entered again.
    let limits = Limits { concurrency: 1, ..Limits::default() };
    let busy = actor_with(&component(&engine, &wat::step(NEXT, NEXT, 1)), "t/busy", &node, limits);
    node.link(NEXT, Link::Local(busy.unwrap()));
    let error = handler.handle_message(context(), message()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped, "{error}");
    assert!(error.message.contains("overloaded: t/busy is busy with 1 calls"), "{error}");
}

#[tokio::test]
async fn a_component_that_takes_no_more_calls_has_not_begun() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { concurrency: 0, ..Limits::default() };
    let handler = component(&engine, &wat::handler(NEXT));
    let handler = actor_with(&handler, "t/handler", &node, limits).unwrap();
    let error = handler.handle_message(context(), message()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
}
