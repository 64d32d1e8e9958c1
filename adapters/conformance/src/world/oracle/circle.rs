//! What the oracle knows of a group: who is in it, and who is admin.

use std::collections::BTreeSet;

use phoenix_core::UserId;

use super::{
    Doing,
    deed::{Deed, Verdict, Why},
};
use crate::world::cast::View;

/// A group, as its homeserver must see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Circle {
    pub(super) members: BTreeSet<UserId>,
    /// Members that have left, and are gone with the next commit.
    pub(super) leaving: BTreeSet<UserId>,
    pub(super) admins: BTreeSet<UserId>,
    pub(super) has_ended: bool,
    /// Whether something was done of which nobody knows what became, so that nothing is known until all is at rest.
    pub(super) is_unclear: bool,
    /// How often something that changes it was begun or has ended.
    pub(super) changes: u64,
    /// How many such things are under way.
    pub(super) under_way: usize,
}

impl Circle {
    /// A group that someone has just made.
    pub(super) fn of(founder: &UserId) -> Self {
        let alone = BTreeSet::from([founder.clone()]);
        Self { members: alone.clone(), admins: alone, ..Self::default() }
    }

    /// Something that changes it is begun.
    pub(super) const fn begin(&mut self) {
        self.changes = self.changes.saturating_add(1);
        self.under_way = self.under_way.saturating_add(1);
    }

