//! The list of clients whose credentials are void (03, "Revocation and rotation").
//!
//! A full list is shared alike: whoever has the most entries makes room, so nobody washes away what others revoked.
//!
//! It is one row, since it is published whole. The same serial means the same entries, so what has ended leaves with
//! the next that come, and not before.

use std::{cmp::Reverse, collections::BTreeMap};

use phoenix_core::{
    Failure, Fault, Fingerprint, Timestamp, UserId,
    credential::{MAX_REVOCATIONS, RevocationDelta, RevocationDeltaTbs, RevocationEntry, RevocationList},
    operation::{Context, Decision, Reading, Rows},
    port::{Alarm, Wanted, Write},
    wire::{List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    AuthService, kinds,
    record::{self, Client, Earlier},
};

/// The list, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Revocations {
    serial: u64,
    entries: List<Listed, MAX_REVOCATIONS>,
}

/// A credential that is void, and since which serial it is listed.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Listed {
    serial: u64,
    /// Whose it is, as a keyed hash.
    user: [u8; 16],
    credential: Fingerprint,
    revoked_at: u64,
    /// The credential's last second.
    not_after: u64,
}

/// Reads the list, to publish it.
pub(crate) fn reading() -> Reading {
    Reading::glance(kinds::revocations(), Wanted::Keys(vec![record::ROW]))
}

/// Reads the list, to add to it.
pub(crate) fn reading_to_change() -> Reading {
    Reading::change(kinds::revocations(), Wanted::Keys(vec![record::ROW]))
}

impl Revocations {
    /// The list at a place that [`reading`] or [`reading_to_change`] asked for.
    ///
    /// # Errors
    /// A fault where what is stored is none.
    pub(crate) fn found(rows: &Rows, place: usize) -> Result<Self, Fault> {
        let stored = rows.row(place, &record::ROW)?.map(|stored| record::decode(stored)).transpose()?;
        Ok(stored.unwrap_or(Self { serial: 1, entries: List::default() }))
    }

    /// The serial that the list has once something more is revoked.
    pub(crate) fn next_serial(&self, cx: &Context<AuthService>) -> u64 {
        self.serial.saturating_add(1).saturating_add(cx.keys.generation.jump())
    }

    /// Also revokes all credentials of a user's clients that have not ended.
    pub(crate) fn revoking<'a, R>(
        self,
        user: &UserId,
        clients: impl IntoIterator<Item = &'a Client>,
        decision: Decision<R>,
        cx: &Context<AuthService>,
    ) -> Decision<R> {
        let credentials = clients.into_iter().flat_map(Client::credentials).collect();
        let user = cx.keys.at_rest.prf("revoked", &user.encode());
        let user = user.first_chunk().copied().unwrap_or_default();
        let writes = vec![Write::Put(record::ROW, record::encode(&self.with(user, credentials, cx.now)))];
        decision.change(kinds::revocations(), writes, Alarm::Keep)
    }

    /// The list with credentials of a user that are void from now on, without those that have ended. Where it is full,
    /// those leave it of whoever has the most, and of these what would end first: the AS itself knows none of them any
    /// more.
    fn with(self, user: [u8; 16], credentials: Vec<Earlier>, now: Timestamp) -> Self {
        let (now, serial) = (now.as_secs(), self.serial.saturating_add(1));
        let revoked = credentials.into_iter().map(|Earlier { credential, not_after }| Listed {
            serial,
            user,
            credential,
            revoked_at: now,
            not_after,
        });
        let mut entries: Vec<_> =
            self.entries.into_iter().chain(revoked).filter(|it| now <= it.not_after).collect();
        if entries.len() > MAX_REVOCATIONS {
            entries.sort_by_key(|it| Reverse(it.not_after));
            entries = each_in_turn(entries);
            entries.truncate(MAX_REVOCATIONS);
        }
        Self { serial, entries: List::new(entries).unwrap_or_default() }
    }

    /// The list, signed.
    ///
    /// # Errors
    /// None in practice: a fault where the AS's key does not sign.
    pub(crate) fn list(&self, cx: &Context<AuthService>) -> Result<RevocationList, Failure> {
        let serial = self.serial.saturating_add(cx.keys.generation.jump());
        Ok(cx.keys.service.revocation_list(serial, self.after(0), cx.now)?)
    }

    /// What came to the list after a serial, signed. A serial that was not reached yet is none that this AS gave: the
    /// answer is the whole list, as for 0.
    ///
    /// # Errors
    /// None in practice: a fault where the AS's key does not sign.
    pub(crate) fn since(&self, since: u64, cx: &Context<AuthService>) -> Result<RevocationDelta, Failure> {
        // With each restore all serials leave out as many (09): no peer has seen them, whatever this store forgot.
        let jump = cx.keys.generation.jump();
        let serial = self.serial.saturating_add(jump);
        let since = if since <= serial { since } else { 0 };
        let (intermediate, key) = cx.keys.service.intermediate();
        let payload = RevocationDeltaTbs {
            as_domain: cx.domain.clone(),
            since,
            serial,
            expires: cx.keys.service.revocations_expire(cx.now),
            entries: self.after(since.saturating_sub(jump)),
            signer: intermediate.fingerprint(),
        };
        Ok(RevocationDelta::issue(payload, key).map_err(Fault::from)?)
    }

    fn after(&self, serial: u64) -> List<RevocationEntry, MAX_REVOCATIONS> {
        let entries = self
            .entries
            .iter()
            .filter(|it| it.serial > serial)
            .map(|it| RevocationEntry { credential: it.credential, revoked_at: it.revoked_at });
        // As many as are stored, or fewer.
        List::new(entries.collect()).unwrap_or_default()
    }
}

