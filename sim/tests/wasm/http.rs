//! Requests over HTTP to real components.

use http::Request;
use wattle_sim::lattice::RequestPlan;
use wattle_sim::lattice::nodes::NodeSet;

use super::*;

/// What somebody outside got, and how long it took.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    status: u16,
    body: Digest,
    micros: u128,
}

impl Got {
    fn is(&self, status: u16, body: impl AsRef<[u8]>) -> bool {
        (self.status, self.body) == (status, Digest::of(body.as_ref()))
    }
}

/// A request at the gateway of a node, which has ten seconds.
fn ask(mesh: &mut Lattice, node: usize, method: &str, target: &str, body: &[u8]) -> Got {
    let uri = format!("http://shop.example{target}");
    let request = Request::builder().method(method).uri(uri).body(body.to_vec()).unwrap();
    let plan = RequestPlan::new(&request, Duration::from_secs(10)).unwrap();
    mesh.take_seen();
    let begun = mesh.now();
    assert!(mesh.request(node, &plan));
    passes(mesh, 12);
    let seen = mesh.take_seen();
    let got = seen.iter().find_map(|event| match event.what {
        Happening::Responded { status, body, .. } if event.node == node => {
            Some(Got { status, body, micros: event.at.since(begun).as_micros() })
        }
        _ => None,
    });
    got.unwrap_or_else(|| panic!("nothing came of {method} {target}: {seen:#?}"))
}

/// Some nodes, 20 ms apart, with an app of the examples as it is.
fn example(name: &str, nodes: usize, more: &str) -> Scenario {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let text = std::fs::read_to_string(file.join("app.toml")).unwrap();
    let file = file.join("app.toml").display().to_string();
    let scenario = format!(
        "name = \"example\"\nrun = \"3min\"\n[mesh.links]\nlatency = \"20ms\"\njitter = \"0ms\"\n\
         [[nodes]]\ngroup = \"n\"\ncount = {nodes}\n[[app]]\nmanifest = \"app.toml\"\n{more}"
    );
    Scenario::parse("s.toml", &scenario, &|_| Ok((file.clone(), text.clone()))).unwrap()
}

#[test]
fn the_counter_of_the_examples_counts_for_every_gateway_and_keeps_the_number() {
    let mut mesh = mesh(&example("counter", 3, ""));
    for (count, node) in [0, 1, 2, 0, 1, 2].into_iter().enumerate() {
        let got = ask(&mut mesh, node, "GET", "/", b"");
        assert!(got.is(200, format!("{}\n", count + 1)), "{got:?}");
        // To the component, from there to the store, and back: at most two round trips.
        assert!(got.micros < 100_000, "{got:?}");
    }
    assert!(ask(&mut mesh, 0, "GET", "/peek?x=y", b"").is(200, "6\n"));
    assert_eq!(ask(&mut mesh, 1, "DELETE", "/", b"").status, 405);
    assert!(ask(&mut mesh, 2, "POST", "/other", b"ignored").is(200, "1\n"));
    // Whoever has the store has it on its disk.
    for node in 0..3 {
        mesh.kill(node);
        passes(&mut mesh, 2);
        mesh.start(node);
        passes(&mut mesh, 30);
    }
    let got = ask(&mut mesh, 1, "GET", "/", b"");
    assert!(got.is(200, "7\n"), "{got:?}");
}

const ROUTED: &str = "[[http]]\ncomponent = \"";

#[test]
fn a_request_goes_by_host_and_path_and_one_that_nobody_answers_is_told_why() {
    let app = format!("{ROUTED}hello\"\nhost = \"shop.example\"\npath = \"/hello\"\n");
    let mut mesh = mesh(&scenario(&["hello", "echo"], &app, ""));
    for node in [0, 1] {
        let got = ask(&mut mesh, node, "GET", "/hello/you", b"");
        assert!(got.is(200, "hello\n"), "{got:?}");
        let far = if node == 0 { 0..5_000 } else { 40_000..45_000 };
        assert!(far.contains(&got.micros), "{got:?}");
    }
    assert_eq!(ask(&mut mesh, 1, "GET", "/other", b"").status, 404);

    // Behind a cut it can't be reached, and that shows by the deadline.
    mesh.block(NodeSet::of([0]), NodeSet::of([1]));
    mesh.block(NodeSet::of([1]), NodeSet::of([0]));
    let got = ask(&mut mesh, 1, "GET", "/hello", b"");
    assert!([503, 504].contains(&got.status) && got.micros <= 10_000_000, "{got:?}");
    assert!(ask(&mut mesh, 0, "GET", "/hello", b"").is(200, "hello\n"));
}

