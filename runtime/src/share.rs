//! How much of what all components of an engine share one of them may have: so that one which is
//! called often, or made to hold much, leaves room for the others on its node.

use wattle_contracts::id::ComponentId;

use crate::bind::BindError;
use crate::component::Component;
use crate::engine::{MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT};

/// One component may have one part in so many.
const PART: u32 = 4;

/// How many calls of `component` may run at once, at the most. The memory in bytes has its bound by
/// that, too: no instance has more of it than its part of the pool.
pub(crate) fn calls(id: &ComponentId, component: &Component) -> Result<usize, BindError> {
    // Nobody can say it of one that instantiates modules which it is given; none such is bound.
    let (memories, tables) = component
        .wasmtime()
        .resources_required()
        .map_or((MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT), |needs| {
            (needs.num_memories, needs.num_tables)
        });
    let pool = component.engine().pool();
    let most = most([
        Need { what: "instances", needed: 1, all: pool.instances },
        Need { what: "memories", needed: memories, all: pool.memories },
        Need { what: "tables", needed: tables, all: pool.tables },
    ]);
    most.map_err(|Need { what, needed, all }| BindError::Share {
        id: id.clone(),
        what,
        needed,
        share: share(all),
        all,
    })
}

/// What one call needs of something of which there is so much.
#[derive(Debug, PartialEq, Eq)]
struct Need {
    what: &'static str,
    needed: u32,
    all: u32,
}

/// Where there is little, at least one.
fn share(all: u32) -> u32 {
    (all / PART).max(1)
}

/// How many calls there is enough for, or what there is not enough of for a single one.
fn most(needs: [Need; 3]) -> Result<usize, Need> {
    let mut most = u32::MAX;
    for need in needs {
        match share(need.all).checked_div(need.needed) {
            Some(0) => return Err(need),
            Some(calls) => most = most.min(calls),
            // It needs none.
            None => {}
        }
    }
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(instances: u32, memories: u32, tables: u32) -> Result<usize, Need> {
        most([
            Need { what: "instances", needed: 1, all: instances },
            Need { what: "memories", needed: memories, all: instances },
            Need { what: "tables", needed: tables, all: 2 * instances },
        ])
    }

    #[test]
    fn what_is_scarcest_counts() {
        assert_eq!(of(1000, 0, 0), Ok(250));
        assert_eq!(of(1000, 1, 2), Ok(250));
        assert_eq!(of(1000, 4, 2), Ok(62));
        assert_eq!(of(1000, 1, 8), Ok(62));
        // Of one there is no quarter.
        assert_eq!(of(1, 1, 1), Ok(1));
        assert_eq!(of(4, 2, 1), Err(Need { what: "memories", needed: 2, all: 4 }));
        assert_eq!(of(8, 1, 5), Err(Need { what: "tables", needed: 5, all: 16 }));
    }
}
