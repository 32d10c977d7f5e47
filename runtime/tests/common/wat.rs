//! Components as text.

/// A memory, and an allocator that never frees: instances live for one call.
const HEAP: &str = r#"
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 1024))
    (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get 2))))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (block $fits
            (br_if $fits (i32.le_u
                (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
            (br_if $fits (i32.ne (i32.const -1) (memory.grow
                (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1)))))
            unreachable)
        (local.get $at))
"#;

/// One record with every kind of value. It has more than sixteen parts, so that it is passed as
/// a pointer, and the same pointer is the result.
const EVERYTHING: &str = r#"
    (record
        (field "yes" bool) (field "a" s8) (field "b" u8) (field "c" s16) (field "d" u16)
        (field "e" s32) (field "f" u32) (field "g" s64) (field "h" u64)
        (field "i" f32) (field "j" f64) (field "k" char) (field "l" string)
        (field "bytes" (list u8)) (field "list" (list $point)) (field "tuple" (tuple u8 string))
        (field "shape" $shape) (field "colour" $colour) (field "maybe" (option u32))
        (field "outcome" (result u32 (error string))) (field "marks" $marks))
"#;

const NAMED: [(&str, &str); 4] = [
    ("point", r#"(record (field "x" s32) (field "y" s32))"#),
    ("shape", r#"(variant (case "dot") (case "circle" f32) (case "path" (list $point)))"#),
    ("colour", r#"(enum "red" "green" "blue")"#),
    ("marks", r#"(flags "new" "used" "sold")"#),
];

/// A value of it, as WAVE writes it.
pub const EVERYTHING_VALUE: &str = r#"{yes: true, a: -1, b: 255, c: -30000, d: 60000, e: -2000000000, f: 4000000000, g: -9000000000000000000, h: 18000000000000000000, i: 1.5, j: -0.25, k: 'é', l: "wattle \"and\" daub", bytes: [0, 1, 255], list: [{x: 1, y: -1}, {x: 2, y: -2}], tuple: (7, "seven"), shape: path([{x: 3, y: 4}]), colour: green, maybe: some(42), outcome: err("no"), marks: {new, sold}}"#;

fn bytes(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Exports `test:count/count` with `next: func(limit: u32) -> u32`, which counts the calls of its
/// instance and traps beyond the limit.
pub fn count() -> Vec<u8> {
    bytes(
        r#"(component
            (core module $m
                (global $calls (mut i32) (i32.const 0))
                (func (export "next") (param $limit i32) (result i32)
                    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                    (if (i32.gt_u (global.get $calls) (local.get $limit)) (then unreachable))
                    (global.get $calls)))
            (core instance $i (instantiate $m))
            (func $f (param "limit" u32) (result u32) (canon lift (core func $i "next")))
            (instance $e (export "next" (func $f)))
            (export "test:count/count" (instance $e)))"#,
    )
}

/// Exports `test:echo/echo@VERSION` with `pass: func(v: everything) -> everything`.
pub fn echo_everything(version: &str) -> Vec<u8> {
    let mut types = String::new();
    let mut exports = String::new();
    for (name, ty) in NAMED.into_iter().chain([("everything", EVERYTHING)]) {
        types +=
            &format!("(type ${name}-type {ty})\n(export ${name} \"{name}\" (type ${name}-type))\n");
        exports += &format!("(export \"{name}\" (type ${name}))\n");
    }
    bytes(&format!(
        r#"(component
            (core module $m {HEAP}
                (func (export "echo") (param i32) (result i32) (local.get 0)))
            (core instance $i (instantiate $m))
            {types}
            (func $f (param "v" $everything) (result $everything)
                (canon lift (core func $i "echo")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (instance $e {exports} (export "pass" (func $f)))
            (export "test:echo/echo@{version}" (instance $e)))"#
    ))
}

/// Imports `test:echo/echo@VERSION`, and exports `test:relay/relay` which passes its argument on.
pub fn relay_everything(version: &str) -> Vec<u8> {
    let mut import = String::new();
    let mut aliases = String::new();
    let mut exports = String::new();
    for (name, ty) in NAMED.into_iter().chain([("everything", EVERYTHING)]) {
        import += &format!(
            "(type ${name}-type {ty})\n(export \"{name}\" (type ${name} (eq ${name}-type)))\n"
        );
        aliases += &format!("(alias export $echo \"{name}\" (type ${name}))\n");
        exports += &format!("(export \"{name}\" (type ${name}))\n");
    }
    bytes(&format!(
        r#"(component
            (import "test:echo/echo@{version}" (instance $echo {import}
                (export "pass" (func (param "v" $everything) (result $everything)))))
            {aliases}
            (core module $heap {HEAP})
            (core instance $h (instantiate $heap))
            (core func $out (canon lower (func $echo "pass")
                (memory (core memory $h "memory")) (realloc (core func $h "realloc"))))
            (core module $m
                (import "" "out" (func $out (param i32 i32)))
                (import "" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
                (func (export "relay") (param i32) (result i32)
                    (local $result i32)
                    (local.set $result (call $realloc
                        (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 1024)))
                    (call $out (local.get 0) (local.get $result))
                    (local.get $result)))
            (core instance $i (instantiate $m (with "" (instance
                (export "out" (func $out)) (export "realloc" (func $h "realloc"))))))
            (func $f (param "v" $everything) (result $everything)
                (canon lift (core func $i "relay")
                    (memory (core memory $h "memory")) (realloc (core func $h "realloc"))))
            (instance $e {exports} (export "pass" (func $f)))
            (export "test:relay/relay" (instance $e)))"#
    ))
}

/// Exports `test:bad/bad`: each of its functions goes wrong in another way.
pub fn bad() -> Vec<u8> {
    bytes(&format!(
        r#"(component
            (core module $m {HEAP}
                (func $inner unreachable)
                (func $fail (export "fail") (call $inner))
                (func (export "spin") (loop $again (br $again)))
                (func $recurse (export "recurse") (param i32) (result i32)
                    (i32.add (i32.const 1) (call $recurse (local.get 0))))
                (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
                (func (export "grow-or-fail") (param i32)
                    (if (i32.eq (i32.const -1) (memory.grow (local.get 0))) (then unreachable)))
                (func (export "fine") (result i32) (i32.const 7)))
            (core instance $i (instantiate $m))
            (func $fail (canon lift (core func $i "fail")))
            (func $spin (canon lift (core func $i "spin")))
            (func $recurse (param "x" u32) (result u32) (canon lift (core func $i "recurse")))
            (func $grow (param "pages" u32) (result s32) (canon lift (core func $i "grow")))
            (func $grow-or-fail (param "pages" u32) (canon lift (core func $i "grow-or-fail")))
            (func $fine (result u32) (canon lift (core func $i "fine")))
            (instance $e
                (export "fail" (func $fail)) (export "spin" (func $spin))
                (export "recurse" (func $recurse)) (export "grow" (func $grow))
                (export "grow-or-fail" (func $grow-or-fail)) (export "fine" (func $fine)))
            (export "test:bad/bad" (instance $e))
            (export "fine" (func $fine)))"#
    ))
}

/// Exports `test:hostile/hostile`: `list: func(count: u32) -> list<string>`, all of them empty, and
/// `ask: func(calls: u32)`, which asks the host for the time so often.
pub fn hostile() -> Vec<u8> {
    bytes(
        r#"(component
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (export "now" (func (result u64)))))
            (core func $now (canon lower (func $clock "now")))
            (core module $m
                (import "" "now" (func $now (result i64)))
                (memory (export "memory") 200)
                (func (export "list") (param $count i32) (result i32)
                    (i32.store (i32.const 0) (i32.const 16))
                    (i32.store (i32.const 4) (local.get $count))
                    (i32.const 0))
                (func (export "ask") (param $left i32)
                    (loop $again
                        (drop (call $now))
                        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                        (br_if $again (local.get $left)))))
            (core instance $i (instantiate $m
                (with "" (instance (export "now" (func $now))))))
            (alias core export $i "memory" (core memory $memory))
            (func $list (param "count" u32) (result (list string))
                (canon lift (core func $i "list") (memory $memory)))
            (func $ask (param "calls" u32) (canon lift (core func $i "ask")))
            (instance $e (export "list" (func $list)) (export "ask" (func $ask)))
            (export "test:hostile/hostile" (instance $e)))"#,
    )
}

/// Imports `FROM` with `next: func(x: u32) -> u32`, and exports `TO` with the same, which calls
/// it `times` times, adding one each time.
pub fn step(from: &str, to: &str, times: u32) -> Vec<u8> {
    bytes(&format!(
        r#"(component
            (import "{from}" (instance $from
                (export "next" (func (param "x" u32) (result u32)))))
            (core func $next (canon lower (func $from "next")))
            (core module $m
                (import "" "next" (func $next (param i32) (result i32)))
                (func (export "next") (param $x i32) (result i32)
                    (local $left i32)
                    (local.set $left (i32.const {times}))
                    (loop $again
                        (local.set $x (i32.add (i32.const 1) (call $next (local.get $x))))
                        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                        (br_if $again (local.get $left)))
                    (local.get $x)))
            (core instance $i (instantiate $m (with "" (instance (export "next" (func $next))))))
            (func $f (param "x" u32) (result u32) (canon lift (core func $i "next")))
            (instance $e (export "next" (func $f)))
            (export "{to}" (instance $e)))"#
    ))
}

/// Exports `TO` with `next: func(x: u32) -> u32`, which gives its argument back.
pub fn last(to: &str) -> Vec<u8> {
    bytes(&format!(
        r#"(component
            (core module $m (func (export "next") (param i32) (result i32) (local.get 0)))
            (core instance $i (instantiate $m))
            (func $f (param "x" u32) (result u32) (canon lift (core func $i "next")))
            (instance $e (export "next" (func $f)))
            (export "{to}" (instance $e)))"#
    ))
}

/// Imports whatever `imports` says and does nothing.
pub fn importing(imports: &str) -> Vec<u8> {
    bytes(&format!("(component {imports})"))
}

/// Logs through `wasi:logging/logging` without a version when `say` is called.
pub fn logging() -> Vec<u8> {
    bytes(&format!(
        r#"(component
            (import "wasi:logging/logging" (instance $logging
                (type $level-type (enum "trace" "debug" "info" "warn" "error" "critical"))
                (export "level" (type $level (eq $level-type)))
                (export "log" (func
                    (param "level" $level) (param "context" string) (param "message" string)))))
            (core module $heap {HEAP})
            (core instance $h (instantiate $heap))
            (core func $log (canon lower (func $logging "log") (memory (core memory $h "memory"))))
            (core module $m
                (import "" "memory" (memory 1))
                (import "" "log" (func $log (param i32 i32 i32 i32 i32)))
                (data (i32.const 0) "shophello")
                (func (export "say")
                    (call $log (i32.const 3)
                        (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 5))))
            (core instance $i (instantiate $m (with "" (instance
                (export "log" (func $log)) (export "memory" (memory $h "memory"))))))
            (func $say (canon lift (core func $i "say")))
            (export "say" (func $say)))"#
    ))
}

