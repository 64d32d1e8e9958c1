//! What signs for a domain, over years.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;

use phoenix_core::{
    ClientId, Fqdn, Timestamp, UserId, Uuid,
    credential::{AsKeys, ClientCredential, ClientCredentialPayload, Csr, ExpirationData},
    crypto::{Chance, Signature, Signer, SignerError, SigningKey, Suite, VerifyingKey},
    time::{DAY, HOUR},
    wire::List,
};

use super::{AuthorityChange, AuthorityError, USUAL};
use crate::{AuthKeys, Root, RootKey};

#[test]
fn what_was_signed_before_a_rotation_is_valid_until_its_intermediate_ends() {
    let mut world = World::new(Suite::Ed25519);
    let (before, known) = (world.client(80), world.verified());

    world.pass_days(20);
    world.change(AuthorityChange::Rotate(Suite::Ed25519)).unwrap();
    let after = world.client(80);

    let keys = world.verified();
    assert!(known.accepts_successor(&keys), "whoever knew the old keys takes the new ones");
    assert!(known.verify_chain(&after, world.now).is_err());
    for client in [&before, &after] {
        assert!(keys.verify_chain(client, world.now).is_ok());
    }
    assert_ne!(before.payload.signer, after.payload.signer);
    assert_eq!(keys.identity().statement.payload.serial, 2);
    world.pass_days(346);
    assert!(world.verified().intermediate_at(&before.payload.signer, world.now).is_none());
    assert!(world.verified().intermediate_at(&after.payload.signer, world.now).is_some());
}

#[test]
fn clients_ask_the_intermediate_that_signs_now() {
    let mut world = World::new(Suite::Ed25519);
    // The root ends before any further intermediate of a year would: all of them end with it.
    world.pass_days(9 * 365 + 300);
    for suite in [Suite::Ed25519, Suite::P256, Suite::Ed25519] {
        world.change(AuthorityChange::Rotate(suite)).unwrap();
        world.pass_days(1);

        let keys = world.verified();
        let asked = keys.intermediates_at(world.now)[0].fingerprint();

        assert_eq!(asked, world.keys.intermediate().0.fingerprint());
    }
}

#[test]
fn a_revoked_intermediate_takes_with_it_what_it_signed_and_nothing_else() {
    let mut world = World::new(Suite::Ed25519);
    let old = world.client(80);
    world.change(AuthorityChange::Rotate(Suite::Ed25519)).unwrap();
    let new = world.client(80);

    world.change(AuthorityChange::Revoke(old.payload.signer)).unwrap();

    let keys = world.verified();
    assert!(keys.verify_chain(&old, world.now).is_err());
    assert!(keys.verify_chain(&new, world.now).is_ok());
    assert_eq!(keys.identity().statement.payload.revoked.to_vec(), [old.payload.signer]);
    assert_eq!(world.keys.intermediate().0.fingerprint(), new.payload.signer, "it signs on");
}

#[test]
fn where_the_intermediate_that_signs_is_revoked_a_new_one_takes_its_place() {
    let mut world = World::new(Suite::P256);
    let stolen = world.client(80);

    world.change(AuthorityChange::Revoke(stolen.payload.signer)).unwrap();

    let (intermediate, key) = world.keys.intermediate();
    assert_ne!(intermediate.fingerprint(), stolen.payload.signer);
    assert_eq!(key.suite(), Suite::P256);
    let new = world.client(80);
    assert!(world.verified().verify_chain(&new, world.now).is_ok());
    assert!(world.verified().verify_chain(&stolen, world.now).is_err());
    assert!(world.keys.key_list().verify(&world.verified(), world.now).is_ok());
}

