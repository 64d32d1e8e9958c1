//! Bugs that the harness puts into a run, to show that it would find them.

/// A bug of a homeserver, brought in at one of its ports; or of the harness itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A lane's row is taken before what it becomes is durable.
    TakenBeforeAppended,
    /// What was spent is forgotten when the process starts again.
    SpentForgotten,
    /// A call that lost a race is committed as it was decided before.
    StaleDecision,
    /// What an AS decides is answered, and never written.
    AuthorityForgets,
    /// The oracle says that a group's last admin may be made a plain member.
    MistakenOracle,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::TakenBeforeAppended,
        Self::SpentForgotten,
        Self::StaleDecision,
        Self::AuthorityForgets,
        Self::MistakenOracle,
    ];
}
