//! Fetching the AddPackages of friends, and checking them before anyone is added (03, 06).

use std::collections::BTreeSet;

use openmls::prelude::{KeyPackage, KeyPackageIn, ProtocolVersion};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    ClientId, Fqdn, GroupId, KeyPackageRef, Pseudonym, Reject, UserId,
    api::{
        delivery::{MAX_ADDS, MAX_BATCH_KEYS},
        queue::{
            AddPackage, ClientQueueConfig, GetAddPackages, GetAddPackagesRequest, KeyPackageBatch,
            MAX_QS_CLIENTS,
        },
    },
    credential::IdentityLink,
    crypto::VerifyingKey,
    port::Circuit,
    wire::Secret,
};
use tls_codec::DeserializeBytes;

use super::{open_link_key, trust::Effort};
use crate::{
    call::Route,
    error::{ClientError, mls},
    mls::{leaf::leaf_credential, suite_number},
    session::Session,
    state::FriendshipKeys,
};

/// A client to be added.
#[derive(Clone, Debug)]
pub(crate) struct Invitee {
    pub(crate) package: KeyPackage,
    pub(crate) reference: KeyPackageRef,
    pub(crate) pseudonym: Pseudonym,
    pub(crate) link_key: Secret<32>,
    pub(crate) config: ClientQueueConfig,
    pub(crate) attribution_key: Secret<32>,
}

/// Clients to be added, and their QSs' word for the freshness of the packages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Invitees {
    pub(crate) clients: Vec<Invitee>,
    pub(crate) batches: Vec<KeyPackageBatch>,
}

/// Users in portions that one commit can add each: with so many keys of QSs, and so many clients. With each user comes
/// the homeserver whose QS serves the packages.
pub(super) fn portions(mut users: Vec<(Fqdn, UserId)>) -> Vec<Vec<UserId>> {
    // Few portions: those of one homeserver come with one key.
    users.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut portions: Vec<Vec<UserId>> = Vec::new();
    let (mut homeservers, mut last_domain) = (0_usize, None);
    for (domain, user) in users {
        let last = portions.last_mut().filter(|it| it.len() < MOST_USERS);
        let is_beside = last_domain.as_ref() == Some(&domain);
        match last.filter(|_| is_beside || homeservers < MOST_HOMESERVERS) {
            Some(last) => {
                homeservers = homeservers.saturating_add(usize::from(!is_beside));
                last.push(user);
            }
            None => {
                homeservers = 1;
                portions.push(vec![user]);
            }
        }
        last_domain = Some(domain);
    }
    portions
}

impl Session {
    /// Fetches one package of each client of each friend, of a group's suite, and verifies who is behind it.
    pub(crate) async fn fetch_invitees(
        &mut self,
        group: &GroupId,
        users: &[UserId],
    ) -> Result<Invitees, ClientError> {
        // Our own leaf is of the group's suite, whatever our credential is of.
        let suite = suite_number(self.group(group)?.leaf.key.suite());
        let mut invitees = Invitees::default();
        for user in users {
            let (keys, circuit) = self.way_to(user)?;
            let route = Route { domain: keys.domain.clone(), circuit: Circuit(circuit) };
            let request = GetAddPackagesRequest { token: keys.token.clone(), suite };
            let fetched = self.call::<GetAddPackages>(&route, None, &request).await?;
            let (before, mut strangers) = (invitees.clients.len(), 0_usize);
            let mut taken = BTreeSet::new();
            for package in &fetched.packages {
                let (invitee, client, key) = self.check_package(package, user, &keys).await?;
                if !fetched.batch.payload.packages.contains(&invitee.reference) {
                    return Err(ClientError::Unexpected("a package outside of its batch"));
                }
                // One for each client, however many its QS serves.
                if client == *self.client() || self.is_in(group, &client)? || taken.contains(&client) {
                    continue;
                }
                if !self.is_known_key(&client, &key) {
                    self.note_shown(&client, &key);
                    strangers = strangers.saturating_add(1);
                    continue;
                }
                taken.insert(client);
                invitees.clients.push(Invitee { attribution_key: keys.attribution_key.clone(), ..invitee });
            }
            if invitees.clients.len() == before && strangers > 0 {
                return Err(Reject::Unauthenticated.into());
            }
            if invitees.clients.len() > before {
                invitees.batches.push(fetched.batch);
            }
        }
        Ok(invitees)
    }

    /// Users, each with the homeserver whose QS serves its packages.
    pub(super) fn served(&self, users: Vec<UserId>) -> Vec<(Fqdn, UserId)> {
        let own = self.state.record.as_ref().map_or(self.domain(), |record| record.domain());
        let domain = |user: &UserId| match self.state.friends.get(user) {
            Some(friend) => friend.keys.domain.clone(),
            None => own.clone(),
        };
        users.into_iter().map(|user| (domain(&user), user)).collect()
    }