#[test]
fn a_new_root_stands_beside_the_old_one_until_that_is_revoked() {
    let mut world = World::new(Suite::Ed25519);
    let (first, old) = (world.root.clone(), world.client(80));
    world.pass_days(1);
    world.root = world.make_root("alpha.test", Suite::P256);

    world.change(AuthorityChange::NewRoot(Suite::Ed25519)).unwrap();

    let new = world.client(80);
    let keys = world.verified();
    assert_eq!(keys.identity().roots.len(), 2);
    assert!([&old, &new].iter().all(|client| keys.verify_chain(client, world.now).is_ok()));
    // The old one can go on signing, the new one can end it, and then the old one signs nothing any more.
    world.change_with(&first, AuthorityChange::Renew).unwrap();
    let revoke = AuthorityChange::Revoke(first.certificate().fingerprint());
    assert_eq!(world.change_with(&first, revoke), Err(AuthorityError::Itself));
    world.change(revoke).unwrap();
    let keys = world.verified();
    assert_eq!(keys.identity().roots.len(), 1);
    assert!(keys.verify_chain(&old, world.now).is_err());
    assert!(keys.verify_chain(&new, world.now).is_ok());
    for change in [AuthorityChange::Rotate(Suite::Ed25519), AuthorityChange::Renew] {
        assert_eq!(world.change_with(&first, change), Err(AuthorityError::UnknownRoot));
    }
    let again = AuthorityChange::NewRoot(Suite::Ed25519);
    assert_eq!(world.change_with(&first, again), Err(AuthorityError::KnownRoot));
}

#[test]
fn a_revoked_root_under_which_the_server_signs_is_replaced_under_the_one_that_revokes_it() {
    let mut world = World::new(Suite::Ed25519);
    let first = world.root.clone();
    world.root = world.make_root("alpha.test", Suite::Ed25519);
    world.change(AuthorityChange::NewRoot(Suite::Ed25519)).unwrap();
    world.change_with(&first, AuthorityChange::Rotate(Suite::Ed25519)).unwrap();

    world.change(AuthorityChange::Revoke(first.certificate().fingerprint())).unwrap();

    assert_eq!(world.keys.intermediate().0.payload.signer, world.root.certificate().fingerprint());
    let client = world.client(80);
    assert!(world.verified().verify_chain(&client, world.now).is_ok());
}

#[test]
fn only_a_root_of_the_domain_that_is_published_and_valid_changes_anything() {
    let mut world = World::new(Suite::Ed25519);
    let rotate = AuthorityChange::Rotate(Suite::Ed25519);
    let (foreign, unknown) =
        (world.make_root("beta.test", Suite::Ed25519), world.make_root("alpha.test", Suite::Ed25519));
    let broken = Root::new(world.root.certificate().clone(), Arc::new(Broken(world.root.clone()))).unwrap();

    assert_eq!(world.change_with(&foreign, rotate), Err(AuthorityError::OtherDomain));
    assert_eq!(
        world.change_with(&foreign, AuthorityChange::NewRoot(Suite::P256)),
        Err(AuthorityError::OtherDomain)
    );
    assert_eq!(world.change_with(&unknown, rotate), Err(AuthorityError::UnknownRoot));
    assert_eq!(world.change_with(&broken, rotate), Err(AuthorityError::Signer(SignerError)));
    let nobody = AuthorityChange::Revoke(unknown.certificate().fingerprint());
    assert_eq!(world.change(nobody), Err(AuthorityError::Unknown));
    assert_eq!(world.change(AuthorityChange::NewRoot(Suite::Ed25519)), Err(AuthorityError::KnownRoot));
    assert_eq!(world.keys.statement().payload.serial, 1, "nothing of it changed anything");
    world.pass_days(10 * 365);
    assert_eq!(world.change(rotate), Err(AuthorityError::Ended));
    let key = SigningKey::generate(Suite::Ed25519, &mut world.chance);
    assert!(Root::new(world.root.certificate().clone(), Arc::new(key)).is_err());
}

#[test]
fn a_renewed_statement_keeps_the_domain_trusted_and_changes_nothing_else() {
    let mut world = World::new(Suite::Ed25519);
    world.pass_days(200);
    let before = world.keys.intermediate().0.clone();

    world.change(AuthorityChange::Renew).unwrap();

    assert_eq!(*world.keys.intermediate().0, before);
    let expires = world.keys.statement().payload.expires;
    assert_eq!(expires, world.now.plus_secs(365 * DAY).as_secs());
}

