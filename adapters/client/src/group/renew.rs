//! Renewing our leaves after the credential was renewed (03, "Chain").

use phoenix_core::{Fingerprint, GroupId, credential::IdentityLink, crypto::sha256, time::DAY};

use super::{GroupRecord, Plan, Standing};
use crate::{error::ClientError, mls::leaf::OwnLeaf, session::Session};

impl Session {
    /// Renews the leaf of one group, if there is one that shows an older credential and whose time has come. One at
    /// a time, in no order: those who serve two groups are not to see that both have a member who renews just now.
    pub(crate) async fn renew_a_leaf(&mut self) -> Result<(), ClientError> {
        let due = self.stale_groups().filter(|(_, record)| self.is_leaf_due(record));
        let due: Vec<_> = due.map(|(group, _)| group.clone()).collect();
        let drawn = usize::from(u16::from_be_bytes(self.chance.bytes()));
        match drawn.checked_rem(due.len()).and_then(|number| due.get(number)) {
            Some(group) => self.commit(group, &Plan::Renew).await,
            None => Ok(()),
        }
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
        let secret = [record.leaf.link_key.expose().as_slice(), &renewed_at.to_be_bytes()].concat();
        let [a, b, c, d, ..] = sha256(&secret);
        let delay = u64::from(u32::from_be_bytes([a, b, c, d])) % SPREAD_S;
        self.now().as_secs() >= renewed_at.saturating_add(delay)
    }
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