    /// The keys by which a user's packages are fetched and opened: a friend's, or our own for our further clients.
    fn way_to(&mut self, user: &UserId) -> Result<(FriendshipKeys, u64), ClientError> {
        if *user == self.client().user {
            let keys = self.record()?.friendship.clone();
            return Ok((keys, self.fresh_circuit()));
        }
        let friend = self.state.friends.get(user).ok_or(ClientError::State("not connected"))?;
        // They would refuse us: the key that they know is another.
        if friend.ours != self.signer.verifying_key() && !friend.is_told.is_set() {
            return Err(ClientError::State("connected with another client of ours"));
        }
        Ok((friend.keys.clone(), friend.circuit))
    }

    /// Whether a client is in a group already.
    fn is_in(&self, group: &GroupId, client: &ClientId) -> Result<bool, ClientError> {
        let record = self.group(group)?;
        let mut faces = record.members.values().filter_map(|it| record.faces.get(&it.face));
        Ok(faces.any(|face| face.client == *client))
    }

    async fn check_package(
        &mut self,
        package: &AddPackage,
        user: &UserId,
        keys: &FriendshipKeys,
    ) -> Result<(Invitee, ClientId, VerifyingKey), ClientError> {
        let key_package = KeyPackageIn::tls_deserialize_exact_bytes(&package.key_package);
        let key_package = key_package
            .map_err(|_| Reject::Malformed("KeyPackage"))?
            .validate(self.provider.crypto(), ProtocolVersion::Mls10)
            .map_err(mls("check a KeyPackage"))?;
        let leaf = key_package.leaf_node();
        let credential = leaf_credential(leaf.credential())?;
        let pseudonym = credential.pseudonym;
        let link_key = open_link_key(&keys.encryption_key, pseudonym, &package.link_key)?;
        let link = IdentityLink::open(&credential.encrypted_identity_link, &link_key, pseudonym)?;
        let leaf_key = leaf.signature_key().as_slice();
        let authority = self.authority_of(&link.credential, Effort::Patient).await?;
        let client = link.verify(pseudonym, leaf_key, &authority, self.now())?;
        if client.user() != user {
            return Err(Reject::Unauthenticated.into());
        }
        let (whose, key) = (client.client().clone(), client.key().clone());
        let reference = key_package.hash_ref(self.provider.crypto()).map_err(mls("hash a KeyPackage"))?;
        let reference =
            KeyPackageRef(reference.as_slice().try_into().map_err(|_| Reject::Malformed("reference"))?);
        if package.config.domain != keys.domain {
            return Err(Reject::Malformed("queue config").into());
        }
        let invitee = Invitee {
            package: key_package,
            reference,
            pseudonym,
            link_key,
            config: package.config.clone(),
            attribution_key: Secret::new([0; 32]),
        };
        Ok((invitee, whose, key))
    }
}

/// Homeservers whose users one commit adds: those that change their keys meanwhile vouch with two.
const MOST_HOMESERVERS: usize = MAX_BATCH_KEYS / 4 * 3;
/// Users whom one commit adds, with all clients that they may have.
const MOST_USERS: usize = MAX_ADDS / MAX_QS_CLIENTS;

#[cfg(test)]
mod tests {
    use phoenix_core::{Fqdn, UserId, Uuid};

    use super::{MOST_HOMESERVERS, MOST_USERS, portions};

    #[test]
    fn users_of_many_homeservers_are_added_by_several_commits() {
        let users = (0..40).map(|number| served(user(number, number % 20))).collect();

        let portions = portions(users);

        assert_eq!(portions.iter().map(Vec::len).collect::<Vec<_>>(), [2 * MOST_HOMESERVERS, 16]);
        for portion in &portions {
            let mut domains: Vec<_> = portion.iter().map(|user| &user.domain).collect();
            domains.dedup();
            assert!(domains.len() <= MOST_HOMESERVERS, "{domains:?}");
        }
    }

    #[test]
    fn users_are_added_by_as_few_commits_as_hold_all_their_clients() {
        let lengths = |users: u8, homeservers: u8| {
            let users = (0..users).map(|number| served(user(number, number % homeservers))).collect();
            portions(users).iter().map(Vec::len).collect::<Vec<_>>()
        };

        assert_eq!(lengths(0, 1), [0_usize; 0]);
        assert_eq!(lengths(3, 3), [3]);
        assert_eq!(lengths(60, 1), [MOST_USERS, MOST_USERS, 10]);
        assert_eq!(lengths(60, 2), [MOST_USERS, MOST_USERS, 10]);
    }

    fn served(user: UserId) -> (Fqdn, UserId) {
        (user.domain.clone(), user)
    }

    fn user(number: u8, homeserver: u8) -> UserId {
        let domain = format!("h{homeserver}.test").parse().expect("a domain");
        UserId { uuid: Uuid([number; 16]), domain }
    }
}
