//! What happens to a component that goes over its limits.

mod common;

use std::time::{Duration, Instant};

use wattle_contracts::call::ErrorKind;
use wattle_runtime::{Limits, Val};

use crate::common::{Node, actor, actor_with, component, context, contract, engine, wat, within};

#[tokio::test]
async fn a_trap_is_reported_with_its_message_and_the_innermost_functions() {
    let (engine, node) = (engine(), Node::new());
    let bad = actor(&component(&engine, &wat::bad()), "t/bad", &node);
    let error = bad.call_values(context(), &contract("test:bad/bad"), "fail", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert_eq!(
        error.message,
        "t/bad failed in test:bad/bad.fail: wasm trap: wasm `unreachable` instruction executed; \
         innermost functions: inner < fail"
    );
    assert_eq!(engine.live_instances(), Some(0));
}

#[tokio::test]
async fn endless_recursion_traps() {
    let (engine, node) = (engine(), Node::new());
    let bad = actor(&component(&engine, &wat::bad()), "t/bad", &node);
    let bad_contract = contract("test:bad/bad");
    let error = bad.call_values(context(), &bad_contract, "recurse", &[Val::U32(1)]).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert!(error.message.contains("call stack exhausted"), "{error}");
}

/// On one thread: were it not interrupted, nothing else would ever run.
#[tokio::test(flavor = "current_thread")]
async fn an_endless_loop_ends_with_its_deadline_and_others_go_on_meanwhile() {
    let (engine, node) = (engine(), Node::new());
    let bad = actor(&component(&engine, &wat::bad()), "t/bad", &node);
    let bad_contract = contract("test:bad/bad");
    let start = Instant::now();
    let spin = async {
        let soon = within(Duration::from_millis(300));
        let error = bad.call_values(soon, &bad_contract, "spin", &[]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Deadline);
        start.elapsed()
    };
    let others = async {
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            let begin = Instant::now();
            // A timer, too, comes in time.
            tokio::time::sleep(Duration::from_millis(1)).await;
            bad.call_values(context(), &bad_contract, "fine", &[]).await.unwrap();
            longest = longest.max(begin.elapsed());
        }
        (longest, start.elapsed())
    };
    let (spun, (longest, done)) = tokio::join!(spin, others);
    assert!(done < spun, "the others waited for the loop: {done:?}, {spun:?}");
    // A tick is 10 ms; the rest is for a busy machine.
    assert!(longest < Duration::from_millis(150), "{longest:?}");
    assert!(spun >= Duration::from_millis(300) && spun < Duration::from_secs(3), "{spun:?}");
    assert_eq!(engine.live_instances(), Some(0));
}

#[tokio::test]
async fn the_time_limit_holds_even_for_who_has_all_day() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { time: Duration::from_millis(50), ..Limits::default() };
    let bad = actor_with(&component(&engine, &wat::bad()), "t/bad", &node, limits).unwrap();
    let all_day = within(Duration::from_secs(86_400));
    let error = bad.call_values(all_day, &contract("test:bad/bad"), "spin", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Deadline);
}

#[tokio::test]
async fn memory_over_the_limit_is_refused_and_mentioned_when_that_is_fatal() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let bad = actor_with(&component(&engine, &wat::bad()), "t/bad", &node, limits).unwrap();
    let bad_contract = contract("test:bad/bad");
    let grow = |pages| bad.call_wave(context(), Some(&bad_contract), "grow", pages);
    // It begins with two pages of 64 KiB, and sixteen make a MiB.
    assert_eq!(grow("14").await.unwrap(), "2");
    assert_eq!(grow("15").await.unwrap(), "-1");
    let error = bad.call_wave(context(), Some(&bad_contract), "grow-or-fail", "15").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert!(error.message.contains("refused memory over its limit of 1 MiB"), "{error}");
}

#[tokio::test]
async fn a_component_that_needs_more_than_its_limit_does_not_start() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { memory: 64 << 10, ..Limits::default() };
    let bad = actor_with(&component(&engine, &wat::bad()), "t/bad", &node, limits).unwrap();
    let error = bad.call_values(context(), &contract("test:bad/bad"), "fine", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert!(error.message.contains("memory"), "{error}");
}

#[tokio::test]
async fn when_the_pool_is_empty_calls_are_refused_as_overloaded() {
    let config = wattle_runtime::EngineConfig { instances: 1, ..Default::default() };
    let (engine, node) = (wattle_runtime::Engine::new(config).unwrap(), Node::new());
    let step = actor(&component(&engine, &wat::step("t:b/b", "t:a/a", 1)), "t/step", &node);
    let last = actor(&component(&engine, &wat::last("t:b/b")), "t/last", &node);
    node.link("t:b/b", common::Link::Local(last));
    let error = step.call_values(context(), &contract("t:a/a"), "next", &[Val::U32(1)]).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Overloaded);
}
