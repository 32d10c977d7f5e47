//! A component that calls another, on the same node and on another one, with every kind of value.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::PATIENCE;
use wattle_tests::{TestMesh, Up};

/// Arguments of `total`, and what comes back.
const TOTALS: [(&str, &str); 6] = [
    (
        r#"[{sku: "tea", quantity: 3, discount: some(multi-buy((3, 2)))}]"#,
        r#"ok({lines: [{sku: "tea", quantity: 3, unit-price: {amount: 450, currency: eur}, total: {amount: 900, currency: eur}, saved: some({amount: 450, currency: eur})}], total: {amount: 900, currency: eur}, handling: {}})"#,
    ),
    (
        r#"[{sku: "wine", quantity: 2, discount: some(percent(10))}]"#,
        r#"ok({lines: [{sku: "wine", quantity: 2, unit-price: {amount: 1499, currency: eur}, total: {amount: 2699, currency: eur}, saved: some({amount: 299, currency: eur})}], total: {amount: 2699, currency: eur}, handling: {fragile, age-checked}})"#,
    ),
    ("[]", "err(empty)"),
    (r#"[{sku: "nope", quantity: 1}]"#, r#"err(unknown-sku("nope"))"#),
    (
        r#"[{sku: "tea", quantity: 1}, {sku: "bagel", quantity: 1}]"#,
        "err(mixed-currencies((eur, usd)))",
    ),
    (
        r#"[{sku: "tea", quantity: 1, discount: some(fixed({amount: 1, currency: usd}))}]"#,
        r#"err(bad-discount(("tea", fixed({amount: 1, currency: usd}))))"#,
    ),
];

#[tokio::test]
async fn components_call_each_other_wherever_they_run() {
    let mesh = TestMesh::new().await;
    let [a, b] = Up::start_all([mesh.node("a"), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let shop = || ManifestText::of_example("shop").on("component.basket", "a");
    let far = shop().named("far").on("component.pricing", "b").write(&mesh, "far.toml").await;
    let near = shop().named("near").on("component.pricing", "a").write(&mesh, "near.toml").await;
    a.apply(&far).await.ok();
    a.apply(&near).await.ok();
    for node in [&a, &b] {
        for (component, on) in
            [("far/basket", &a), ("far/pricing", &b), ("near/basket", &a), ("near/pricing", &a)]
        {
            node.sees_running(component, &[on]).await;
        }
    }

    // Asked on the basket's node and on the other one; pricing near and far.
    for (arguments, result) in TOTALS {
        for (asked, target) in [(&a, "near/basket"), (&a, "far/basket"), (&b, "far/basket")] {
            let answer = asked.call(target, "total", arguments).await.unwrap();
            assert_eq!(answer, result, "{target} on {}", asked.name());
        }
    }
    for (asked, target) in [(&a, "near/basket"), (&b, "far/basket")] {
        let cheapest = asked.call(target, "example:shop/basket#cheapest", r#"["tea", "milk"]"#);
        let expected = r#"ok(some(("milk", {amount: 129, currency: eur})))"#;
        assert_eq!(cheapest.await.unwrap(), expected);
    }

    // A trap far away is a trap here, is told at once, and ends nothing else.
    for (asked, target, pricing) in [
        (&a, "near/basket", "near/pricing"),
        (&a, "far/basket", "far/pricing"),
        (&b, "far/basket", "far/pricing"),
    ] {
        let begun = Instant::now();
        let error = asked.call(target, "total", r#"[{sku: "trap", quantity: 1}]"#).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind, "trapped", "{error:?}");
        assert!(error.error.contains(pricing), "who trapped is named: {error:?}");
        assert!(error.error.contains("unreachable"), "and by which instruction: {error:?}");
        assert!(begun.elapsed() < Duration::from_secs(15));
        asked.call(target, "total", "[]").await.unwrap();
    }

    // What a person got wrong is told with what there is.
    for asked in [&a, &b] {
        let error = asked.call("far/basket", "sum", "[]").await.unwrap_err();
        assert_eq!(error.kind, "not-linked", "{error:?}");
        assert!(error.error.contains("sum") && error.error.contains("total"), "{error:?}");
        let error = asked.call("far/basket", "total", "[{sku: 7}]").await.unwrap_err();
        assert!(error.error.contains("it takes (items)"), "{error:?}");
        let error = asked.call("far/nobody", "total", "[]").await.unwrap_err();
        assert_eq!(error.kind, "not-linked", "{error:?}");
    }
}
