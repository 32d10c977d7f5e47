//! Who gets the attempts that may be under way at once.
//!
//! Some targets are sure: they were admitted before, or a person or this machine named them. The
//! others are hints, which anybody may make up who is a member or on the same network, as many as
//! they like. So the sure ones go first, and hints never have more than half of the places: false
//! ones, each of which is waited for in vain, do not keep this node from those that it knows. As a
//! mesh may have many members that are gone for good, and those are sure, too, a quarter of the places
//! is left to hints, if there are any.

/// How many attempts may be under way, and how many are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) all: usize,
    /// Taken by sure targets.
    pub(super) sure: usize,
    /// Taken by hints.
    pub(super) hints: usize,
}

impl Places {
    /// How many may begin of those that are due, sure ones and hints.
    pub(super) fn share(self, sure: usize, hints: usize) -> (usize, usize) {
        let free = self.all.saturating_sub(self.sure + self.hints);
        let at_most = self.all.div_ceil(2).saturating_sub(self.hints);
        let at_least = (self.all / 4).saturating_sub(self.hints);
        let sure = sure.min(free - hints.min(at_least).min(free));
        (sure, hints.min(at_most).min(free - sure))
    }

    /// Whether another attempt on a hint may begin, if no sure target wants to be tried.
    pub(super) fn has_room_for_hints(self) -> bool {
        self.share(0, 1) == (0, 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hints_have_half_of_the_places_and_a_quarter_for_certain() {
        let places = |all, sure, hints| Places { all, sure, hints };
        assert_eq!(places(16, 0, 0).share(0, 100), (0, 8));
        assert_eq!(places(16, 0, 8).share(100, 100), (8, 0));
        assert_eq!(places(16, 0, 0).share(100, 100), (12, 4));
        assert_eq!(places(16, 0, 0).share(100, 0), (16, 0));
        assert_eq!(places(16, 0, 0).share(3, 100), (3, 8));
        assert_eq!(places(16, 15, 0).share(100, 100), (0, 1));
        // A node that is late has one: the sure go first, and without them a hint is tried.
        assert_eq!(places(1, 0, 0).share(1, 1), (1, 0));
        assert_eq!(places(1, 0, 0).share(0, 1), (0, 1));
        // It had more under way when it became late.
        assert_eq!(places(1, 5, 5).share(1, 1), (0, 0));
    }

    proptest! {
        #[test]
        fn no_place_is_given_twice_and_none_is_kept_from_the_sure_but_for_hints(
            all in 1usize..40, sure in 0usize..40, hints in 0usize..40,
            sure_due in 0usize..40, hints_due in 0usize..40,
        ) {
            let (gets, hints_get) = Places { all, sure, hints }.share(sure_due, hints_due);
            let free = all.saturating_sub(sure + hints);
            prop_assert!(gets <= sure_due && hints_get <= hints_due);
            prop_assert!(gets + hints_get <= free);
            prop_assert!(hints_get == 0 || hints + hints_get <= all.div_ceil(2));
            // Whoever is left over finds no place free, or hints have what they may have.
            prop_assert!(gets == sure_due || gets + hints_get == free);
            prop_assert!(hints_get == hints_due || gets + hints_get == free
                || hints + hints_get >= all.div_ceil(2));
        }
    }
}
