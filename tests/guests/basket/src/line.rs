//! One article, so many times, less its discount.

use crate::bindings::example::shop::pricing;
use crate::bindings::example::shop::types::{Discount, Handling, Item, Line, Money, ShopError};

/// Asks for the price and takes the discount off.
pub(crate) fn price(item: Item) -> Result<(Line, Handling), ShopError> {
    let quote = pricing::price(&item.sku)?;
    let unit_price = quote.unit_price;
    let full = unit_price.amount.checked_mul(u64::from(item.quantity)).ok_or(ShopError::TooMuch)?;
    let saved = match item.discount {
        None => None,
        Some(discount) => Some(
            saving(discount, unit_price, item.quantity, full)
                .ok_or_else(|| ShopError::BadDiscount((item.sku.clone(), discount)))?,
        ),
    };
    let in_currency = |amount| Money { amount, currency: unit_price.currency };
    let line = Line {
        sku: quote.sku,
        quantity: item.quantity,
        unit_price,
        total: in_currency(full - saved.unwrap_or(0)),
        saved: saved.map(in_currency),
    };
    Ok((line, quote.handling))
}

/// What the discount takes off a line, which is at most all of it; nothing when it makes no sense.
fn saving(discount: Discount, unit_price: Money, quantity: u32, full: u64) -> Option<u64> {
    match discount {
        Discount::Percent(percent) if percent <= 100 => {
            // In 128 bits nothing overflows, and the result is at most `full`.
            u64::try_from(u128::from(full) * u128::from(percent) / 100).ok()
        }
        Discount::Fixed(off) if off.currency == unit_price.currency => Some(off.amount.min(full)),
        Discount::MultiBuy((pieces, paid)) if paid < pieces => {
            let free = u64::from(quantity / pieces) * u64::from(pieces - paid);
            unit_price.amount.checked_mul(free)
        }
        _ => None,
    }
}
