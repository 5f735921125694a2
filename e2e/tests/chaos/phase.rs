//! The progress of a round.

/// A phase of a round, the same for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Events are produced, faults are made, clients behave as they are.
    Faults,
    /// All is healed; clients read what is left.
    Recovery,
    /// All that was to come has come.
    Over,
}
