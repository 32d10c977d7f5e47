//! Lines put together.

use crate::bindings::example::shop::types::{Handling, Line, Money, Receipt, ShopError};

/// The sum of lines that are all in one currency.
pub(crate) fn add_up(priced: Vec<(Line, Handling)>) -> Result<Receipt, ShopError> {
    let Some((first, _)) = priced.first() else {
        return Err(ShopError::Empty);
    };
    let mut total = Money { amount: 0, currency: first.total.currency };
    let mut handling = Handling::empty();
    let mut lines = Vec::with_capacity(priced.len());
    for (line, asks) in priced {
        same_currency(total, line.total)?;
        total.amount = total.amount.checked_add(line.total.amount).ok_or(ShopError::TooMuch)?;
        handling |= asks;
        lines.push(line);
    }
    Ok(Receipt { lines, total, handling })
}

pub(crate) fn same_currency(one: Money, other: Money) -> Result<(), ShopError> {
    if one.currency == other.currency {
        return Ok(());
    }
    Err(ShopError::MixedCurrencies((one.currency, other.currency)))
}