/// Sorts entries so that the first of each user come first, then the second of each, and so on.
fn each_in_turn(entries: Vec<Listed>) -> Vec<Listed> {
    let mut counts = BTreeMap::<[u8; 16], usize>::new();
    let ranked = entries.into_iter().map(|it| {
        let count = counts.entry(it.user).or_default();
        *count = count.saturating_add(1);
        (*count, it)
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, it)| it).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use phoenix_core::{
        Fingerprint, Fqdn, Generation, Timestamp,
        api::ServiceName,
        credential::MAX_REVOCATIONS,
        crypto::{AtRestKey, Chance},
        operation::{Context, KeyRing},
        port::MAX_VALUE,
        published::{AsDocument, max_document},
        time::DAY,
        wire::List,
    };

    use super::{Listed, Revocations};
    use crate::{
        AuthKeys, AuthService, AuthSettings,
        record::{self, Earlier},
    };

    fn context() -> Context<AuthService> {
        let (domain, now): (Fqdn, _) = ("alpha.test".parse().unwrap(), Timestamp::from_secs(1_700_000_000));
        let keys = AuthKeys::generate(&domain, now, &mut Chance::from_seed([1; 32])).unwrap();
        let at_rest = AtRestKey::new([4; 32].into());
        let ring = KeyRing {
            generation: Generation::default(),
            tokens: keys.tokens().clone(),
            at_rest,
            service: keys,
        };
        Context::for_tests(now, domain, Arc::new(ring), AuthSettings::default(), [0; 32])
    }

    /// A list with as many entries as fit, of the users of their numbers; the later it came, the later it ends.
    fn full(user_of: impl Fn(u64) -> [u8; 16], cx: &Context<AuthService>) -> Revocations {
        let entry = |at: u64| {
            let mut credential = [0; 32];
            credential[..8].copy_from_slice(&at.to_be_bytes());
            Listed {
                serial: at,
                user: user_of(at),
                credential: Fingerprint(credential),
                revoked_at: cx.now.as_secs(),
                not_after: cx.now.as_secs() + DAY + at,
            }
        };
        let last = u64::try_from(MAX_REVOCATIONS).unwrap();
        Revocations { serial: last, entries: List::new((0..last).map(entry).collect()).unwrap() }
    }

    #[test]
    fn a_full_list_lets_go_of_what_ends_first_and_can_be_published() {
        let cx = context();
        let new = Earlier { credential: Fingerprint([9; 32]), not_after: cx.now.as_secs() + 90 * DAY };

        let list = full(each_alone, &cx).with([0xff; 16], vec![new], cx.now);

        let identity = cx.keys.service.identity(list.list(&cx).unwrap());
        let document = AsDocument::encode(&identity, cx.keys.service.key_list()).unwrap();
        let entries = &identity.revocations.payload.entries;
        assert_eq!(entries.len(), MAX_REVOCATIONS);
        assert!(entries.iter().any(|it| it.credential == new.credential));
        assert!(entries.iter().all(|it| it.credential != Fingerprint([0; 32])), "it would have ended first");
        assert!(document.len() <= max_document(ServiceName::As));
        assert!(record::encode(&list).len() <= MAX_VALUE);
    }

    /// T3: somebody makes many accounts, each of which removes as many clients as it may.
    #[test]
    fn whoever_fills_the_list_washes_away_its_own_entries_and_not_those_of_others() {
        let cx = context();
        // The first ten entries, which end first, are of one user each; all others of 68.
        let sybil = |at: u64| if at < 10 { each_alone(at) } else { each_alone(1_000 + at % 68) };
        let mut list = full(sybil, &cx);
        let honest: Vec<_> = list.entries.iter().take(10).map(|it| it.credential).collect();

        for number in 0..200_u8 {
            let more =
                Earlier { credential: Fingerprint([number; 32]), not_after: cx.now.as_secs() + 90 * DAY };
            list = list.with(each_alone(1_000 + u64::from(number % 68)), vec![more], cx.now);
        }

        assert_eq!(list.entries.len(), MAX_REVOCATIONS);
        assert!(honest.iter().all(|it| list.entries.iter().any(|entry| entry.credential == *it)));
    }

    fn each_alone(at: u64) -> [u8; 16] {
        u128::from(at).to_be_bytes()
    }
}