/// The text of a component that exports `bench:echo/echo` with `echo: func(list<u8>) -> list<u8>`.
fn bytes_echo_text(name: &str) -> String {
    format!(
        r#"(component {name}
            (core module $m {HEAP}
                (func (export "echo") (param i32 i32) (result i32)
                    (i32.store (i32.const 0) (local.get 0))
                    (i32.store (i32.const 4) (local.get 1))
                    (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $f (param "payload" (list u8)) (result (list u8))
                (canon lift (core func $i "echo")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (instance $e (export "echo" (func $f)))
            (export "bench:echo/echo" (instance $e)))"#
    )
}

/// The text of a component that passes calls on to it.
fn bytes_relay_text(name: &str) -> String {
    format!(
        r#"(component {name}
            (import "bench:echo/echo" (instance $echo
                (export "echo" (func (param "payload" (list u8)) (result (list u8))))))
            (core module $heap {HEAP})
            (core instance $h (instantiate $heap))
            (core func $out (canon lower (func $echo "echo")
                (memory (core memory $h "memory")) (realloc (core func $h "realloc"))))
            (core module $m
                (import "" "out" (func $out (param i32 i32 i32)))
                (func (export "relay") (param i32 i32) (result i32)
                    (call $out (local.get 0) (local.get 1) (i32.const 0))
                    (i32.const 0)))
            (core instance $i (instantiate $m (with "" (instance (export "out" (func $out))))))
            (func $f (param "payload" (list u8)) (result (list u8))
                (canon lift (core func $i "relay")
                    (memory (core memory $h "memory")) (realloc (core func $h "realloc"))))
            (instance $e (export "relay" (func $f)))
            (export "bench:relay/relay" (instance $e)))"#
    )
}

/// Exports `bench:echo/echo`.
pub fn bytes_echo() -> Vec<u8> {
    bytes(&bytes_echo_text(""))
}

/// Imports `bench:echo/echo` and exports `bench:relay/relay`.
pub fn bytes_relay() -> Vec<u8> {
    bytes(&bytes_relay_text(""))
}

/// The two of them composed ahead of time.
pub fn composed() -> Vec<u8> {
    let (echo, relay) = (bytes_echo_text("$echo-c"), bytes_relay_text("$relay-c"));
    bytes(&format!(
        r#"(component {echo} {relay}
            (instance $echo (instantiate $echo-c))
            (alias export $echo "bench:echo/echo" (instance $echo-i))
            (instance $relay (instantiate $relay-c (with "bench:echo/echo" (instance $echo-i))))
            (alias export $relay "bench:relay/relay" (instance $relay-i))
            (export "bench:relay/relay" (instance $relay-i)))"#
    ))
}

/// A subscriber (`wattle:messaging/incoming-handler`) that calls `next` of `FROM` for each message.
pub fn handler(from: &str) -> Vec<u8> {
    bytes(&format!(
        r#"(component
            (import "{from}" (instance $from
                (export "next" (func (param "x" u32) (result u32)))))
            (core func $next (canon lower (func $from "next")))
            (core module $m
                (import "" "next" (func $next (param i32) (result i32)))
                {HEAP}
                (func (export "handle") (param i32 i32 i32 i32 i32 i32 i32 i64) (result i32)
                    (drop (call $next (i32.const 1)))
                    (i32.const 0)))
            (core instance $i (instantiate $m (with "" (instance (export "next" (func $next))))))
            (type $id-type (record (field "publisher" string) (field "sequence" u64)))
            (export $id "message-id" (type $id-type))
            (type $message-type (record
                (field "subject" string) (field "body" (list u8)) (field "id" (option $id))))
            (export $message "message" (type $message-type))
            (func $f (param "message" $message) (result (result (error string)))
                (canon lift (core func $i "handle")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (instance $e
                (export "message-id" (type $id)) (export "message" (type $message))
                (export "handle" (func $f)))
            (export "wattle:messaging/incoming-handler@0.1.0" (instance $e)))"#
    ))
}
