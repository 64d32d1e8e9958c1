//! Renewing our leaves after the credential was renewed (03, "Chain").

use phoenix_core::{Fingerprint, GroupId, Pseudonym, credential::IdentityLink, crypto::sha256, time::DAY};

use super::{GroupRecord, Plan, Standing};
use crate::{
    error::ClientError,
    mls::{
        extensions,
        leaf::{OwnLeaf, validity},
    },
    session::Session,
};

impl Session {
    /// Renews the leaf of one group, if there is one that shows an older credential and whose time has come. One at
    /// a time, in no order: those who serve two groups are not to see that both have a member who renews just now.
    pub(crate) async fn renew_a_leaf(&mut self) -> Result<(), ClientError> {
        let due =
            self.stale_groups().filter(|(_, record)| self.is_leaf_due(record) && self.is_prepared(record));
        let due: Vec<_> = due.map(|(group, _)| group.clone()).collect();
        // The others' come by a later call, when a state that knows them was saved.
        for group in self.stale_groups().map(|(group, _)| group.clone()).collect::<Vec<_>>() {
            self.prepare_leaf(&group)?;
        }
        match self.draw(due) {
            Some(group) => self.commit(&group, &Plan::Renew).await,
            None => Ok(()),
        }
    }

    /// Commits in one group, if there is one that we have not committed in for weeks (07, "DS-induced removals").
    pub(crate) async fn show_activity(&mut self) -> Result<(), ClientError> {
        let now = self.now();
        let is_due = |record: &GroupRecord| {
            let (at, secret) = (record.committed_at.as_secs(), record.leaf.link_key.expose());
            let delay = QUIET_S + delay(secret, at) % SPREAD_S;
            record.standing == Standing::Member && now.as_secs() >= at.saturating_add(delay)
        };
        match self.draw_group(is_due) {
            Some(group) => self.commit(&group, &Plan::Update).await,
            None => Ok(()),
        }
    }

    /// Puts the keys that a DS publishes now into one group that we are admin of, if there is one that has others
    /// (07): the DS proposes under the keys that the group lists.
    pub(crate) async fn renew_senders(&mut self) -> Result<(), ClientError> {
        let Some(group) = self.draw_group(|record| record.standing == Standing::Member) else {
            return Ok(());
        };
        if !self.is_admin(&group)? || self.check_health(&group).is_err() {
            return Ok(());
        }
        let keys = self.ds_keys(&group.domain).await?;
        match extensions::with_senders(self.mls(&group)?.0, (&group.domain, &keys))? {
            Some(_) => self.commit(&group, &Plan::Senders(keys)).await,
            None => Ok(()),
        }
    }

    /// The leaf that takes the place of ours: made now, where that was not done yet. Under another pseudonym, where ours
    /// came from a last-resort package, whose keys others may know us by; else under the same.
    pub(super) fn prepare_leaf(&mut self, group: &GroupId) -> Result<OwnLeaf, ClientError> {
        let record = self.group(group)?;
        if let Some(leaf) = record.next_leaf.as_ref().filter(|_| self.is_prepared(record)) {
            return Ok(leaf.clone());
        }
        let (suite, pseudonym) = (record.leaf.key.suite(), record.leaf.credential.pseudonym);
        let is_shared = record.is_leaf_shared.is_set();
        let pseudonym = if is_shared { Pseudonym(self.chance.bytes()) } else { pseudonym };
        let identity = (&self.state.account.credential, self.signer.as_ref());
        let now = self.ports.clock.now();
        let leaf = OwnLeaf::of(pseudonym, suite, identity, (now, &mut self.chance))?;
        self.group_mut(group)?.next_leaf = Some(leaf.clone());
        Ok(leaf)
    }

    /// Whether the next leaf is there, shows our present credential, and began this month or the last.
    fn is_prepared(&self, record: &GroupRecord) -> bool {
        let (current, month) = (self.state.account.credential.fingerprint(), validity(self.now()).first);
        let next = record.next_leaf.as_ref();
        next.is_some_and(|leaf| {
            let first = leaf.credential.validity.first;
            shown_by(leaf) == Some(current) && (first == month || first.plus(1) == month)
        })
    }

    /// One of the groups of which something holds.
    pub(crate) fn draw_group(&mut self, holds: impl Fn(&GroupRecord) -> bool) -> Option<GroupId> {
        let due = self.state.groups.iter().filter(|(_, record)| holds(record));
        let due: Vec<_> = due.map(|(group, _)| group.clone()).collect();
        self.draw(due)
    }

    fn draw(&mut self, groups: Vec<GroupId>) -> Option<GroupId> {
        let drawn = usize::from(u16::from_be_bytes(self.chance.bytes()));
        drawn.checked_rem(groups.len()).and_then(|number| groups.get(number).cloned())
    }

    /// Groups in which our leaf shows an older credential than ours.
    pub(crate) fn stale_groups(&self) -> impl Iterator<Item = (&GroupId, &GroupRecord)> {
        let current = self.state.account.credential.fingerprint();
        let members = self.state.groups.iter().filter(|(_, record)| record.standing == Standing::Member);
        members.filter(move |(_, record)| shown_by(&record.leaf).is_some_and(|shown| shown != current))
    }

    /// Some days after the credential was renewed: how many, follows from what the group's members alone know.
    fn is_leaf_due(&self, record: &GroupRecord) -> bool {
        let renewed_at = self.state.account.credential.payload.validity.not_before;
        let delay = delay(record.leaf.link_key.expose(), renewed_at) % SPREAD_S;
        self.now().as_secs() >= renewed_at.saturating_add(delay)
    }
}

/// A number that differs from group to group, and that only a group's members could know.
fn delay(secret: &[u8; 32], at: u64) -> u64 {
    let [a, b, c, d, ..] = sha256(&[secret.as_slice(), &at.to_be_bytes()].concat());
    u64::from(u32::from_be_bytes([a, b, c, d]))
}

/// The credential that a leaf of ours shows to its group.
fn shown_by(leaf: &OwnLeaf) -> Option<Fingerprint> {
    let (link, pseudonym) = (&leaf.credential.encrypted_identity_link, leaf.credential.pseudonym);
    let link = IdentityLink::open(link, &leaf.link_key, pseudonym).ok()?;
    Some(link.credential.fingerprint())
}

/// Over how long the renewals of all groups are spread, in seconds: well within the month for which the former
/// credential is valid still.
const SPREAD_S: u64 = 7 * DAY;
/// How long we commit nothing in a group, at least, in seconds: with the spread, and some days for trying again, less
/// than thirty days (07).
const QUIET_S: u64 = 19 * DAY;
