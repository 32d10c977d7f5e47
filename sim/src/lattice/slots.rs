//! Things by number, where the numbers are given out one after the other: found at once, and gone
//! through in their order.

/// As a map from numbers, each in its place.
#[derive(Debug)]
pub(super) struct Slots<T>(Vec<Option<Box<T>>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slots<T> {
    pub(super) fn insert(&mut self, number: u64, what: T) {
        let Ok(at) = usize::try_from(number) else { return };
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = Some(Box::new(what));
        }
    }

    pub(super) fn get(&self, number: &u64) -> Option<&T> {
        self.0.get(usize::try_from(*number).ok()?)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, number: &u64) -> Option<&mut T> {
        self.0.get_mut(usize::try_from(*number).ok()?)?.as_deref_mut()
    }

    pub(super) fn remove(&mut self, number: &u64) {
        if let Some(slot) = usize::try_from(*number).ok().and_then(|at| self.0.get_mut(at)) {
            *slot = None;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let slots = (0..).zip(&self.0);
        slots.filter_map(|(number, slot)| Some((number, slot.as_deref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        let slots = (0..).zip(&mut self.0);
        slots.filter_map(|(number, slot)| Some((number, slot.as_deref_mut()?)))
    }
}
