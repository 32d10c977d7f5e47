use proptest::prelude::*;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::Hlc;

use super::*;

fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

fn contract(text: &str) -> ContractId {
    text.parse().unwrap()
}

fn version(millis: u64) -> Version {
    Version { at: Hlc { millis, counter: 0 }, writer: NodeId::from_bytes([1; 32]) }
}

fn spec(from: &str, contract: &str, name: &str, to: &str) -> LinkSpec {
    LinkSpec {
        from: from.parse().unwrap(),
        contract: contract.parse().unwrap(),
        name: name.parse().unwrap(),
        to: to.parse().unwrap(),
        options: LinkOptions::default(),
    }
}

fn app(name: &str, links: Vec<LinkSpec>) -> App {
    App { links, ..App::new(name.parse().unwrap()) }
}

fn link(to: &str) -> Link {
    Link { to: id(to), options: LinkOptions::default() }
}

/// Where an import goes, as `name>target` for each link.
fn goes(links: &Links, from: &str, wanted: &str) -> Vec<String> {
    let import = links.get(&id(from), &contract(wanted));
    let targets = import.map(Import::targets).unwrap_or_default();
    targets.iter().map(|target| format!("{}>{}", target.name, target.to)).collect()
}

#[test]
fn a_record_counts_before_the_app_and_the_app_again_without_it() {
    let app = app("shop", vec![spec("basket", "a:b/c", "default", "pricing")]);
    let key: LinkKey = "shop/basket/a:b/c/default".parse().unwrap();
    let other = link("sale/pricing");
    let without = Links::new([(&app, version(9))], []);
    assert_eq!(goes(&without, "shop/basket", "a:b/c@1.0.0"), ["default>shop/pricing"]);
    // Also where the record is the older one, and where its app is not known.
    let with = Links::new([(&app, version(9))], [(&key, &other, version(1))]);
    assert_eq!(goes(&with, "shop/basket", "a:b/c@1.0.0"), ["default>sale/pricing"]);
    let (_, _, target) = with.iter().next().unwrap();
    assert_eq!((target.origin, target.version), (Origin::Record, version(1)));
    assert_eq!(target.instead_of, Some(id("shop/pricing")));
    let alone = Links::new([], [(&key, &other, version(1))]);
    assert_eq!(goes(&alone, "shop/basket", "a:b/c@1.0.0"), ["default>sale/pricing"]);
}

#[test]
fn a_record_of_another_name_is_one_more_target() {
    let app = app("shop", vec![spec("basket", "a:b/c", "default", "pricing")]);
    let key: LinkKey = "shop/basket/a:b/c/canary".parse().unwrap();
    let canary = link("shop/pricing-two");
    let links = Links::new([(&app, version(1))], [(&key, &canary, version(2))]);
    let both = ["canary>shop/pricing-two", "default>shop/pricing"];
    assert_eq!(goes(&links, "shop/basket", "a:b/c@1.0.0"), both);
    let import = links.get(&id("shop/basket"), &contract("a:b/c")).unwrap();
    assert!(import.goes_to(&id("shop/pricing")) && import.goes_to(&id("shop/pricing-two")));
    assert!(!import.goes_to(&id("shop/basket")));
    let named = |name| import.named(name).map(|target| target.name.to_string());
    assert_eq!(named("canary").as_deref(), Some("canary"));
    assert_eq!(named("anything").as_deref(), Some("default"));
}

