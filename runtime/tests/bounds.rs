//! What one component may take of what it shares with others, and of what the host holds for it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::Duration;

use wattle_contracts::call::{ErrorKind, Source};
use wattle_contracts::id::Digest;
use wattle_contracts::record::LimitSpec;
use wattle_runtime::{Actor, CallContext, Component, Engine, EngineConfig, Limits};

use crate::common::{Node, actor, actor_with, component, context, engine, wat};

fn bytes(text: &str) -> Vec<u8> {
    ::wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Exports `f`, which gives 7, of a module with `parts` and of so many instances of it.
fn of(parts: &str, instances: usize) -> Vec<u8> {
    let more = "(core instance (instantiate $m))".repeat(instances - 1);
    bytes(&format!(
        r#"(component
            (core module $m {parts} (func (export "f") (result i32) (i32.const 7)))
            (core instance $i (instantiate $m))
            {more}
            (func $f (result u32) (canon lift (core func $i "f")))
            (export "f" (func $f)))"#
    ))
}

async fn f(
    actor: &Actor,
    context: CallContext,
) -> Result<String, wattle_contracts::call::CallError> {
    actor.call_wave(context, None, "f", "").await
}

/// Refused as soon as it is loaded where there is a pool, and when it is called where there is none.
#[tokio::test]
async fn more_tables_memories_or_core_instances_than_there_may_be_are_refused_and_named() {
    let engine = engine();
    let config = EngineConfig { deterministic: true, ..EngineConfig::default() };
    let (without_pool, node) = (Engine::new(config).unwrap(), Node::new());
    let untimed = || CallContext::untimed(Source::Operator);
    for (part, most, what) in
        [("(table 1 funcref)", 8, "table"), ("(memory 1)", 4, "memor"), ("", 64, "instance")]
    {
        let with = |count: usize| match part.is_empty() {
            true => of("", count),
            false => of(&part.repeat(count), 1),
        };
        let most_of_it = with(most);
        assert_eq!(
            f(&actor(&component(&engine, &most_of_it), "t/t", &node), context()).await.unwrap(),
            "7"
        );
        let alone = actor(&component(&without_pool, &most_of_it), "t/t", &node);
        assert_eq!(f(&alone, untimed()).await.unwrap(), "7");

        let too_many = with(most + 1);
        let refused = Component::load(&engine, &Digest::of(&too_many), &too_many);
        let why = refused.err().unwrap().to_string();
        assert!(why.contains(what) && why.contains(&(most + 1).to_string()), "{why}");
        let alone = actor(&component(&without_pool, &too_many), "t/t", &node);
        let error = f(&alone, untimed()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Trapped);
        let says = error.message.contains(what) && error.message.contains("limit exceeded");
        assert!(says, "{error}");
    }
    // Nothing of it is left, and others are served.
    assert_eq!(engine.live_instances(), Some(0));
    let fine = actor(&component(&engine, &of("", 1)), "t/fine", &node);
    assert_eq!(f(&fine, context()).await.unwrap(), "7");
}

#[tokio::test]
async fn tables_grow_to_their_limit_all_together() {
    let (engine, node) = (engine(), Node::new());
    let table = bytes(
        r#"(component
            (core module $m
                (table $a 10 funcref) (table $b 10 funcref)
                (func (export "grow") (param $more i32) (result i32)
                    (table.grow $a (ref.null func) (local.get $more)))
                (func (export "both") (param $more i32) (result i32)
                    (drop (table.grow $a (ref.null func) (local.get $more)))
                    (table.grow $b (ref.null func) (local.get $more))))
            (core instance $i (instantiate $m))
            (func $grow (param "more" u32) (result s32) (canon lift (core func $i "grow")))
            (func $both (param "more" u32) (result s32) (canon lift (core func $i "both")))
            (export "grow" (func $grow))
            (export "both" (func $both)))"#,
    );
    let table = actor(&component(&engine, &table), "t/table", &node);
    let grow = |function, more| table.call_wave(context(), None, function, more);
    assert_eq!(grow("grow", "99980").await.unwrap(), "10");
    assert_eq!(grow("grow", "99981").await.unwrap(), "-1");
    assert_eq!(grow("both", "40000").await.unwrap(), "10");
    assert_eq!(grow("both", "60000").await.unwrap(), "-1");
    // One that begins with more than there may be is not loaded.
    let large = of("(table 100001 funcref)", 1);
    let why = Component::load(&engine, &Digest::of(&large), &large).err().unwrap().to_string();
    assert!(why.contains("100001"), "{why}");
}

/// Exports `hold: func(count: u32)`, which holds so many pollables of a clock.
fn pollables() -> Vec<u8> {
    bytes(
        r#"(component
            (import "wasi:io/poll@0.2.0" (instance $poll
                (export "pollable" (type (sub resource)))))
            (alias export $poll "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (alias outer 1 $pollable (type $outer))
                (export "pollable" (type $p (eq $outer)))
                (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
            (core func $subscribe (canon lower (func $clock "subscribe-duration")))
            (core module $m
                (import "" "subscribe" (func $subscribe (param i64) (result i32)))
                (func (export "hold") (param $left i32)
                    (loop $again
                        (drop (call $subscribe (i64.const 1000000000)))
                        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                        (br_if $again (local.get $left)))))
            (core instance $i (instantiate $m
                (with "" (instance (export "subscribe" (func $subscribe))))))
            (func $hold (param "count" u32) (canon lift (core func $i "hold")))
            (export "hold" (func $hold)))"#,
    )
}

/// They live in the memory of the host. Each of these is two: a sleep, and what waits for it.
#[tokio::test]
async fn resources_of_the_host_end_where_they_are_to_end() {
    let (engine, node) = (engine(), Node::new());
    let holder = actor(&component(&engine, &pollables()), "t/holder", &node);
    let hold = |count| holder.call_wave(context(), None, "hold", count);
    hold("400").await.unwrap();
    for _ in 0..2 {
        let error = hold("1001").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Trapped);
        assert!(error.message.contains("it may hold 1000 streams"), "{error}");
    }
    assert_eq!(engine.live_instances(), Some(0));
    hold("400").await.unwrap();
}

