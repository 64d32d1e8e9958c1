//! Bugs that the harness puts into a run, to show that it would find them.

/// A bug of a homeserver, brought in at one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A lane's row is taken before what it becomes is durable.
    TakenBeforeAppended,
    /// What was spent is forgotten when the process starts again.
    SpentForgotten,
    /// A call that lost a race is committed as it was decided before.
    StaleDecision,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TakenBeforeAppended, Self::SpentForgotten, Self::StaleDecision];
}
