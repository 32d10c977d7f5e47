//! Long lists cut into messages that are not too long.

/// Cuts `items` into lists of at most `each` bytes, by their `cost` in bytes, and stops when
/// `total` is spent. An item that is longer than `each` by itself gets a list of its own.
pub(super) fn cut<T>(
    items: impl IntoIterator<Item = T>,
    cost: impl Fn(&T) -> usize,
    each: usize,
    total: usize,
) -> Vec<Vec<T>> {
    let mut lists: Vec<Vec<T>> = Vec::new();
    let (mut spent, mut filled) = (0usize, 0usize);
    for item in items {
        let cost = cost(&item);
        if spent > 0 && spent + cost > total {
            break;
        }
        spent += cost;
        filled += cost;
        match lists.last_mut() {
            Some(list) if filled <= each => list.push(item),
            _ => {
                filled = cost;
                lists.push(vec![item]);
            }
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_list_is_too_long_and_nothing_is_lost_below_the_total(
            items in prop::collection::vec(1usize..50, 0..60),
            each in 1usize..100,
            total in 1usize..1000,
        ) {
            let lists = cut(items.clone(), |item| *item, each, total);
            for list in &lists {
                prop_assert!(list.len() == 1 || list.iter().sum::<usize>() <= each);
            }
            let kept = lists.concat();
            prop_assert!(items.starts_with(&kept));
            let sum: usize = kept.iter().sum();
            prop_assert!(sum <= total || kept.len() == 1);
            if items.iter().sum::<usize>() <= total {
                prop_assert_eq!(kept, items);
            }
        }
    }
}
