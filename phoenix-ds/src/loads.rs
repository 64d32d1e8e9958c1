//! What a call counts for its sender and its group (05, "Group pseudonym"). Both are told apart by keyed hashes in
//! memory, so that no pseudonym is followed.

use phoenix_core::{
    GroupId, LeafIndex,
    limit::{Limit, Load, Loads},
    wire::Wire,
};

/// A message of a member.
pub(crate) fn message(group: &GroupId, leaf: LeafIndex) -> Loads {
    of(Limit::LeafMessages, group, leaf)
}

/// Something else of a member that the whole group has to deal with.
pub(crate) fn change(group: &GroupId, leaf: LeafIndex) -> Loads {
    of(Limit::LeafChanges, group, leaf)
}

/// Something of somebody who is no member yet.
pub(crate) fn join(group: &GroupId) -> Loads {
    Loads::All(vec![Load::new(Limit::Group, group.encode(), 1)])
}

fn of(limit: Limit, group: &GroupId, leaf: LeafIndex) -> Loads {
    let own = Load::new(limit, (group.clone(), leaf).encode(), 1);
    Loads::All(vec![own, Load::new(Limit::Group, group.encode(), 1)])
}

#[cfg(test)]
mod tests;
