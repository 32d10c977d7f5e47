//! Says what things cost, from a table that never changes, so that tests know the answers.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/shop", world: "pricing-desk" });
}
mod table;

use bindings::exports::example::shop::pricing::{Currency, Guest, Quote, ShopError};

/// Nobody sells this: asking for it ends the component.
const TRAP: &str = "trap";

struct Pricing;

impl Guest for Pricing {
    fn price(sku: String) -> Result<Quote, ShopError> {
        if sku == TRAP {
            core::arch::wasm32::unreachable();
        }
        table::articles().find(|quote| quote.sku == sku).ok_or(ShopError::UnknownSku(sku))
    }

    fn catalogue(currency: Option<Currency>) -> Vec<Quote> {
        let wanted =
            |quote: &Quote| currency.is_none_or(|currency| quote.unit_price.currency == currency);
        table::articles().filter(wanted).collect()
    }
}

bindings::export!(Pricing with_types_in bindings);
