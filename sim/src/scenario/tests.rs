use super::*;

const APP: &str = "app = \"shop\"\n[component.web]\nwasm = \"web.wasm\"\nreplicas = 2\n[[http]]\n\
    component = \"web\"\nhost = \"shop.example\"\npath = \"/shop\"\n";

const GOOD: &str = "name = \"x\"\nrun = \"10min\"\n[[nodes]]\ngroup = \"store\"\ncount = 3\n\
    labels = { site = \"store\" }\n[[nodes]]\ngroup = \"dc\"\n[[app]]\nmanifest = \"shop.toml\"\n";

fn read(text: &str) -> Result<Scenario, ScenarioError> {
    scenario("s.toml", text, &|name| match name {
        "shop.toml" => Ok((name.into(), APP.into())),
        _ => Err(format!("can't read {name}: not found")),
    })
}

#[test]
fn a_scenario_is_read() {
    let fault =
        "[[fault]]\nat = \"1min\"\nfor = \"2min\"\ncut = \"site=store\"\none-way = \"in\"\n";
    let scenario = read(&format!("{GOOD}{fault}")).unwrap();
    assert_eq!(scenario.nodes.len(), 4);
    assert_eq!(scenario.nodes[1].name, "store/1");
    let fault = &scenario.faults[0];
    assert_eq!(fault.on, NodeSet::of([0, 1, 2]));
    let fault::FaultKind::Cut { others, out, inward, .. } = &fault.what else { panic!() };
    assert_eq!((others, *out, *inward), (&NodeSet::of([3]), false, true));
    assert_eq!(fault.ends(), Some(Duration::from_secs(180)));
}

#[test]
fn a_request_is_for_a_route_of_an_app() {
    let more = "[[request]]\non = \"dc\"\nmethod = \"POST\"\nhost = \"Shop.example\"\npath = \"/shop/x?y=1\"\n\
                headers = { accept = \"text/plain\" }\nbody = \"tea\"\nevery = \"1s\"\ndeadline = \"5s\"\n";
    let scenario = read(&format!("{GOOD}{more}")).unwrap();
    let Load { on, what: LoadKind::Request(plan), .. } = &scenario.load[0] else { panic!() };
    assert_eq!((on, plan.host(), plan.path()), (&NodeSet::of([3]), "Shop.example", "/shop/x"));
}

#[test]
fn an_error_says_where_it_is_and_what_was_expected() {
    for (more, place, part) in [
        ("colour = 1\n", "11:1", "unknown field `colour`"),
        ("[[fault]]\nat = \"soon\"\ncut = \"dc\"\n", "12:6", "expected a time such as"),
        ("[[fault]]\nat = \"1s\"\ncut = \"moon\"\n", "13:7", "`all`, a group (`dc`, `store`)"),
        ("[[fault]]\nat = \"1s\"\n", "12:6", "exactly one of cut, degrade"),
        ("[[fault]]\nat = \"1s\"\ncut = \"dc\"\ncrash = \"dc\"\n", "14:9", "exactly one of"),
        ("[[fault]]\nat = \"1s\"\ncrash = \"dc\"\nflap = \"2s\"\n", "14:8", "belongs to `cut`"),
        ("[[fault]]\nat = \"1s\"\nslow = \"dc\"\n", "13:8", "expected `by` beside `slow`"),
        ("[[call]]\nto = \"shop/db\"\nfunction = \"f\"\nevery = \"1s\"\n", "12:6", "`shop/web`"),
        ("[[request]]\npath = \"/shop\"\nevery = \"1s\"\n", "12:8", "`/shop` at shop.example"),
        ("[[request]]\nhost = \"a b\"\nevery = \"1s\"\n", "12:8", "expected a host"),
        ("[[request]]\npath = \"shop\"\nevery = \"1s\"\n", "12:8", "starts with `/`"),
        ("[[request]]\nmethod = \"G T\"\nevery = \"1s\"\n", "12:10", "expected a method"),
        (
            "[[request]]\nhost = \"shop.example\"\npath = \"/shop\"\nheaders = { \"x y\" = \"1\" }\n\
             every = \"1s\"\n",
            "14:13",
            "the name of a header",
        ),
        ("[outside.\"a.example\"]\nstatus = 99\n", "12:10", "from 200 to 599"),
        ("[outside.\"a.example:80\"]\n", "11:10", "the name of a host"),
        ("[[app]]\nmanifest = \"other.toml\"\n", "12:12", "can't read other.toml"),
        ("[expect]\noff = [\"luck\"]\n", "12:8", "converge"),
        ("[[nodes]]\ngroup = \"dc\"\n", "12:9", "there is a group `dc` already"),
        ("[[nodes]]\ngroup = \"sea\"\nlabels = { cell = \"\" }\n", "12:9", "the label `cell`"),
    ] {
        let text = format!("{GOOD}{more}");
        let error = read(&text).unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("s.toml:{place}:")), "{more:?} gave {shown}");
        assert!(shown.contains(part), "{more:?} gave {shown}");
    }
}

#[test]
fn a_mistake_in_a_manifest_is_one_of_the_manifest() {
    let bad = |_: &str| Ok(("apps/shop.toml".into(), "app = \"Shop!\"\n".into()));
    let error = scenario("s.toml", GOOD, &bad).unwrap_err();
    assert!(error.to_string().starts_with("apps/shop.toml:1:7:"), "{error}");
}

#[test]
fn a_run_without_time_for_what_must_hold_is_refused() {
    let error = read(&GOOD.replace("10min", "30s")).unwrap_err();
    assert!(error.to_string().contains("expected a run longer than"), "{error}");
}

#[test]
fn a_ring_is_one_whole_and_everybody_knows_few() {
    let text = GOOD.replace("count = 3", "count = 300") + "[mesh]\ncircle = 10\n";
    let scenario = read(&text).unwrap();
    let circles: Vec<&Vec<usize>> =
        scenario.nodes.iter().filter_map(|plan| plan.circle.as_ref()).collect();
    assert!(circles.iter().all(|circle| (4..=12).contains(&circle.len())));
    let (mut reached, mut next) = (NodeSet::of([0]), vec![0]);
    while let Some(number) = next.pop() {
        for other in circles[number] {
            if !reached.has(*other) {
                reached.insert(*other);
                next.push(*other);
            }
        }
    }
    assert_eq!(reached.len(), 301);
}