#[test]
fn fourteen_are_remembered_and_those_that_ended_are_forgotten_where_there_is_no_room() {
    let mut world = World::new(Suite::Ed25519);
    let rotate = AuthorityChange::Rotate(Suite::Ed25519);
    for _ in 1..USUAL {
        world.change(rotate).unwrap();
    }

    assert_eq!(world.change(rotate), Err(AuthorityError::Full));
    assert_eq!(world.verified().identity().intermediates.len(), USUAL);
    world.pass_days(364);
    assert_eq!(world.change(rotate), Err(AuthorityError::Full));
    world.pass_days(2);
    world.change(rotate).unwrap();
    // The one that signed last is only now another's predecessor.
    assert_eq!(world.verified().identity().intermediates.len(), 2);
}

#[test]
fn what_has_ended_is_forgotten_after_ninety_days() {
    let mut world = World::new(Suite::Ed25519);
    world.pass_days(300);
    world.change(AuthorityChange::Rotate(Suite::Ed25519)).unwrap();

    for (days, remembered) in [(154, 2), (2, 1)] {
        world.pass_days(days);
        world.change(AuthorityChange::Renew).unwrap();
        assert_eq!(world.verified().identity().intermediates.len(), remembered);
    }
}

#[test]
fn an_emergency_finds_room_where_rotations_find_none() {
    let mut world = World::new(Suite::Ed25519);
    let (first, rotate) = (world.root.clone(), AuthorityChange::Rotate(Suite::Ed25519));
    while world.change(rotate).is_ok() {}
    assert_eq!(world.change(rotate), Err(AuthorityError::Full));

    // All is stolen: the intermediate that signs is void, a new root comes, and the old one goes with all it signed.
    let stolen = world.keys.intermediate().0.fingerprint();
    world.change(AuthorityChange::Revoke(stolen)).unwrap();
    world.root = world.make_root("alpha.test", Suite::Ed25519);
    world.change(AuthorityChange::NewRoot(Suite::Ed25519)).unwrap();
    let old = first.certificate().fingerprint();
    world.change(AuthorityChange::Revoke(old)).unwrap();

    let keys = world.verified();
    assert_eq!((keys.identity().roots.len(), keys.identity().intermediates.len()), (1, 1));
    assert_eq!(keys.identity().statement.payload.revoked.to_vec(), [old], "it covers what it signed");
    world.change(rotate).unwrap();
}

#[test]
fn many_revoked_intermediates_leave_room_to_revoke_their_root() {
    let mut world = World::new(Suite::Ed25519);
    let first = world.root.clone();
    let revoked = loop {
        let signs = world.keys.intermediate().0.fingerprint();
        if let Err(error) = world.change(AuthorityChange::Revoke(signs)) {
            break error;
        }
    };
    assert_eq!(revoked, AuthorityError::Full);
    assert_eq!(world.keys.statement().payload.revoked.len(), USUAL);

    world.root = world.make_root("alpha.test", Suite::Ed25519);
    world.change(AuthorityChange::NewRoot(Suite::Ed25519)).unwrap();
    let old = first.certificate().fingerprint();
    world.change(AuthorityChange::Revoke(old)).unwrap();

    assert_eq!(world.keys.statement().payload.revoked.to_vec(), [old]);
}

#[test]
fn a_statement_that_is_renewed_after_the_end_comes_with_an_intermediate_that_signs() {
    let mut world = World::new(Suite::P256);
    world.pass_days(366);
    assert!(!world.keys.are_in_force(world.now));

    world.change(AuthorityChange::Renew).unwrap();

    assert!(world.keys.are_in_force(world.now));
    let client = world.client(80);
    assert!(world.verified().verify_chain(&client, world.now).is_ok());
    assert_eq!(world.keys.intermediate().1.suite(), Suite::P256);
}

#[test]
fn revocations_are_remembered_until_what_they_revoke_would_have_ended() {
    let mut world = World::new(Suite::Ed25519);
    let revoked = world.keys.intermediate().0.fingerprint();
    world.change(AuthorityChange::Revoke(revoked)).unwrap();

    for (days, remembered) in [(364, 1), (2, 0)] {
        world.pass_days(days);
        world.change(AuthorityChange::Rotate(Suite::Ed25519)).unwrap();
        assert_eq!(world.keys.statement().payload.revoked.len(), remembered);
    }
}

