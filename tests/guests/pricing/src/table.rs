//! What is sold, and for how much.

use crate::bindings::example::shop::types::{Currency, Handling, Money, Quote};

const ARTICLES: [(&str, u64, Currency, Handling); 6] = [
    ("tea", 450, Currency::Eur, Handling::empty()),
    ("coffee", 899, Currency::Eur, Handling::empty()),
    ("milk", 129, Currency::Eur, Handling::COLD),
    ("glass", 1_250, Currency::Eur, Handling::FRAGILE),
    ("wine", 1_499, Currency::Eur, Handling::FRAGILE.union(Handling::AGE_CHECKED)),
    ("bagel", 325, Currency::Usd, Handling::empty()),
];

/// Everything that is sold, always in the same order.
pub(crate) fn articles() -> impl Iterator<Item = Quote> {
    ARTICLES.into_iter().map(|(sku, amount, currency, handling)| Quote {
        sku: sku.to_owned(),
        unit_price: Money { amount, currency },
        handling,
    })
}
