//! What a client was shown of a group, in order.

use std::collections::BTreeMap;

use phoenix_core::GroupId;

/// What the clients of a run were shown.
pub(crate) type Diaries = BTreeMap<String, Diary>;

/// What one client was shown, by group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diary {
    pub(crate) groups: BTreeMap<GroupId, Chapter>,
}

/// What one client was shown of one group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chapter {
    /// The texts of others, in order.
    pub(crate) texts: Vec<String>,
    /// The epochs through which it was a member.
    pub(crate) stays: Vec<Stay>,
}

/// A membership, from its first epoch to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) first: u64,
    /// The last epoch that the client saw; the epoch of its removal is the next one.
    pub(crate) last: u64,
    pub(crate) over: bool,
}

impl Diary {
    pub(crate) fn joined(&mut self, group: &GroupId, epoch: u64) {
        let stay = Stay { first: epoch, last: epoch, over: false };
        self.groups.entry(group.clone()).or_default().stays.push(stay);
    }

    pub(crate) fn entered(&mut self, group: &GroupId, epoch: u64) {
        let stays = &mut self.groups.entry(group.clone()).or_default().stays;
        match stays.last_mut().filter(|stay| !stay.over) {
            Some(stay) => stay.last = stay.last.max(epoch),
            None => stays.push(Stay { first: epoch, last: epoch, over: false }),
        }
    }

    pub(crate) fn removed(&mut self, group: &GroupId) {
        if let Some(stay) = self.groups.entry(group.clone()).or_default().stays.last_mut() {
            stay.over = true;
        }
    }

    pub(crate) fn heard(&mut self, group: &GroupId, text: String) {
        self.groups.entry(group.clone()).or_default().texts.push(text);
    }
}

impl Chapter {
    /// Whether the client was a member from when a text was encrypted until it was accepted, and so must be shown
    /// it.
    pub(crate) fn must_show(&self, made_in: u64, accepted_in: u64) -> bool {
        self.stays.iter().any(|stay| stay.first <= made_in && (!stay.over || accepted_in <= stay.last))
    }

    /// Whether the client was no member in any epoch from then to then, and so must not be shown it.
    pub(crate) fn must_not_show(&self, accepted_in: u64) -> bool {
        !self.stays.iter().any(|stay| stay.first <= accepted_in && (!stay.over || accepted_in <= stay.last))
    }

    /// How often it was shown a text.
    pub(crate) fn shown(&self, text: &str) -> usize {
        self.texts.iter().filter(|shown| *shown == text).count()
    }
}
