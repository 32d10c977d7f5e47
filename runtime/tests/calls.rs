//! Calls between components: same node, another node, and what stands in the way.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::call::{CallError, ErrorKind};
use wattle_runtime::{BindError, CallContext, Limits, LogLevel, Val};

use crate::common::{
    Link, Loopback, Node, Silence, actor, actor_with, component, context, contract, engine, wat,
    within,
};

/// A relay linked to an echo, on the same node or behind an encoding.
async fn relayed(link: impl FnOnce(Arc<wattle_runtime::Actor>) -> Link) -> String {
    let (engine, node) = (engine(), Node::new());
    let echo = actor(&component(&engine, &wat::echo_everything("1.2.0")), "test/echo", &node);
    // Built against an older version of the contract than the one it gets.
    let relay = actor(&component(&engine, &wat::relay_everything("1.0.0")), "test/relay", &node);
    node.link("test:echo/echo@1.0.0", link(echo));
    let relay_contract = contract("test:relay/relay");
    let value = wat::EVERYTHING_VALUE;
    relay.call_wave(context(), Some(&relay_contract), "pass", value).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_value_passes_between_two_components_of_a_node() {
    assert_eq!(relayed(Link::Local).await, wat::EVERYTHING_VALUE);
}

#[tokio::test]
async fn every_kind_of_value_passes_to_another_node_and_back() {
    let result = relayed(|echo| Link::Remote(Arc::new(Loopback(echo)))).await;
    assert_eq!(result, wat::EVERYTHING_VALUE);
}

#[tokio::test]
async fn a_missing_link_is_named_and_a_new_one_is_used_at_once() {
    let (engine, node) = (engine(), Node::new());
    let step = actor(&component(&engine, &wat::step("t:b/b", "t:a/a", 1)), "test/step", &node);
    let last = actor(&component(&engine, &wat::last("t:b/b")), "test/last", &node);
    let call = || step.call_values(context(), &A, "next", &[Val::U32(1)]);
    static A: std::sync::LazyLock<wattle_contracts::id::ContractId> =
        std::sync::LazyLock::new(|| contract("t:a/a"));

    let error = call().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotLinked);
    assert!(error.message.contains("test/step has no link for t:b/b"), "{error}");

    node.link("t:b/b", Link::Local(last));
    assert_eq!(call().await.unwrap(), [Val::U32(2)]);
}

#[tokio::test]
async fn the_first_caller_sees_why_a_far_target_failed() {
    let (engine, node) = (engine(), Node::new());
    let first = actor(&component(&engine, &wat::step("t:b/b", "t:a/a", 1)), "test/first", &node);
    let second = actor(&component(&engine, &wat::step("t:c/c", "t:b/b", 1)), "test/second", &node);
    node.link("t:b/b", Link::Local(second));
    let unreachable = CallError::new(ErrorKind::Unreachable, "no way to node C");
    node.link("t:c/c", Link::Broken(unreachable.clone()));
    let error = first.call_values(context(), &contract("t:a/a"), "next", &[Val::U32(1)]).await;
    assert_eq!(error.unwrap_err(), unreachable);
}

#[tokio::test]
async fn components_that_call_each_other_in_circles_are_stopped() {
    let (engine, node) = (engine(), Node::new());
    let circle = actor(&component(&engine, &wat::step("t:a/a", "t:a/a", 1)), "test/circle", &node);
    node.link("t:a/a", Link::Local(circle.clone()));
    let error = circle.call_values(context(), &contract("t:a/a"), "next", &[Val::U32(1)]).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotAllowed);
    assert!(error.message.contains("circles"), "{error}");
    assert_eq!(circle.in_flight(), 0);
    assert_eq!(engine.live_instances(), Some(0));
}