#[test]
fn both_suites_stand_in_one_chain() {
    for root in [Suite::Ed25519, Suite::P256] {
        for intermediate in [Suite::Ed25519, Suite::P256] {
            let mut world = World::new(root);
            world.change(AuthorityChange::Rotate(intermediate)).unwrap();
            let client = world.client(80);

            let verified = world.verified();

            assert!(verified.verify_chain(&client, world.now).is_ok());
            assert_eq!(verified.intermediates_at(world.now)[0].payload.key.suite, intermediate);
            assert!(world.keys.key_list().verify(&verified, world.now).is_ok());
        }
    }
}

#[test]
fn changed_keys_are_stored_and_what_the_change_leaves_alone_stays() {
    let mut world = World::new(Suite::Ed25519);
    let (tokens, opaque) = (world.keys.key_list().list.keys.clone(), world.keys.opaque().encode());
    world.change(AuthorityChange::Rotate(Suite::P256)).unwrap();

    let restored = AuthKeys::decode(&world.keys.encode().unwrap()).unwrap();

    assert_eq!(restored.key_list().list.keys, tokens);
    assert_eq!(restored.opaque().encode(), opaque);
    assert_eq!(restored.intermediate().0, world.keys.intermediate().0);
    assert_eq!(restored.verified(), world.keys.verified());
}

/// An AS's keys, a root to change them with, and a clock.
struct World {
    now: Timestamp,
    chance: Chance,
    root: Root,
    keys: AuthKeys,
}

impl World {
    fn new(suite: Suite) -> Self {
        let (now, mut chance) = (Timestamp::from_secs(1_700_000_000), Chance::from_seed([1; 32]));
        let root = RootKey::generate(domain("alpha.test"), suite, now, &mut chance).unwrap().root();
        let keys = AuthKeys::under(&root, suite, now, &mut chance).unwrap();
        Self { now, chance, root, keys }
    }

    fn pass_days(&mut self, days: u64) {
        self.now = self.now.plus_secs(days * DAY);
    }

    fn make_root(&mut self, name: &str, suite: Suite) -> Root {
        RootKey::generate(domain(name), suite, self.now, &mut self.chance).unwrap().root()
    }

    fn change(&mut self, change: AuthorityChange) -> Result<(), AuthorityError> {
        self.change_with(&self.root.clone(), change)
    }

    fn change_with(&mut self, root: &Root, change: AuthorityChange) -> Result<(), AuthorityError> {
        let before = self.keys.statement().payload.serial;
        self.keys = self.keys.changed(change, root, self.now, &mut self.chance)?;
        assert_eq!(self.keys.statement().payload.serial, before + 1);
        Ok(())
    }

    /// What others know of it now.
    fn verified(&self) -> AsKeys {
        let list = self.keys.revocation_list(1, List::default(), self.now).unwrap();
        AsKeys::verify(self.keys.identity(list), &domain("alpha.test"), self.now).unwrap()
    }

    /// A client's credential for so many days.
    fn client(&mut self, days: u64) -> ClientCredential {
        let key = SigningKey::generate(Suite::Ed25519, &mut self.chance);
        let (intermediate, signer) = self.keys.intermediate();
        let user = UserId { uuid: Uuid([1; 16]), domain: domain("alpha.test") };
        let not_before = self.now.as_secs() - HOUR / 2;
        let payload = ClientCredentialPayload {
            client: ClientId { user, client: Uuid([2; 16]) },
            validity: ExpirationData { not_before, not_after: not_before + days * DAY },
            key: key.verifying_key(),
            signer: intermediate.fingerprint(),
        };
        let csr = Csr::new(&key, payload).unwrap();
        ClientCredential::issue(csr, intermediate, signer, self.now).unwrap()
    }
}

fn domain(name: &str) -> Fqdn {
    name.parse().unwrap()
}

/// A root's key that is out of reach.
struct Broken(Root);

impl Signer for Broken {
    fn verifying_key(&self) -> VerifyingKey {
        self.0.certificate().payload.key.clone()
    }

    fn sign(&self, _: &str, _: &[u8]) -> Result<Signature, SignerError> {
        Err(SignerError)
    }
}
