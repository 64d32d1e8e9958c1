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
    /// Whether it has ended the group itself, and forgotten it.
    pub(crate) is_closed: bool,
    /// Whether it has the group blocked.
    pub(crate) hearing: Hearing,
    /// Whether it ever had, so that it need not have been shown everything.
    pub(crate) missed_some: bool,
}

/// Whether a client stores what comes for a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It does.
    #[default]
    Hears,
    /// It has asked for the contrary, or for this again, and may not have been heard.
    Unsure,
    /// It does not.
    Blocked,
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
        let chapter = self.groups.entry(group.clone()).or_default();
        let stays = &mut chapter.stays;
        if chapter.is_closed {
            // To end a group, its client first reads what it had missed of it, and is told of that only later: it
            // was a member through these epochs. It does not become one again.
            if let Some(stay) = stays.last_mut() {
                stay.last = stay.last.max(epoch);
            }
            return;
        }
        match stays.last_mut().filter(|stay| !stay.over) {
            Some(stay) => stay.last = stay.last.max(epoch),
            None => stays.push(Stay { first: epoch, last: epoch, over: false }),
        }
    }

    /// A client ends a group: what it had not read of it by then, it is not shown.
    pub(crate) fn ended(&mut self, group: &GroupId) {
        self.removed(group);
        let chapter = self.groups.entry(group.clone()).or_default();
        (chapter.is_closed, chapter.missed_some) = (true, true);
    }

    pub(crate) fn removed(&mut self, group: &GroupId) {
        if let Some(stay) = self.groups.entry(group.clone()).or_default().stays.last_mut() {
            stay.over = true;
        }
    }

    /// A client is about to block a group, or to free it.
    pub(crate) fn turns_deaf(&mut self, group: &GroupId) {
        let chapter = self.groups.entry(group.clone()).or_default();
        (chapter.hearing, chapter.missed_some) = (Hearing::Unsure, true);
    }

    pub(crate) fn has_blocked(&mut self, group: &GroupId) {
        self.groups.entry(group.clone()).or_default().hearing = Hearing::Blocked;
    }

    pub(crate) fn hears(&mut self, group: &GroupId) {
        self.groups.entry(group.clone()).or_default().hearing = Hearing::Hears;
    }

    pub(crate) fn heard(&mut self, group: &GroupId, text: String) {
        self.groups.entry(group.clone()).or_default().texts.push(text);
    }
}

impl Chapter {
    /// Whether the client was a member from when a text was encrypted until it was accepted, and so must be shown
    /// it.
    pub(crate) fn must_show(&self, made_in: u64, accepted_in: u64) -> bool {
        !self.missed_some
            && self.stays.iter().any(|stay| stay.first <= made_in && (!stay.over || accepted_in <= stay.last))
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