#[tokio::test]
async fn a_call_may_make_only_so_many_calls() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { outbound: 5, ..Limits::default() };
    let greedy = component(&engine, &wat::step("t:b/b", "t:a/a", 6));
    let greedy = actor_with(&greedy, "test/greedy", &node, limits).unwrap();
    node.link("t:b/b", Link::Local(actor(&component(&engine, &wat::last("t:b/b")), "t/l", &node)));
    let error = greedy.call_values(context(), &contract("t:a/a"), "next", &[Val::U32(1)]).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    assert!(error.message.contains("more than 5 calls"), "{error}");
}

#[tokio::test]
async fn a_callee_with_another_definition_is_refused_on_this_node_and_on_another() {
    let (engine, node) = (engine(), Node::new());
    let step = actor(&component(&engine, &wat::step("test:bad/bad", "t:a/a", 1)), "t/step", &node);
    // `next` of the callee takes a string.
    let callee = ::wat::parse_str(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8))
                (func (export "next") (param i32 i32) (result i32) (i32.const 1)))
            (core instance $i (instantiate $m))
            (func $f (param "x" string) (result u32) (canon lift (core func $i "next")
                (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (instance $e (export "next" (func $f)))
            (export "test:bad/bad" (instance $e)))"#,
    );
    let callee = actor(&component(&engine, &callee.unwrap()), "t/callee", &node);
    for link in [Link::Local(callee.clone()), Link::Remote(Arc::new(Loopback(callee)))] {
        node.link("test:bad/bad", link);
        let error = step.call_values(context(), &contract("t:a/a"), "next", &[Val::U32(1)]).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotLinked);
        assert!(error.message.contains("another definition"), "{error}");
    }
}

#[tokio::test]
async fn a_dropped_call_frees_its_instance_at_once() {
    let (engine, node) = (engine(), Node::new());
    let step = actor(&component(&engine, &wat::step("t:b/b", "t:a/a", 1)), "t/step", &node);
    let silence = Arc::new(Silence::default());
    node.link("t:b/b", Link::Remote(silence.clone()));
    let call_contract = contract("t:a/a");
    let mut call = Box::pin(step.call_values(context(), &call_contract, "next", &[Val::U32(1)]));
    tokio::select! {
        _ = &mut call => panic!("nobody answers"),
        () = silence.asked.notified() => {}
    }
    assert_eq!(engine.live_instances(), Some(1));
    assert_eq!(step.in_flight(), 1);
    drop(call);
    assert_eq!(engine.live_instances(), Some(0));
    assert_eq!(step.in_flight(), 0);
}

#[tokio::test]
async fn one_call_too_many_is_refused_at_once() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { concurrency: 1, ..Limits::default() };
    let step = component(&engine, &wat::step("t:b/b", "t:a/a", 1));
    let step = actor_with(&step, "t/step", &node, limits).unwrap();
    let silence = Arc::new(Silence::default());
    node.link("t:b/b", Link::Remote(silence.clone()));
    let call_contract = contract("t:a/a");
    let call = || step.call_values(context(), &call_contract, "next", &[Val::U32(1)]);
    let mut first = Box::pin(call());
    tokio::select! {
        _ = &mut first => panic!("nobody answers"),
        () = silence.asked.notified() => {}
    }
    let error = call().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded);
    assert!(error.message.contains("busy with 1 calls"), "{error}");
    drop(first);
    assert_eq!(step.in_flight(), 0);
}

#[tokio::test]
async fn waiting_for_an_answer_ends_with_the_deadline() {
    let (engine, node) = (engine(), Node::new());
    let step = actor(&component(&engine, &wat::step("t:b/b", "t:a/a", 1)), "t/step", &node);
    node.link("t:b/b", Link::Remote(Arc::new(Silence::default())));
    let soon = within(Duration::from_millis(50));
    let error = step.call_values(soon, &contract("t:a/a"), "next", &[Val::U32(1)]).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Deadline);
    let late = CallContext { deadline: tokio::time::Instant::now(), ..context() };
    let error = step.call_values(late, &contract("t:a/a"), "next", &[Val::U32(1)]).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Deadline);
    assert_eq!(engine.live_instances(), Some(0));
}