#[test]
fn bodies_travel_both_ways_as_fast_as_the_line_lets_them_and_have_an_end() {
    let app = format!("{ROUTED}streamer\"\n");
    let mut scenario = scenario(&["streamer", "echo"], &app, "");
    scenario.usual.bandwidth = Some(1_000_000);
    let mut mesh = mesh(&scenario);
    let pattern = |count: usize| (0..count).map(|at| (at % 251) as u8).collect::<Vec<u8>>();
    let long = pattern(500_000);
    let got = ask(&mut mesh, 1, "POST", "/", &long);
    assert!(got.is(200, &long), "{got:?}");
    // Half a second there and as long back.
    assert!((1_000_000..1_500_000).contains(&got.micros), "{got:?}");
    let got = ask(&mut mesh, 1, "GET", "/bytes/1000000", b"");
    assert!(got.is(200, pattern(1_000_000)), "{got:?}");
    assert!((1_000_000..1_500_000).contains(&got.micros), "{got:?}");
    // What is more than is held of one is no answer, and neither is what never ends.
    let got = ask(&mut mesh, 1, "GET", "/bytes/9000000", b"");
    assert_eq!(got.status, 500, "{got:?}");
    assert!(ask(&mut mesh, 1, "GET", "/bytes/3", b"").is(200, [0, 1, 2]));
}

const OUTSIDE: &str = "[outside.\"bank.example\"]\nstatus = 201\nbody = \"paid\"\ntakes = \"80ms\"\n\
    [outside.\"slow.example\"]\ntakes = \"1min\"\n\
    [outside.\"dead.example\"]\nfails = \"100%\"\n\
    [outside.\"secret.example\"]\n";

#[test]
fn a_component_asks_hosts_outside_which_are_made_up_and_others_are_out_of_reach() {
    let app = format!(
        "[provider.web]\ncontract = \"wasi:http/outgoing-handler\"\non = {{ at = \"echo\" }}\n\
         hosts = [\"bank.example\", \"slow.example\", \"dead.example\", \"far.example\"]\n\
         [[link]]\nfrom = \"courier\"\ncontract = \"wasi:http/outgoing-handler\"\nto = \"web\"\n\
         {ROUTED}courier\"\n"
    );
    let asked = move || {
        let mut mesh = mesh(&scenario(&["courier", "echo"], &app, OUTSIDE));
        let mut got = Vec::new();
        for host in ["bank", "slow", "dead", "far", "secret"] {
            got.push(ask(&mut mesh, 0, "GET", &format!("/{host}.example/pay?me=1"), b""));
        }
        got
    };
    let asked_again = asked.clone();
    let got = asked();
    assert!(got[0].is(201, "paid"), "{got:?}");
    // Over to the node of the provider and back, and what the bank takes.
    assert!((120_000..130_000).contains(&got[0].micros), "{got:?}");
    assert_eq!((got[1].status, got[1].micros), (504, 10_000_000), "{got:?}");
    assert!(got[2].is(502, "ErrorCode::DestinationUnavailable"), "{got:?}");
    assert!(got[3].is(502, "ErrorCode::DestinationUnavailable"), "{got:?}");
    assert!(got[4].is(502, "ErrorCode::HttpRequestDenied"), "{got:?}");
    assert_eq!(got, std::thread::spawn(asked_again).join().unwrap());
}

#[test]
fn a_counter_whose_store_is_cut_off_says_so_and_counts_on_and_that_is_the_same_each_time() {
    let counter_shop = |seed| rehearsed("counter-shop.toml", seed);
    let one = counter_shop(1);
    let other = std::thread::spawn(move || counter_shop(1)).join().unwrap();
    assert_eq!((&one.trace, one.events), (&other.trace, other.events));
    assert_eq!(one.responses, other.responses);
    assert!(one.is_good(), "{:?}", one.first_breach());
    let of = |status| one.responses.get(&status).copied().unwrap_or(0);
    // Two minutes of nine without the store, at about a request a second.
    assert!(of(200) > 300, "{:?}", one.responses);
    assert!(of(503) + of(504) > 60, "{:?}", one.responses);
    assert!(of(503) > 0 && of(500) == 0 && of(404) == 0, "{:?}", one.responses);
    assert_ne!(one.trace, counter_shop(2).trace);
}

#[test]
fn a_request_that_fits_no_component_is_told_before_anything_runs() {
    let app = format!("{ROUTED}pricing\"\npath = \"/prices\"\n");
    let more = "[[request]]\npath = \"/prices/tea\"\nevery = \"1s\"\n";
    let said = |more: &str| {
        let scenario = scenario(&["pricing"], &app, more);
        Code::load(&scenario).map(drop).unwrap_err().to_string()
    };
    let shown = said(more);
    assert!(
        shown.contains("`/prices/tea` is routed to `a/pricing`") && shown.contains("`price` of"),
        "{shown}"
    );
    let call = "[[call]]\nto = \"a/pricing\"\ncontract = \"wasi:http/incoming-handler\"\n\
                function = \"handle\"\nevery = \"1s\"\n";
    assert!(said(call).contains("written as [[request]]"));
}
