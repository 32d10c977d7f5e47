use wattle_contracts::id::{Digest, PublisherKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{
    App, ComponentSpec, Grant, Hlc, HttpRoute, Labels, LimitSpec, Link as LinkRecord, LinkKey,
    LinkOptions, LinkSpec, ProviderKind, ProviderSpec, Record, RecordBody, RecordKey,
};

use super::*;

const PRICING: &str = "example:shop/pricing";

fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

fn spec() -> ComponentSpec {
    ComponentSpec {
        digest: Digest::of(b""),
        publisher: PublisherKey::from_bytes([0; 32]),
        size: 0,
        exports: Vec::new(),
        imports: Vec::new(),
        replicas: 1,
        on: Labels::new(),
        config: Default::default(),
        limits: LimitSpec::default(),
    }
}

fn app(functions: &[&str]) -> Record {
    let mut app = App::new("shop".parse().unwrap());
    for name in ["basket", "pricing", "web"] {
        app.components.insert(name.parse().unwrap(), spec());
    }
    let store = ProviderSpec { kind: ProviderKind::KeyValue, node: None, on: Labels::new() };
    app.providers.insert("store".parse().unwrap(), store);
    let functions = functions.iter().map(ToString::to_string).collect();
    for (contract, to, grant) in [
        (PRICING, "pricing", Grant { functions, ..Grant::ALL }),
        ("wasi:keyvalue", "store", Grant::ALL),
    ] {
        app.links.push(LinkSpec {
            from: "basket".parse().unwrap(),
            contract: contract.parse().unwrap(),
            name: Default::default(),
            to: to.parse().unwrap(),
            options: LinkOptions { grant, ..LinkOptions::default() },
        });
    }
    let component = "web".parse().unwrap();
    app.http.push(HttpRoute { host: None, path: "/".into(), component });
    record(RecordKey::App("shop".parse().unwrap()), 1, RecordBody::App(Box::new(app)))
}

fn record(about: RecordKey, millis: u64, body: RecordBody) -> Record {
    let key = SigningKey::from_seed([1; 32]).unwrap();
    Record::sign(&key, about, Hlc { millis, counter: 0 }, body).unwrap()
}

fn route(source: Source, target: &str, contract: &str, function: &str, way: Encoding) -> CallRoute {
    CallRoute {
        source,
        target: id(target),
        contract: contract.parse().unwrap(),
        function: function.into(),
        encoding: way,
    }
}

fn refused(
    table: &Table,
    caller: &str,
    target: &str,
    contract: &str,
    way: Encoding,
) -> Option<Rule> {
    let route = route(Source::Component(id(caller)), target, contract, "price", way);
    table.granted(&id(caller), &route).err().map(|missing| missing.rule)
}

#[test]
fn a_component_may_call_what_it_is_linked_to_and_nothing_else() {
    let table = Table::new([&app(&[])]);
    let pricing = "example:shop/pricing@0.1.0";
    let basket = |target, contract, way| refused(&table, "shop/basket", target, contract, way);
    assert_eq!(basket("shop/pricing", pricing, Encoding::Values), None);
    assert_eq!(basket("shop/store", "wasi:keyvalue/store", Encoding::Message), None);
    for (target, contract, way) in [
        ("shop/web", pricing, Encoding::Values),
        ("shop/pricing", "example:shop/other", Encoding::Values),
        // What is granted as one thing is not another.
        ("shop/pricing", pricing, Encoding::Message),
        ("shop/pricing", pricing, Encoding::Wave),
        ("shop/store", "wasi:keyvalue/store", Encoding::Values),
        ("shop/nothing", pricing, Encoding::Values),
    ] {
        assert_eq!(basket(target, contract, way), Some(Rule::Contract), "{target} {contract}");
    }
    let other = refused(&table, "shop/web", "shop/pricing", pricing, Encoding::Values);
    assert_eq!(other, Some(Rule::Contract));
}

#[test]
fn of_a_contract_a_link_may_grant_some_functions_only() {
    let call = |functions: &[&str]| {
        let table = Table::new([&app(functions)]);
        refused(&table, "shop/basket", "shop/pricing", PRICING, Encoding::Values)
    };
    assert_eq!(call(&["discount", "price"]), None);
    assert_eq!(call(&["discount"]), Some(Rule::Function));
}

#[test]
fn a_link_of_its_own_moves_what_a_component_may_call() {
    let key: LinkKey = "shop/basket/example:shop/pricing/default".parse().unwrap();
    let link = LinkRecord { to: id("shop/web"), options: LinkOptions::default() };
    let put = |body| record(RecordKey::Link(Box::new(key.clone())), 2, body);
    let put_link = put(RecordBody::Link(Box::new(link)));
    let allowed = |table: &Table| {
        ["shop/pricing", "shop/web"].map(|target| {
            refused(table, "shop/basket", target, PRICING, Encoding::Values).is_none()
        })
    };
    let app = app(&[]);
    assert_eq!(allowed(&Table::new([&app, &put_link])), [false, true]);
    // Whichever comes first.
    assert_eq!(allowed(&Table::new([&put_link, &app])), [false, true]);
    assert_eq!(allowed(&Table::new([&app, &put(RecordBody::Tombstone)])), [true, false]);
}

#[test]
fn a_gateway_calls_what_a_route_leads_to_and_only_as_http() {
    let table = Table::new([&app(&[])]);
    let call = |target, contract, way| {
        let route = route(Source::Gateway, target, contract, "handle", way);
        table.check_gateway(&route).err().map(|missing| missing.rule)
    };
    let incoming = "wasi:http/incoming-handler@0.2.0";
    assert_eq!(call("shop/web", incoming, Encoding::Message), None);
    assert_eq!(call("shop/pricing", incoming, Encoding::Message), Some(Rule::Route));
    assert_eq!(call("shop/web", PRICING, Encoding::Message), Some(Rule::Route));
    assert_eq!(call("shop/web", incoming, Encoding::Values), Some(Rule::Route));
}
