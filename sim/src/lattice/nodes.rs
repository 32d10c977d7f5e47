//! Sets of nodes, as faults and links name them.

/// A set of numbered nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSet(Vec<bool>);

impl NodeSet {
    /// The set with these nodes.
    pub fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }

    /// Puts a node in.
    pub fn insert(&mut self, number: usize) {
        if self.0.len() <= number {
            self.0.resize(number + 1, false);
        }
        if let Some(slot) = self.0.get_mut(number) {
            *slot = true;
        }
    }

    /// Whether a node is in it.
    pub fn has(&self, number: usize) -> bool {
        self.0.get(number).copied().unwrap_or(false)
    }

    /// The nodes, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().filter(|(_, is_in)| **is_in).map(|(number, _)| number)
    }

    /// How many nodes are in it.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        !self.0.contains(&true)
    }
}