/// Each request would keep one as long as the component's memory, outside of it.
#[tokio::test]
async fn the_method_of_a_request_has_a_longest() {
    let (engine, node) = (engine(), Node::new());
    let methods = bytes(
        r#"(component
            (import "wasi:http/types@0.2.0" (instance $http
                (export "fields" (type $fields (sub resource)))
                (export "outgoing-request" (type $request (sub resource)))
                (type $method-type (variant
                    (case "get") (case "head") (case "post") (case "put") (case "delete")
                    (case "connect") (case "options") (case "trace") (case "patch")
                    (case "other" string)))
                (export "method" (type $method (eq $method-type)))
                (export "[constructor]fields" (func (result (own $fields))))
                (export "[constructor]outgoing-request" (func
                    (param "headers" (own $fields)) (result (own $request))))
                (export "[method]outgoing-request.set-method" (func
                    (param "self" (borrow $request)) (param "method" $method)
                    (result (result))))))
            (core module $memory (memory (export "memory") 4))
            (core instance $heap (instantiate $memory))
            (core func $fields (canon lower (func $http "[constructor]fields")))
            (core func $request (canon lower (func $http "[constructor]outgoing-request")))
            (core func $set (canon lower
                (func $http "[method]outgoing-request.set-method")
                (memory (core memory $heap "memory"))))
            (core module $m
                (import "" "memory" (memory 1))
                (import "" "fields" (func $fields (result i32)))
                (import "" "request" (func $request (param i32) (result i32)))
                (import "" "set" (func $set (param i32 i32 i32 i32) (result i32)))
                (func (export "name") (param $length i32) (result i32)
                    (memory.fill (i32.const 0) (i32.const 65) (local.get $length))
                    (call $set (call $request (call $fields))
                        (i32.const 9) (i32.const 0) (local.get $length))))
            (core instance $i (instantiate $m (with "" (instance
                (export "memory" (memory $heap "memory"))
                (export "fields" (func $fields)) (export "request" (func $request))
                (export "set" (func $set))))))
            (func $name (param "length" u32) (result u32) (canon lift (core func $i "name")))
            (export "name" (func $name)))"#,
    );
    let methods = actor(&component(&engine, &methods), "t/methods", &node);
    let name = |length| methods.call_wave(context(), None, "name", length);
    assert_eq!(name("8").await.unwrap(), "0");
    assert_eq!(name("64").await.unwrap(), "0");
    assert_eq!(name("65").await.unwrap(), "1");
    assert_eq!(name("200000").await.unwrap(), "1");
}

/// Each bucket that is open keeps its own, outside of the component's memory.
#[tokio::test]
async fn the_name_of_a_bucket_has_a_longest() {
    let (engine, node) = (engine(), Node::new());
    let buckets = bytes(
        r#"(component
            (import "wasi:keyvalue/store@0.2.0-draft" (instance $store
                (export "bucket" (type $bucket (sub resource)))
                (type $error-type (variant
                    (case "no-such-store") (case "access-denied") (case "other" string)))
                (export "error" (type $error (eq $error-type)))
                (export "open" (func (param "identifier" string)
                    (result (result (own $bucket) (error $error)))))))
            (core module $heap
                (memory (export "memory") 4)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
            (core instance $heap (instantiate $heap))
            (core func $open (canon lower (func $store "open")
                (memory (core memory $heap "memory"))
                (realloc (core func $heap "realloc"))))
            (core module $m
                (import "" "memory" (memory 1))
                (import "" "open" (func $open (param i32 i32 i32)))
                (func (export "open") (param $length i32) (result i32)
                    (call $open (i32.const 4096) (local.get $length) (i32.const 0))
                    (i32.load8_u (i32.const 0))))
            (core instance $i (instantiate $m (with "" (instance
                (export "memory" (memory $heap "memory")) (export "open" (func $open))))))
            (func $open-it (param "length" u32) (result u32) (canon lift (core func $i "open")))
            (export "open" (func $open-it)))"#,
    );
    let buckets = actor(&component(&engine, &buckets), "t/buckets", &node);
    let open = |length| buckets.call_wave(context(), None, "open", length);
    assert_eq!(open("256").await.unwrap(), "0");
    assert_eq!(open("257").await.unwrap(), "1");
    assert_eq!(open("200000").await.unwrap(), "1");
}

#[test]
fn no_call_may_take_longer_than_an_hour_whatever_is_declared() {
    let limits = Limits { time: Duration::from_secs(1_000_000), ..Limits::default() };
    let last = component(&engine(), &wat::last("t:a/a"));
    let last = actor_with(&last, "t/last", &Node::new(), limits).unwrap();
    assert_eq!(last.limits().time, LimitSpec::MAX_TIME);
}