    /// Something that changes it has ended.
    pub(super) const fn end(&mut self) {
        self.changes = self.changes.saturating_add(1);
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// As its members see it when all is at rest.
    pub(super) fn learn(&mut self, view: Option<&View>) {
        let View { members, admins, .. } = view.cloned().unwrap_or_default();
        let has_ended = self.has_ended || view.is_none();
        // Who has left stays in it until somebody commits.
        let leaving = self.leaving.intersection(&members).cloned().collect();
        let changes = self.changes.saturating_add(1);
        *self = Self { members, leaving, admins, has_ended, changes, ..Self::default() };
    }

    /// What comes of something that is done in it; none where that is open. `sees` is how the client that does it sees
    /// the group.
    pub(super) fn verdict(&self, doing: &Doing, sees: Option<&View>) -> Option<Verdict> {
        if self.is_unclear || self.under_way > 0 {
            return None;
        }
        let by = &doing.by.user;
        let is_outside = !self.members.contains(by) || self.leaving.contains(by);
        if self.has_ended || is_outside {
            // Who has not heard of that may take it for done already, and ask nobody.
            let why = if self.has_ended { Why::Ended } else { Why::NoMember };
            let is_strange = doing.deed == Deed::Add && !doing.are_friends;
            let is_asked = !seems_done(doing, sees) && !doing.seems_vain && !is_strange;
            return is_asked.then_some(Verdict::Refuse(why));
        }
        // It may not know yet that it is a member, or who else is.
        if sees.is_none() || doing.deed.is_done_to_someone() && !self.is_seen_by(sees) {
            return None;
        }
        let whom = doing.whom.as_ref().unwrap_or(by);
        if self.leaving.contains(whom) {
            return None;
        }
        let is_in = self.members.contains(whom);
        match doing.deed {
            Deed::Whisper | Deed::Report if !is_in => Some(Verdict::Refuse(Why::Unknown)),
            Deed::Remove | Deed::Promote | Deed::Demote if !is_in => Some(Verdict::Refuse(Why::Unknown)),
            Deed::Add if is_in => Some(Verdict::Accept),
            Deed::Add if !doing.are_friends => Some(Verdict::Refuse(Why::Stranger)),
            Deed::Promote if self.admins.contains(whom) => Some(Verdict::Accept),
            Deed::Demote if !self.admins.contains(whom) => Some(Verdict::Accept),
            Deed::Leave => self.has_someone_but(by).then_some(Verdict::Accept),
            Deed::Add | Deed::Remove | Deed::Promote | Deed::Demote | Deed::End => {
                self.verdict_on_admin(doing, whom)
            }
            _ => Some(Verdict::Accept),
        }
    }

    /// What only admins do. Where all of them leave, somebody takes their place.
    fn verdict_on_admin(&self, doing: &Doing, whom: &UserId) -> Option<Verdict> {
        if !self.admins.is_disjoint(&self.leaving) || self.admins.is_empty() {
            return None;
        }
        Some(match doing.deed {
            Deed::Demote if self.admins.len() == 1 && self.admins.contains(whom) => {
                Verdict::Refuse(Why::LastAdmin)
            }
            _ if !self.admins.contains(&doing.by.user) => Verdict::Refuse(Why::NoAdmin),
            _ => Verdict::Accept,
        })
    }

    /// Something was accepted.
    pub(super) fn change(&mut self, doing: &Doing) {
        let by = &doing.by.user;
        let whom = doing.whom.as_ref().unwrap_or(by);
        match doing.deed {
            Deed::Add => {
                // Who has left is added anew, or is in it still, as the one that adds sees it.
                self.is_unclear |= self.leaving.contains(whom);
                self.members.insert(whom.clone());
            }
            Deed::Remove => {
                self.members.remove(whom);
                self.admins.remove(whom);
            }
            Deed::Promote => {
                self.admins.insert(whom.clone());
            }
            Deed::Demote => {
                self.admins.remove(whom);
            }
            Deed::Leave if self.members.len() > 1 => {
                self.leaving.insert(by.clone());
            }
            Deed::End | Deed::Leave => {
                *self = Self {
                    has_ended: true,
                    changes: self.changes,
                    under_way: self.under_way,
                    ..Self::default()
                };
            }
            _ => {}
        }
    }

    /// Its homeserver takes members out of it by itself, and says how many: they are in it until somebody commits.
    pub(super) fn expel(&mut self, users: &BTreeSet<UserId>) -> u64 {
        let before = self.leaving.len();
        self.leaving.extend(self.members.intersection(users).cloned());
        u64::try_from(self.leaving.len().saturating_sub(before)).unwrap_or(0)
    }

    /// How members see it, where they see it otherwise than the oracle: in words.
    pub(super) fn differs_from(&self, view: Option<&View>) -> Option<&'static str> {
        if self.is_unclear {
            return None;
        }
        let Some(view) = view else {
            let has_members = !self.has_ended && !self.members.is_subset(&self.leaving);
            return has_members.then_some("nobody is in a group that has members");
        };
        if self.has_ended {
            return Some("somebody is in a group that has ended");
        }
        let staying: BTreeSet<_> = self.members.difference(&self.leaving).cloned().collect();
        let without: BTreeSet<_> = view.members.difference(&self.leaving).cloned().collect();
        if staying != without {
            return Some("others are members than were added and not removed");
        }
        let is_admin_gone = !self.admins.is_disjoint(&self.leaving);
        (!is_admin_gone && self.admins != view.admins).then_some("others are admin than were made so")
    }

    fn is_seen_by(&self, sees: Option<&View>) -> bool {
        sees.is_some_and(|view| view.members == self.members && view.admins == self.admins)
    }

    fn has_someone_but(&self, user: &UserId) -> bool {
        self.members.iter().any(|member| member != user && !self.leaving.contains(member))
    }
}

/// Whether there is nothing to do, as whoever does it sees it.
pub(super) fn seems_done(doing: &Doing, sees: Option<&View>) -> bool {
    let (Some(view), Some(whom)) = (sees, &doing.whom) else { return false };
    match doing.deed {
        Deed::Add => view.members.contains(whom),
        Deed::Promote => view.admins.contains(whom),
        Deed::Demote => !view.admins.contains(whom),
        _ => false,
    }
}

/// Whether there is nobody to do it to, or it may not be done, as the client that does it has the group: it asks nobody
/// then.
pub(super) fn seems_vain(doing: &Doing, holds: Option<&View>) -> bool {
    let (Some(view), Some(whom)) = (holds, &doing.whom) else { return false };
    let is_last_admin = doing.deed == Deed::Demote && view.admins.iter().eq([whom]);
    let is_to_member = doing.deed.is_done_to_someone() && doing.deed != Deed::Add;
    is_last_admin || is_to_member && !view.members.contains(whom)
}
