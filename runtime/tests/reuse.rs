//! Which calls share an instance.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Node, actor_with, component, context, contract, engine, wat};
use wasmtime::component::Val;
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_runtime::{Actor, Engine, Limits};

fn counting(engine: &Engine, reuse: u32) -> Arc<Actor> {
    let limits = Limits { reuse, ..Limits::default() };
    actor_with(&component(engine, &wat::count()), "t/count", &Node::new(), limits).unwrap()
}

/// The number that the call has within its instance.
async fn next(actor: &Actor, limit: u32) -> Result<u32, CallError> {
    let contract = contract("test:count/count");
    let results = actor.call_values(context(), &contract, "next", &[Val::U32(limit)]).await?;
    let [Val::U32(number)] = results[..] else { panic!("{results:?}") };
    Ok(number)
}

#[tokio::test]
async fn each_call_finds_a_fresh_instance_unless_the_component_says_otherwise() {
    let engine = engine();
    let actor = counting(&engine, Limits::default().reuse);
    for _ in 0..3 {
        assert_eq!(next(&actor, 9).await.unwrap(), 1);
        assert_eq!(engine.live_instances(), Some(0));
    }
}

#[tokio::test]
async fn an_instance_serves_as_many_calls_as_it_may_one_after_the_other() {
    let engine = engine();
    let actor = counting(&engine, 3);
    for expected in [1, 2, 3, 1, 2] {
        assert_eq!(next(&actor, 9).await.unwrap(), expected);
    }
    assert_eq!(engine.live_instances(), Some(1));
    drop(actor);
    assert_eq!(engine.live_instances(), Some(0));
}

#[tokio::test]
async fn an_instance_that_trapped_is_not_used_again() {
    let engine = engine();
    let actor = counting(&engine, 100);
    assert_eq!(next(&actor, 9).await.unwrap(), 1);
    assert_eq!(next(&actor, 1).await.unwrap_err().kind, ErrorKind::Trapped);
    assert_eq!(engine.live_instances(), Some(0));
    assert_eq!(next(&actor, 9).await.unwrap(), 1);
}

#[tokio::test]
async fn calls_at_the_same_time_have_an_instance_each() {
    let engine = engine();
    let limits = Limits { reuse: 10, ..Limits::default() };
    let node = Node::new();
    let step = component(&engine, &wat::step("t:b/b", "t:a/a", 1));
    let step = actor_with(&step, "t/step", &node, limits.clone()).unwrap();
    let last = component(&engine, &wat::last("t:b/b"));
    let last = actor_with(&last, "t/last", &node, limits).unwrap();
    node.link("t:b/b", common::Link::Local(last));
    let contract = contract("t:a/a");
    let call = || step.call_values(context(), &contract, "next", &[Val::U32(1)]);
    let (first, second) = tokio::join!(call(), call());
    assert_eq!(first.unwrap(), second.unwrap());
    // One of each at least, two of each at most: the calls may have met or not.
    assert!((2..=4).contains(&engine.live_instances().unwrap()));
}

#[tokio::test]
async fn an_instance_that_nobody_needs_goes() {
    let engine = engine();
    let actor = counting(&engine, 100);
    // Twice: what rests after that is watched as well.
    for _ in 0..2 {
        assert_eq!(next(&actor, 9).await.unwrap(), 1);
        assert_eq!(engine.live_instances(), Some(1));
        let gone = async {
            while engine.live_instances() != Some(0) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    }
}
