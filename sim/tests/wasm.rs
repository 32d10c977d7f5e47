//! Real components in virtual time. They are those of `tests/guests`: `cargo xtask guests`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "wasm/http.rs"]
mod http_requests;

use std::path::Path;
use std::time::Duration;

use wattle_contracts::call::ErrorKind;
use wattle_contracts::id::Digest;
use wattle_contracts::record::{RecordBody, RecordKey};
use wattle_sim::lattice::CallPlan;
use wattle_sim::lattice::happening::Happening;
use wattle_sim::wasm::{Code, CodeError};
use wattle_sim::{Lattice, Options, Outcome, Scenario, Settings, run};

/// A manifest with these guests, each on the nodes of the group of the same name.
fn manifest(components: &[&str], more: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests");
    let component = |name: &&str| {
        let file = folder.join(name).with_extension("wasm");
        assert!(file.is_file(), "there is no {}; run `cargo xtask guests`", file.display());
        format!("[component.{name}]\nwasm = \"{}\"\non = {{ at = \"{name}\" }}\n", file.display())
    };
    let components: String = components.iter().map(component).collect();
    format!("app = \"a\"\n{components}{more}")
}

/// A node for each component, 20 ms apart, and what else a scenario says.
fn scenario(components: &[&str], app: &str, more: &str) -> Scenario {
    let node =
        |name: &&str| format!("[[nodes]]\ngroup = \"{name}\"\nlabels = {{ at = \"{name}\" }}\n");
    let nodes: String = components.iter().map(node).collect();
    let text = format!(
        "name = \"real\"\nrun = \"3min\"\n[mesh.links]\nlatency = \"20ms\"\njitter = \"0ms\"\n\
         {nodes}[[app]]\nmanifest = \"m.toml\"\n{more}"
    );
    let manifest = manifest(components, app);
    Scenario::parse("s.toml", &text, &|_| Ok(("m.toml".into(), manifest.clone())))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A mesh in which the app of a scenario runs.
fn mesh(scenario: &Scenario) -> Lattice {
    let code = Some(Code::load(scenario).unwrap_or_else(|error| panic!("{error}")));
    let outside = scenario.outside.clone();
    let settings = Settings { code, outside, ..Settings::default() };
    let mut mesh = Lattice::new(3, &scenario.nodes, scenario.usual, settings);
    (0..mesh.len()).for_each(|node| mesh.start(node));
    passes(&mut mesh, 20);
    let app = scenario.apps[0].app.clone();
    mesh.edit(0, RecordKey::App(app.name.clone()), RecordBody::App(Box::new(app)));
    passes(&mut mesh, 20);
    mesh
}

fn passes(mesh: &mut Lattice, seconds: u64) {
    let end = mesh.now().plus(Duration::from_secs(seconds));
    mesh.run_until(end);
}

/// What one call does: what the component returned or why not, and how long it took.
#[derive(Debug)]
struct Called {
    /// Of each execution, the callee's first.
    ran: Vec<(String, u64, Result<Digest, ErrorKind>)>,
    ended: Result<(), ErrorKind>,
    micros: u128,
}

fn call(mesh: &mut Lattice, to: &str, function: &str, arguments: &str) -> Called {
    mesh.take_seen();
    let plan = CallPlan {
        from: None,
        to: Some(to.parse().unwrap()),
        contract: "wattle:any".parse().unwrap(),
        function: function.into(),
        bytes: 10,
        arguments: Some(arguments.into()),
        time: Duration::from_secs(5),
    };
    let begun = mesh.now();
    assert!(mesh.call(0, &plan));
    passes(mesh, 10);
    let seen = mesh.take_seen();
    let ran = seen.iter().filter_map(|event| match &event.what {
        Happening::Ran { component, fuel, outcome, .. } => {
            Some((component.to_string(), *fuel, *outcome))
        }
        _ => None,
    });
    // The last to end is the one that was made from outside.
    let ended = seen.iter().rev().find_map(|event| match &event.what {
        Happening::CallEnded { outcome, .. } => Some((event.at, *outcome)),
        _ => None,
    });
    let (at, ended) = ended.unwrap();
    Called { ran: ran.collect(), ended, micros: at.since(begun).as_micros() }
}

const SHOP: &str =
    "[[link]]\nfrom = \"basket\"\ncontract = \"example:shop/pricing\"\nto = \"pricing\"\n";

#[test]
fn a_component_calls_another_one_through_the_mesh_and_its_answer_is_the_real_one() {
    let mut mesh = mesh(&scenario(&["basket", "pricing"], SHOP, ""));
    let called = call(&mut mesh, "a/basket", "cheapest", r#"["tea", "milk"]"#);
    assert_eq!(called.ended, Ok(()), "{called:?}");
    let names: Vec<&str> = called.ran.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["a/pricing", "a/pricing", "a/basket"]);
    let answer = r#"ok(some(("milk", {amount: 129, currency: eur})))"#;
    assert_eq!(called.ran[2].2, Ok(Digest::of(answer.as_bytes())));
    // Two round trips of twice 20 ms, and what was computed besides.
    assert!((80_000..100_000).contains(&called.micros), "{called:?}");
    // What nobody sells is an answer, too; what traps is none, and fails both.
    let called = call(&mut mesh, "a/basket", "cheapest", r#"["unicorn"]"#);
    assert_eq!(called.ended, Ok(()));
    let called = call(&mut mesh, "a/basket", "cheapest", r#"["trap"]"#);
    assert_eq!(called.ended, Err(ErrorKind::Trapped), "{called:?}");
}

#[test]
fn what_is_computed_takes_virtual_time_and_whoever_never_ends_is_given_up() {
    let mut mesh = mesh(&scenario(&["misbehave"], "", ""));
    let short = call(&mut mesh, "a/misbehave", "recurse", "10");
    let long = call(&mut mesh, "a/misbehave", "recurse", "2000");
    assert_eq!((short.ended, long.ended), (Ok(()), Ok(())), "{short:?} {long:?}");
    let (less, more) = (short.ran[0].1, long.ran[0].1);
    assert!(less < more, "{less} {more}");
    let nanos = u128::from(more) * u128::from(wattle_sim::wasm::NANOS_PER_FUEL);
    assert!((nanos / 1000..nanos / 1000 + 1000).contains(&long.micros), "{long:?}");
    let spun = call(&mut mesh, "a/misbehave", "spin", "");
    assert_eq!((spun.ended, spun.micros), (Err(ErrorKind::Deadline), 5_000_000));
    // And the node goes on.
    assert_eq!(call(&mut mesh, "a/misbehave", "recurse", "10").ended, Ok(()));
}

#[test]
fn a_component_sees_the_clocks_of_its_node_and_nothing_else() {
    let link = "[[link]]\nfrom = \"relay\"\ncontract = \"wattle:bench/echo\"\nto = \"echo\"\n";
    let timed = || {
        let mut mesh = mesh(&scenario(&["relay", "echo"], link, ""));
        call(&mut mesh, "a/relay", "timed", "3, [1, 2, 3]")
    };
    let (one, other) = (timed(), timed());
    assert_eq!(one.ended, Ok(()), "{one:?}");
    // It returns how long each of its calls took, by its own clock: were that the machine's, no two
    // runs would be the same.
    assert_eq!(one.ran, other.ran);
    assert_eq!(one.ran.len(), 4);
    assert!((120_000..140_000).contains(&one.micros), "{one:?}");
}

#[test]
fn a_store_is_asked_where_it_is() {
    let app = "[provider.book]\ncontract = \"wasi:keyvalue\"\non = { at = \"echo\" }\n\
               [[link]]\nfrom = \"ledger\"\ncontract = \"wasi:keyvalue\"\nto = \"book\"\n";
    let mut mesh = mesh(&scenario(&["ledger", "echo"], app, ""));
    let called = call(&mut mesh, "a/ledger", "entries", "1, 10");
    assert_eq!(called.ended, Ok(()), "{called:?}");
    assert_eq!(called.ran[0].2, Ok(Digest::of(b"ok([])")));
    assert!((40_000..60_000).contains(&called.micros), "{called:?}");
}

#[test]
fn a_message_that_a_component_publishes_is_handled_by_another_and_what_that_keeps_survives() {
    let app = "[provider.book]\ncontract = \"wasi:keyvalue\"\non = { at = \"ledger\" }\n\
               [provider.news]\ncontract = \"wattle:messaging\"\nsubjects = [\"notes.>\"]\n\
               [[link]]\nfrom = \"ledger\"\ncontract = \"wasi:keyvalue\"\nto = \"book\"\n\
               [[link]]\nfrom = \"announcer\"\ncontract = \"wattle:messaging\"\nto = \"news\"\n\
               [[subscribe]]\ncomponent = \"ledger\"\nsubjects = [\"notes.>\"]\n";
    let mut mesh = mesh(&scenario(&["ledger", "announcer"], app, ""));
    let mut entries = Vec::new();
    for text in ["one", "slow two"] {
        let arguments = format!("\"notes.x\", \"{text}\"");
        // By hand, as the sequence is the message's name.
        mesh.take_seen();
        let plan = CallPlan {
            from: None,
            to: Some("a/announcer".parse().unwrap()),
            contract: "example:messages/announcer@0.1.0".parse().unwrap(),
            function: "keep".into(),
            bytes: 10,
            arguments: Some(arguments.into()),
            time: Duration::from_secs(5),
        };
        assert!(mesh.call(1, &plan));
        passes(&mut mesh, 10);
        let seen = mesh.take_seen();
        let published = seen.iter().find_map(|event| match &event.what {
            Happening::Published { id, .. } => Some((event.at, id.sequence)),
            _ => None,
        });
        let (published, sequence) = published.unwrap_or_else(|| panic!("{seen:?}"));
        let answer = format!("ok({sequence})");
        let ran = seen.iter().find_map(|event| match &event.what {
            Happening::Ran { function, outcome, .. } if function == "keep" => Some(*outcome),
            _ => None,
        });
        assert_eq!(ran, Some(Ok(Digest::of(answer.as_bytes()))));
        let handled = seen.iter().find(|e| matches!(e.what, Happening::Handled { .. })).unwrap();
        let took = handled.at.since(published);
        match text.strip_prefix("slow ") {
            None => assert!(took < Duration::from_secs(1), "{took:?}"),
            Some(rest) => {
                // It sleeps for three seconds, by the node's clock.
                assert!((3..4).contains(&took.as_secs()), "{took:?}");
                entries.push(format!("\"{sequence} notes.x begun {rest}\""));
            }
        }
        entries.push(format!("\"{sequence} notes.x {text}\""));
    }
    // What the ledger has written down is in the store, and on its disk.
    mesh.kill(0);
    passes(&mut mesh, 2);
    mesh.start(0);
    passes(&mut mesh, 20);
    let called = call(&mut mesh, "a/ledger", "entries", "1, 10");
    let answer = format!("ok([{}])", entries.join(", "));
    assert_eq!(called.ran[0].2, Ok(Digest::of(answer.as_bytes())), "{called:?}, not {answer}");

    // What no link allows is refused, and said so.
    let called = call(&mut mesh, "a/announcer", "keep", "\"other.x\", \"text\"");
    let refused = "err(\"not-allowed: no link lets it publish that\")";
    assert_eq!(called.ran[0].2, Ok(Digest::of(refused.as_bytes())));
}

/// A scenario of the library, with the real components.
fn rehearsed(scenario: &str, seed: u64) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(scenario);
    let scenario = Scenario::load(&path).unwrap();
    let code = Some(Code::load(&scenario).unwrap());
    run(&scenario, &Options { seed: Some(seed), code, ..Options::default() }, |_| {})
}

#[test]
fn the_same_seed_is_the_same_run_with_real_components_too() {
    let shop = |seed| rehearsed("real-shop.toml", seed);
    let one = shop(1);
    let other = std::thread::spawn(move || shop(1)).join().unwrap();
    assert_eq!((&one.trace, one.events), (&other.trace, other.events));
    assert!(one.is_good(), "{:?}", one.first_breach());
    let counts = one.counts;
    assert!(counts.executed > 300 && counts.answered > 300, "{counts:?}");
    assert_ne!(one.trace, shop(2).trace);
}

#[test]
fn what_does_not_fit_is_told_before_anything_runs() {
    let call = "[[call]]\nto = \"a/pricing\"\nevery = \"1s\"\n";
    let load = |more: &str| {
        let scenario = scenario(&["basket", "pricing"], SHOP, &format!("{call}{more}"));
        Code::load(&scenario).map(drop).unwrap_err().to_string()
    };
    let said = load("function = \"price\"\n");
    assert!(said.contains("it needs `arguments`") && said.contains("sku: string"), "{said}");
    let said = load("function = \"prize\"\narguments = '\"tea\"'\n");
    assert!(
        said.contains("no such function") && said.contains("`price` of example:shop"),
        "{said}"
    );

    let text =
        "name = \"x\"\nrun = \"3min\"\n[[nodes]]\ngroup = \"n\"\n[[app]]\nmanifest = \"m\"\n";
    let read = |_: &str| {
        Ok(("/nowhere/m".into(), "app = \"a\"\n[component.c]\nwasm = \"c.wasm\"\n".into()))
    };
    let scenario = Scenario::parse("s", text, &read).unwrap();
    let error = Code::load(&scenario).map(drop).unwrap_err();
    assert!(matches!(error, CodeError::Read { .. }));
    assert!(error.to_string().contains("/nowhere/c.wasm"), "{error}");
}
