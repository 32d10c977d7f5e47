use wattle_contracts::id::{Digest, PublisherKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Config, Hlc, HttpRoute, Labels, LimitSpec, LinkOptions, LinkSpec};

use super::*;

fn shop() -> App {
    let mut app = App::new("shop".parse().unwrap());
    app.links.push(LinkSpec {
        from: "basket".parse().unwrap(),
        contract: "example:shop/pricing".parse().unwrap(),
        name: Default::default(),
        to: "pricing".parse().unwrap(),
        options: LinkOptions::default(),
    });
    for (host, path, component) in [(None, "/", "any"), (Some("h"), "/", "host"), (None, "/a", "a")]
    {
        app.http.push(HttpRoute {
            host: host.map(Into::into),
            path: path.into(),
            component: component.parse().unwrap(),
        });
    }
    let basket = ComponentSpec {
        digest: Digest::of(b""),
        publisher: PublisherKey::from_bytes([0; 32]),
        size: 0,
        exports: Vec::new(),
        imports: Vec::new(),
        replicas: 1,
        on: Labels::new(),
        config: [("currency".into(), "eur".into()), ("round".into(), "up".into())].into(),
        limits: LimitSpec::default(),
    };
    app.components.insert("basket".parse().unwrap(), basket);
    app
}

fn record(about: RecordKey, millis: u64, body: RecordBody) -> Record {
    let key = SigningKey::from_seed([1; 32]).unwrap();
    Record::sign(&key, about, Hlc { millis, counter: 0 }, body).unwrap()
}

fn app() -> Record {
    record(RecordKey::App("shop".parse().unwrap()), 1, RecordBody::App(Box::new(shop())))
}

fn config(name: &str, millis: u64, value: Option<&str>) -> Record {
    let body = match value {
        Some(value) => RecordBody::Config(Config { value: value.into() }),
        None => RecordBody::Tombstone,
    };
    record(RecordKey::Config(format!("shop/basket/{name}").parse().unwrap()), millis, body)
}

fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

#[test]
fn the_most_exact_route_answers() {
    let table = Table::new([&app()]);
    let route = |host, path| table.route(host, path).unwrap().to_string();
    assert_eq!(route("x", "/b"), "shop/any");
    assert_eq!(route("x", "/a/b"), "shop/a");
    assert_eq!(route("h", "/a/b"), "shop/host");
}

#[test]
fn a_value_of_its_own_counts_before_the_apps_until_it_is_taken_back() {
    let of = |records: &[&Record]| {
        let table = Table::new(records.iter().copied());
        let Ok(Target::Component(spec)) = table.target(&id("shop/basket")) else { panic!() };
        (spec.config.clone(), table.declaration(&id("shop/basket")).unwrap())
    };
    let app = app();
    let (plain, first) = of(&[&app]);
    let (changed, second) = of(&[&app, &config("currency", 2, Some("usd"))]);
    assert_eq!((&*changed["currency"], &*changed["round"]), ("usd", "up"));
    let (added, third) = of(&[&app, &config("bonus", 2, Some("1"))]);
    assert_eq!((added.len(), &*added["bonus"]), (3, "1"));
    let (back, fourth) = of(&[&app, &config("currency", 3, None)]);
    assert_eq!(back, plain);
    // Told apart by what the nodes say that they run; what was taken back is as if it never was.
    assert_eq!((first.config, fourth.config), (0, 0));
    assert!(second.config != third.config && second.config != 0);
    let (_, newer) = of(&[&app, &config("currency", 4, Some("usd"))]);
    assert_ne!(second, newer);

    let setting = config("currency", 2, Some("usd"));
    let table = Table::new([&app, &setting]);
    let setting = table.settings().get(&id("shop/basket"), "currency").unwrap();
    assert_eq!((&*setting.value, setting.instead_of.as_deref()), ("usd", Some("eur")));
}

#[test]
fn what_is_not_declared_is_named() {
    let table = Table::new([&app()]);
    let error = table.target(&"none/x".parse().unwrap()).err().unwrap();
    assert!(error.message.contains("`none`"));
    let error =
        table.import(&"shop/basket".parse().unwrap(), &"a:b/c@1.0.0".parse().unwrap()).unwrap_err();
    assert!(error.message.contains("contract = \"a:b/c\""), "{error}");
    assert!(error.message.contains("wattle link put shop/basket a:b/c"), "{error}");
}