#[test]
fn the_exact_link_wins() {
    let app = app(
        "app",
        vec![
            spec("a", "wasi:keyvalue", "default", "all"),
            spec("a", "wasi:keyvalue/store", "default", "store"),
            spec("a", "wasi:keyvalue/store@0.2.0-draft", "default", "draft"),
            spec("a", "x:y/z@1.2.0", "default", "two"),
            spec("a", "x:y/z@1.10.0", "default", "ten"),
        ],
    );
    let links = Links::new([(&app, version(1))], []);
    for (wanted, to) in [
        ("wasi:keyvalue/store@0.2.0-draft", Some("default>app/draft")),
        ("wasi:keyvalue/store@0.2.0-draft2", Some("default>app/store")),
        ("wasi:keyvalue/atomics@0.2.0-draft", Some("default>app/all")),
        ("wasi:keyvalue", Some("default>app/all")),
        ("x:y/z@1.3.0", Some("default>app/ten")),
        ("x:y/z@2.0.0", None),
        ("wasi:http/types", None),
    ] {
        assert_eq!(goes(&links, "app/a", wanted).first().map(String::as_str), to, "{wanted}");
        assert!(goes(&links, "app/b", wanted).is_empty());
    }
    let more_exact = |contract: ContractId| -> Vec<String> {
        links.more_exact(&id("app/a"), &contract).map(ToString::to_string).collect()
    };
    let of_package = ["wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue/store"];
    assert_eq!(more_exact(contract("wasi:keyvalue")), of_package);
    assert_eq!(more_exact(contract("wasi:keyvalue/store")), of_package[..1]);
    assert!(more_exact(contract("wasi:keyvalue/store@0.2.0-draft")).is_empty());
}

/// A link by small numbers: component, contract, name, target.
type Numbers = (u8, u8, u8, u8);

const CONTRACTS: [&str; 8] =
    ["a:b", "a:b/c", "a:b/c@1.0.0", "a:b/c@1.2.0", "a:b/d", "a:b@1.0.0", "a:bb/c", "x:b/c"];

fn some_links() -> impl Strategy<Value = Vec<Numbers>> {
    proptest::collection::vec((0..3u8, 0..8u8, 0..3u8, 0..4u8), 0..40)
}

fn key((from, contract, name, _): Numbers) -> LinkKey {
    let contract = CONTRACTS[usize::from(contract)];
    format!("app/c{from}/{contract}/n{name}").parse().unwrap()
}

proptest! {
    /// Against the rule as the module states it, spelled out over a plain list.
    #[test]
    fn a_lookup_finds_what_a_walk_over_all_links_would(
        declared in some_links(),
        records in some_links(),
        (from, wanted) in (0..3u8, proptest::sample::select(vec![
            "a:b", "a:b/c", "a:b/c@1.0.0", "a:b/c@1.1.0", "a:b/c@2.0.0", "a:b/d@1.0.0", "a:b/e", "x:b/c@0.1.0",
        ])),
    ) {
        let to = |numbers: Numbers| format!("t{}", numbers.3);
        let specs = declared.iter().map(|link| {
            let LinkKey { from, contract, name } = key(*link);
            spec(from.name.as_str(), &contract.to_string(), name.as_str(), &to(*link))
        });
        let app = app("app", specs.collect());
        let records: Vec<(LinkKey, Link)> =
            records.iter().map(|n| (key(*n), link(&format!("other/{}", to(*n))))).collect();
        let given = records.iter().map(|(key, link)| (key, link, version(2)));
        let links = Links::new([(&app, version(1))], given);

        let mut plain = BTreeMap::new();
        for numbers in &declared {
            plain.insert(key(*numbers), format!("app/{}", to(*numbers)));
        }
        for (key, link) in &records {
            plain.insert(key.clone(), link.to.to_string());
        }
        prop_assert_eq!(links.len(), plain.len());

        let (from, wanted) = (format!("app/c{from}"), contract(wanted));
        let covers = |key: &&LinkKey| key.from == id(&from) && key.contract.covers(&wanted);
        let exactness = |contract: &ContractId| {
            (contract.interface().is_some(), contract.version().cloned())
        };
        let best = plain.keys().filter(covers).map(|key| &key.contract).max_by_key(|c| exactness(c));
        let expected: Vec<String> = plain
            .iter()
            .filter(|(key, _)| key.from == id(&from) && Some(&key.contract) == best)
            .map(|(key, to)| format!("{}>{to}", key.name))
            .collect();
        prop_assert_eq!(goes(&links, &from, &wanted.to_string()), expected);
    }
}
