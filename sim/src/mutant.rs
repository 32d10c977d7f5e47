//! Rules that are broken on purpose, to see that an oracle notices.
//!
//! Each is a switch in the glue of this crate, between the mesh's state machines and the simulated
//! world: the shipped code has none of it. No scenario and no command can turn one on, only a
//! caller of [`crate::run::Options::broken`].

/// One broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// The disk says that a write is done, and has not begun.
    SkipSync,
    /// A node that is sent an older change signs it anew, and so it wins.
    OlderWins,
    /// A node that starts leaves its tombstones on the disk.
    ForgetTombstones,
    /// A message is given to its component whether it was handled before or not.
    HandleAgain,
    /// A delivery that got no answer counts as one that was handled.
    LoseMessages,
    /// Every call may be made again, whatever its link says.
    RepeatEverything,
    /// Nobody watches a call's deadline.
    NoDeadline,
    /// A node that sees less than half of the mesh takes no changes.
    NeedMajority,
    /// What runs is never stopped.
    NeverStop,
    /// A connection over which one ping is lost is closed, and its peer given up.
    SilenceIsDeath,
    /// No comparison of records is answered.
    NoReconciliation,
    /// Nobody is dialled a second time.
    NoRedial,
    /// Every answer of gossip goes to everybody, five times.
    Chatter,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::SkipSync,
        Self::OlderWins,
        Self::ForgetTombstones,
        Self::HandleAgain,
        Self::LoseMessages,
        Self::RepeatEverything,
        Self::NoDeadline,
        Self::NeedMajority,
        Self::NeverStop,
        Self::SilenceIsDeath,
        Self::NoReconciliation,
        Self::NoRedial,
        Self::Chatter,
    ];
}
