//! Adds up a basket. What things cost it asks `pricing`, which may run on another node.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/shop", world: "checkout" });
}
mod line;
mod receipt;

use bindings::example::shop::pricing;
use bindings::exports::example::shop::basket::{Guest, Item, Money, Receipt, ShopError};

struct Basket;

impl Guest for Basket {
    fn total(items: Vec<Item>) -> Result<Receipt, ShopError> {
        let priced = items.into_iter().map(line::price).collect::<Result<Vec<_>, _>>()?;
        receipt::add_up(priced)
    }

    fn cheapest(skus: Vec<String>) -> Result<Option<(String, Money)>, ShopError> {
        let quotes = skus.iter().map(|sku| pricing::price(sku)).collect::<Result<Vec<_>, _>>()?;
        for pair in quotes.windows(2) {
            if let [one, other] = pair {
                receipt::same_currency(one.unit_price, other.unit_price)?;
            }
        }
        let least = quotes.into_iter().min_by_key(|quote| quote.unit_price.amount);
        Ok(least.map(|quote| (quote.sku, quote.unit_price)))
    }
}

bindings::export!(Basket with_types_in bindings);