#[tokio::test]
async fn an_unknown_function_is_answered_with_what_there_is() {
    let (engine, node) = (engine(), Node::new());
    let last = actor(&component(&engine, &wat::last("t:b/b@1.0.0")), "t/last", &node);
    for (wanted, function) in [("t:b/b@2.0.0", "next"), ("t:b/b@1.0.0", "previous")] {
        let error =
            last.call_values(context(), &contract(wanted), function, &[]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotLinked);
        assert!(error.message.contains("it has t:b/b@1.0.0#next"), "{error}");
    }
}

#[tokio::test]
async fn text_that_is_no_argument_is_explained() {
    let (engine, node) = (engine(), Node::new());
    let last = actor(&component(&engine, &wat::last("t:b/b")), "t/last", &node);
    let call_contract = contract("t:b/b");
    let call = |text| last.call_wave(context(), Some(&call_contract), "next", text);
    assert_eq!(call("5").await.unwrap(), "5");
    assert_eq!(call("(5)").await.unwrap(), "5");
    for bad in ["", "-5", "\"five\"", "5, 6", "(", "%"] {
        let error = call(bad).await.unwrap_err();
        assert!(error.message.contains("it takes (x)"), "{bad}: {error}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_arguments_never_reach_the_component() {
    let (engine, node) = (engine(), Node::new());
    let last = actor(&component(&engine, &wat::last("t:b/b")), "t/last", &node);
    let error = last.call(context(), &contract("t:b/b"), "next", &[1, 2, 3]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    let error = last.call(context(), &contract("t:b/b"), "next", &[0; 9]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotLinked);
}

#[tokio::test]
async fn logging_works_also_without_a_version() {
    let (engine, node) = (engine(), Node::new());
    let logging = actor(&component(&engine, &wat::logging()), "t/logging", &node);
    assert_eq!(logging.call_wave(context(), None, "say", "").await.unwrap(), "");
    assert_eq!(node.logged(), [(LogLevel::Warn, "shop".into(), "hello".into())]);
}

#[test]
fn an_import_that_cannot_be_linked_is_named() {
    let (engine, node) = (engine(), Node::new());
    let refused = |imports: &str| {
        let component = component(&engine, &wat::importing(imports));
        actor_with(&component, "t/importer", &node, Limits::default()).unwrap_err()
    };

    let error =
        refused(r#"(import "a:blobs/blobs" (instance (export "blob" (type (sub resource)))))"#);
    assert!(matches!(error, BindError::Handle { .. }));
    let text = error.to_string();
    assert!(text.contains("a:blobs/blobs") && text.contains("`blob`"), "{text}");
    assert!(text.contains("wasi:keyvalue") && text.contains("wasi:http"), "{text}");

    let error = refused(r#"(import "run" (func))"#);
    assert!(matches!(error, BindError::NotAnInterface { .. }), "{error}");

    let error = refused(r#"(import "wasi:keyvalue/store@0.2.0-draft2" (instance))"#);
    assert!(matches!(error, BindError::Version { available: "0.2.0-draft", .. }), "{error}");

    let error = refused(
        r#"(import "wasi:random/random@0.2.0" (instance (export "get-dice" (func (result u8)))))"#,
    );
    assert!(error.to_string().contains("get-dice"), "{error}");
}

#[test]
fn two_versions_of_one_host_interface_can_be_imported() {
    let (engine, node) = (engine(), Node::new());
    let random = |version| {
        format!(
            r#"(import "wasi:random/random@{version}" (instance (export "get-random-u64" (func (result u64)))))"#
        )
    };
    let component = component(&engine, &wat::importing(&(random("0.2.0") + &random("0.2.6"))));
    actor_with(&component, "t/random", &node, Limits::default()).unwrap();
}

#[test]
fn a_memory_limit_over_that_of_the_engine_is_refused() {
    let (engine, node) = (engine(), Node::new());
    let limits = Limits { memory: 1 << 30, ..Limits::default() };
    let error = actor_with(&component(&engine, &wat::bad()), "t/bad", &node, limits).unwrap_err();
    assert!(error.to_string().contains("1024 MiB"), "{error}");
}
