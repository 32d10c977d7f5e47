//! What happens to a component that goes over its limits.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use wattle_contracts::call::ErrorKind;
use wattle_runtime::{Limits, Val};

use crate::common::{Node, actor, actor_with, component, context, contract, engine, wat, within};

#[tokio::test]
async fn a_trap_is_reported_with_its_message_and_the_innermost_functions() {
    let (engine, node) = (engine(), Node::new());
    let bad = actor(&component(&engine, &wat::bad()), "t/bad", &node);
    let error =
        bad.call_values(context(), &contract("test:bad/bad"), "fail", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert_eq!(
        error.message,
        "t/bad failed in test:bad/bad#fail: wasm trap: wasm `unreachable` instruction executed; \
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
    let time = Duration::from_secs(2);
    let start = Instant::now();
    let spin = async {
        let error = bad.call_values(within(time), &bad_contract, "spin", &[]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Deadline);
        start.elapsed()
    };
    let others = async {
        for _ in 0..5 {
            // A timer comes in time, too, and a call that began later is answered.
            tokio::time::sleep(Duration::from_millis(1)).await;
            bad.call_values(context(), &bad_contract, "fine", &[]).await.unwrap();
        }
        start.elapsed()
    };
    let (spun, others) = tokio::join!(spin, others);
    // A tick is 10 ms, five times two of them are 100: the rest is for a busy machine.
    assert!(others < time, "the others waited for the loop: {others:?}");
    assert!(spun >= time, "{spun:?}");
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
    let error =
        bad.call_wave(context(), Some(&bad_contract), "grow-or-fail", "15").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert!(error.message.contains("refused memory over its limit of 1 MiB"), "{error}");
}

/// Each instance has less than one may have, and another one would be too much.
#[tokio::test]
async fn all_instances_of_a_component_together_have_no_more_than_its_share() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { memory_together: 3 * (64 << 10), ..Limits::default() };
    let bad = actor_with(&component(&engine, &wat::bad()), "t/bad", &node, limits).unwrap();
    let bad_contract = contract("test:bad/bad");
    let fine = || bad.call_values(context(), &bad_contract, "fine", &[]);
    // It begins with two pages of 64 KiB.
    let spin = bad.call_values(within(Duration::from_secs(1)), &bad_contract, "spin", &[]);
    let other = async {
        while bad.in_flight() == 0 || engine.live_instances() != Some(1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fine().await
    };
    let (spun, other) = tokio::join!(spin, other);
    assert_eq!(spun.unwrap_err().kind, ErrorKind::Deadline);
    let error = other.unwrap_err();
    assert!(error.message.contains("what all of its instances may have together"), "{error}");
    // What is gone gives back what it had.
    for _ in 0..3 {
        fine().await.unwrap();
    }
}

#[tokio::test]
async fn a_component_that_needs_more_than_its_limit_does_not_start() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { memory: 64 << 10, ..Limits::default() };
    let bad = actor_with(&component(&engine, &wat::bad()), "t/bad", &node, limits).unwrap();
    let error =
        bad.call_values(context(), &contract("test:bad/bad"), "fine", &[]).await.unwrap_err();
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

/// Set in the child process of a test.
const CHILD: &str = "WATTLE_TEST_CHILD";

/// A process that may have no more than 4 GB of addresses, where the default pool needs 64.
#[cfg(unix)]
#[tokio::test]
async fn on_a_small_machine_components_run_without_a_pool() {
    if std::env::var_os(CHILD).is_some() {
        let engine = wattle_runtime::Engine::new(wattle_runtime::EngineConfig::default()).unwrap();
        let allocator = engine.allocator();
        assert!(matches!(allocator, wattle_runtime::Allocator::OnDemand { .. }), "{allocator:?}");
        let node = Node::new();
        let bad = actor(&component(&engine, &wat::bad()), "t/bad", &node);
        let bad_contract = contract("test:bad/bad");
        let fine = bad.call_values(context(), &bad_contract, "fine", &[]).await;
        assert_eq!(fine.unwrap(), [Val::U32(7)]);
        let grown = bad.call_wave(context(), Some(&bad_contract), "grow", "1000").await;
        assert_eq!(grown.unwrap(), "2");
        let grown = bad.call_wave(context(), Some(&bad_contract), "grow", "1023").await;
        assert_eq!(grown.unwrap(), "-1", "the limit of 64 MiB holds here, too");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let status = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 4000000 && exec \"$0\" --exact \"$1\" --test-threads 1"])
        .arg(this)
        .arg("on_a_small_machine_components_run_without_a_pool")
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

/// A list that is small in the component's memory and many times larger outside of it.
#[tokio::test]
async fn a_huge_list_is_not_taken_over_by_the_host() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { output: 1 << 20, ..Limits::default() };
    let list = actor_with(&component(&engine, &wat::hostile()), "t/list", &node, limits).unwrap();
    let hostile = contract("test:hostile/hostile");
    let get = async |count| list.call_values(context(), &hostile, "list", &[Val::U32(count)]).await;
    assert!(matches!(&get(1_000).await.unwrap()[..], [Val::List(all)] if all.len() == 1_000));
    let error = get(1_000_000).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert!(error.message.contains("1 MiB at once, its limit"), "{error}");
    assert_eq!(get(5).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_flood_of_host_calls_ends_and_is_named() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { host_calls: 1_000, ..Limits::default() };
    let flood = actor_with(&component(&engine, &wat::hostile()), "t/flood", &node, limits).unwrap();
    let hostile = contract("test:hostile/hostile");
    let ask = async |calls| flood.call_values(context(), &hostile, "ask", &[Val::U32(calls)]).await;
    ask(500).await.unwrap();
    let error = ask(u32::MAX).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert!(error.message.contains("more than 1000 times a second"), "{error}");
    ask(500).await.unwrap();
}

/// What is compiled in another process runs here, and what takes too long there is given up: once.
#[tokio::test]
async fn compiling_is_bounded() {
    let slow = wattle_runtime::CompilerProcess {
        program: "/bin/sleep".into(),
        args: vec!["60".into()],
        time: Duration::from_millis(300),
    };
    let config = wattle_runtime::EngineConfig {
        instances: 4,
        compiler: Some(slow),
        ..wattle_runtime::EngineConfig::default()
    };
    let engine = wattle_runtime::Engine::new(config).unwrap();
    let bytes = wat::bad();
    let digest = wattle_contracts::id::Digest::of(&bytes);
    for _ in 0..2 {
        let begun = Instant::now();
        let load = wattle_runtime::Component::load(&engine, &digest, &bytes);
        let error = load.err().unwrap().to_string();
        assert!(error.contains("longer than 300ms"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    // The process that does it, without the process.
    let mut asked = (64u64 << 20).to_le_bytes().to_vec();
    asked.extend(&bytes);
    let mut answer = Vec::new();
    wattle_runtime::serve_compiler(&mut asked.as_slice(), &mut answer).unwrap();
    assert!(answer.len() > 1000 && answer[0] == 0);
    answer.clear();
    asked.extend([0xff; 9]);
    wattle_runtime::serve_compiler(&mut asked.as_slice(), &mut answer).unwrap();
    assert_eq!(answer[0], 1, "{}", String::from_utf8_lossy(&answer));
}

/// Which proposals are on is written down in docs/decisions/0017; this is the other half of it.
#[test]
fn proposals_that_are_off_are_refused() {
    let engine = engine();
    let load = |text: &str| {
        let bytes = ::wat::parse_str(format!("(component (core module {text}))")).unwrap();
        let digest = wattle_contracts::id::Digest::of(&bytes);
        wattle_runtime::Component::load(&engine, &digest, &bytes).map(drop)
    };
    for on in [
        "(memory 1) (memory 1)",
        "(func (result i32 i32) i32.const 1 i32.const 2)",
        "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)))",
        "(func (result v128) (v128.const i32x4 0 0 0 0))",
        "(func $f (return_call $f))",
    ] {
        load(on).unwrap_or_else(|error| panic!("{on}: {error}"));
    }
    for off in [
        "(memory i64 1)",
        "(memory 1 2 shared)",
        "(type (struct (field i32)))",
        "(tag)",
        "(memory 1 (pagesize 1))",
        "(func (param i64 i64 i64 i64) (result i64 i64)
            (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))",
        "(func (param v128 v128) (result v128)
            (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))",
    ] {
        assert!(load(off).is_err(), "{off}");
    }
}
