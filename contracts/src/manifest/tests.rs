use proptest::prelude::*;

use super::*;

const COUNTER: &str = r#"app = "counter"

[component.counter]
wasm = "counter.wasm"
on = { role = "compute" }
replicas = 2
config = { bucket = "visits" }
limits = { memory = "64MiB", time = "10s", concurrency = 50, reuse = 100 }

[provider.counts]
contract = "wasi:keyvalue"
on = { role = "store" }

[[link]]
from = "counter"
contract = "wasi:keyvalue"
to = "counts"

[[http]]
component = "counter"
host = "counter.example"
path = "/count"
"#;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse("app.toml", text)
}

/// The error of `COUNTER` with one line changed: where, and what it says.
fn error(from: &str, to: &str) -> (usize, usize, String) {
    assert!(COUNTER.contains(from), "{from}");
    let error = parse(&COUNTER.replacen(from, to, 1)).unwrap_err();
    (error.line, error.column, error.message)
}

#[test]
fn a_whole_manifest_is_read() {
    let manifest = parse(COUNTER).unwrap();
    let counter = &manifest.components[&"counter".parse().unwrap()];
    assert_eq!(counter.replicas, 2);
    assert_eq!(counter.on["role"], "compute");
    assert_eq!(counter.position, (4, 8));
    assert_eq!(counter.limits.memory_bytes, Some(64 << 20));
    assert_eq!(counter.limits.time, Some(Duration::from_secs(10)));
    assert_eq!(counter.limits.reuse, Some(100));
    assert_eq!(manifest.providers[&"counts".parse().unwrap()].kind, ProviderKind::KeyValue);
    assert_eq!(manifest.links.len(), 1);
    assert_eq!(manifest.http[0].path, "/count");
}

#[test]
fn a_wrong_type_is_placed() {
    let (line, column, message) = error("replicas = 2", "replicas = \"two\"");
    assert_eq!((line, column), (6, 12));
    assert!(message.contains("expected u32"), "{message}");
}

#[test]
fn an_unknown_key_is_placed_and_the_known_ones_are_named() {
    let (line, _, message) = error("replicas = 2", "replica = 2");
    assert_eq!(line, 6);
    assert!(message.contains("`replica`") && message.contains("`replicas`"), "{message}");
}

#[test]
fn a_dangling_reference_is_placed_and_the_names_are_listed() {
    let (line, column, message) = error("to = \"counts\"", "to = \"count\"");
    assert_eq!((line, column), (17, 6));
    assert!(message.contains("`counter`, `counts`"), "{message}");
    let (line, _, message) =
        error("[[http]]\ncomponent = \"counter\"", "[[http]]\ncomponent = \"web\"");
    assert_eq!(line, 20);
    assert!(message.contains("`web`"), "{message}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (from, to, part) in [
        ("app = \"counter\"", "app = \"Counter\"", "lower-case"),
        ("contract = \"wasi:keyvalue\"\non", "contract = \"wasi:sql\"\non", "no provider of"),
        ("\"64MiB\"", "\"64 megs\"", "expected a size"),
        ("\"10s\"", "\"0s\"", "expected a time"),
        ("\"10s\"", "\"61min\"", "at most 60 min"),
        ("replicas = 2", "replicas = 0", "replicas from 1"),
        ("path = \"/count\"", "path = \"count\"", "starts with `/`"),
        ("[provider.counts]", "[provider.counter]", "already"),
        (
            "from = \"counter\"\ncontract = \"wasi:keyvalue\"",
            "from = \"counter\"\ncontract = \"wasi:blobstore\"",
            "provides",
        ),
        ("host = \"counter.example\"", "host = \"http://x\"", "without port"),
    ] {
        let (_, _, message) = error(from, to);
        assert!(message.contains(part), "{to}: {message}");
    }
    assert!(parse("").unwrap_err().message.contains("app"));
    assert!(parse("app = \"x\"").unwrap_err().message.contains("neither"));
}

const SHOP: &str = r#"app = "shop"

[component.basket]
wasm = "basket.wasm"

[component.pricing]
wasm = "pricing.wasm"

[provider.counts]
contract = "wasi:keyvalue"

[[link]]
from = "basket"
contract = "example:shop/pricing"
to = "pricing"
idempotent = ["price", "catalogue"]
hedge = "50ms"
"#;

#[test]
fn a_link_says_what_may_be_called_again() {
    let link = &parse(SHOP).unwrap().links[0];
    assert_eq!(link.options.idempotent, ["price", "catalogue"]);
    assert_eq!(link.options.hedge_millis, Some(50));
    for (from, to, place, part) in [
        ("\"price\"", "\"\"", (16, 15), "name of a function"),
        ("\"price\"", "\"a:b/c#price\"", (16, 15), "name of a function"),
        ("idempotent = [\"price\", \"catalogue\"]\n", "", (16, 9), "harmless"),
        ("\"50ms\"", "\"soon\"", (17, 9), "expected a time"),
        (
            "example:shop/pricing\"\nto = \"pricing",
            "wasi:keyvalue\"\nto = \"counts",
            (16, 15),
            "provider",
        ),
    ] {
        let error = parse(&SHOP.replacen(from, to, 1)).unwrap_err();
        assert_eq!((error.line, error.column), place, "{error}");
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn a_link_may_have_a_name_a_weight_and_labels() {
    let link = "contract = \"wasi:keyvalue\"\nto = \"counts\"";
    let options = "name = \"spare\"\nweight = 0\nrequire = { zone = \"a\" }\n\
                   prefer = { disk = \"fast\" }";
    let two = format!("{link}\n\n[[link]]\nfrom = \"counter\"\n{link}\n{options}");
    let manifest = parse(&COUNTER.replacen(link, &two, 1)).unwrap();
    let [plain, spare] = manifest.links.as_slice() else { panic!("{manifest:?}") };
    assert_eq!((plain.name.as_str(), &plain.options), ("default", &LinkOptions::default()));
    assert_eq!((spare.name.as_str(), spare.options.weight), ("spare", 0));
    assert_eq!((&*spare.options.require["zone"], &*spare.options.prefer["disk"]), ("a", "fast"));

    let again = two.replace("name = \"spare\"\n", "");
    let (_, _, message) = error(link, &again);
    assert!(message.contains("linked twice") && message.contains("`name`"), "{message}");
    let (line, column, message) = error(link, &format!("{link}\nweight = 1000001"));
    assert_eq!((line, column), (18, 10));
    assert!(message.contains("0 to 1000000"), "{message}");
}

#[test]
fn a_config_value_that_no_record_could_hold_is_placed() {
    let config = "config = { bucket = \"visits\" }";
    let (line, column, message) = error(config, "config = { \"a=b\" = \"visits\" }");
    assert_eq!((line, column), (7, 12));
    assert!(message.contains("`=`"), "{message}");
    let long = format!("config = {{ bucket = \"{}\" }}", "x".repeat(70_000));
    let (line, column, message) = error(config, &long);
    assert_eq!((line, column), (7, 21));
    assert!(message.contains("70000 bytes"), "{message}");
}

#[test]
fn an_error_shows_its_line() {
    let shown = parse("app = \"x\"\n[component.a]\nwasm = 7\n").unwrap_err().to_string();
    assert!(shown.starts_with("app.toml:3:8: "), "{shown}");
    assert!(shown.contains("3 | wasm = 7\n  |        ^"), "{shown}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_cut_manifest_panics(at in 0..COUNTER.len()) {
        let _ = parse(&COUNTER[..at]);
    }
}
