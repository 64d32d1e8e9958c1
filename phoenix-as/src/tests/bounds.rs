//! Bounds of 03, 04 and 05 that no other test meets from both sides.

use phoenix_core::{
    ClientId, Fingerprint, Pseudonym, Reject,
    api::{
        Empty,
        auth::{
            ChallengeReply, Demand, EnqueueOfferRequest, MAX_ALTERNATIVES, MAX_DEMANDS, MAX_OFFER,
            MAX_OPAQUE, MAX_PACKAGES, PublishPackagesRequest, RegisterInitRequest,
        },
        tokens::{IssueRequest, MAX_BATCH},
    },
    credential::{
        ConnectionPackage, IdentityLink, LINK_SIZE, MAX_AUTHORITIES, MAX_REVOCATIONS, RevocationEntry,
    },
    time::DAY,
    token::{Class, KeyList, TokenKeys},
    wire::{List, Opaque, Secret, Wire},
};

use super::{
    policies::{challenge, demanding},
    world::{By, TestClient, World, client_id, domain},
};
use crate::{RegistrationPolicy, op};

#[test]
fn a_user_publishes_one_to_a_hundred_packages() {
    let world = World::new();
    let bob = world.register(1);
    let packages = vec![package(&world, &bob); MAX_PACKAGES + 1];
    let publish = |count: usize| {
        let request = PublishPackagesRequest { packages: List::new(packages[..count].to_vec()).unwrap() };
        world.ask::<op::PublishConnectionPackages>(request, By::Client(&bob))
    };

    assert!(matches!(publish(0), Err(Reject::Malformed(_))));
    assert_eq!(publish(1), Ok(Empty {}));
    assert_eq!(publish(MAX_PACKAGES), Ok(Empty {}));
    let request = PublishPackagesRequest { packages: List::default() };
    let token = Some(world.token(Class::Standard));
    let mut more = world.call::<op::PublishConnectionPackages>(&request, By::Client(&bob), token);
    more.body = Opaque::new(List::<_, { MAX_PACKAGES + 1 }>::new(packages).unwrap().encode()).unwrap();
    assert_eq!(world.send::<op::PublishConnectionPackages>(more), Err(Reject::Malformed("encoding")));
}

#[test]
fn an_offer_has_sixteen_kibibytes_at_most() {
    let world = World::new();
    let bob = world.register(1);
    let offer = |length: usize| {
        let request = EnqueueOfferRequest { to: bob.id.clone(), ciphertext: Opaque::default() };
        let token = Some(world.token(Class::Contact));
        let mut call = world.call::<op::EnqueueOffer>(&request, By::Nobody, token);
        let ciphertext = Opaque::<{ MAX_OFFER + 1 }>::new(vec![7; length]).unwrap();
        call.body = Opaque::new((bob.id.clone(), ciphertext).encode()).unwrap();
        world.send::<op::EnqueueOffer>(call)
    };

    assert_eq!(offer(MAX_OFFER), Ok(Empty {}));
    assert!(matches!(offer(MAX_OFFER + 1), Err(Reject::Malformed(_))));
}

#[test]
fn a_message_of_opaque_has_512_bytes_at_most() {
    let world = World::new();
    let begin = |length: usize| {
        let user = client_id(1, "alpha.test").user;
        let request =
            RegisterInitRequest { user: user.clone(), opaque: Opaque::default(), proofs: List::default() };
        let mut call = world.call::<op::RegisterInit>(&request, By::Nobody, None);
        let opaque = Opaque::<{ MAX_OPAQUE + 1 }>::new(vec![7; length]).unwrap();
        let proofs = List::<Opaque<1>, 1>::default();
        call.body = Opaque::new((user, opaque, proofs).encode()).unwrap();
        world.send::<op::RegisterInit>(call).map(|_| ())
    };

    // It is read, and is none of OPAQUE.
    assert_eq!(begin(MAX_OPAQUE), Err(Reject::Malformed("opaque")));
    assert_eq!(begin(MAX_OPAQUE + 1), Err(Reject::Malformed("encoding")));
}

#[test]
fn a_batch_has_one_to_a_hundred_tokens() {
    let world = World::new();
    let client = world.register(1);
    let request = world.blinding(Class::Standard, 1).request(Class::Standard).unwrap();
    let elements = |count: usize| vec![request.blinded[0]; count];
    let issue = |count: usize| {
        let request = IssueRequest { blinded: List::new(elements(count)).unwrap(), ..request.clone() };
        let reply = world.ask::<op::IssueTokens>(request, By::Client(&client));
        reply.map(|reply| reply.evaluated.len())
    };

    assert!(matches!(issue(0), Err(Reject::Malformed(_))));
    assert_eq!(issue(1), Ok(1));
    assert_eq!(issue(MAX_BATCH), Ok(MAX_BATCH));
    let mut more = world.call::<op::IssueTokens>(&request, By::Client(&client), None);
    let elements = List::<_, { MAX_BATCH + 1 }>::new(elements(MAX_BATCH + 1)).unwrap();
    more.body = Opaque::new((request.class, request.key, elements).encode()).unwrap();
    assert_eq!(world.send::<op::IssueTokens>(more), Err(Reject::Malformed("encoding")));
}

#[test]
fn what_an_authority_publishes_fits_up_to_its_bounds() {
    let fingerprints = |count| List::<_, MAX_AUTHORITIES>::new(vec![Fingerprint([1; 32]); count]);
    assert!(fingerprints(MAX_AUTHORITIES).is_ok() && fingerprints(MAX_AUTHORITIES + 1).is_err());

    let entry = RevocationEntry { credential: Fingerprint([1; 32]), revoked_at: 1 };
    let entries =
        |count| List::<_, { MAX_REVOCATIONS + 1 }>::new(vec![entry.clone(); count]).unwrap().encode();
    let decoded = |count| List::<RevocationEntry, MAX_REVOCATIONS>::decode(&entries(count));
    assert_eq!(decoded(MAX_REVOCATIONS).unwrap().len(), MAX_REVOCATIONS);
    assert_eq!(decoded(MAX_REVOCATIONS + 1), Err(Reject::Malformed("encoding")));
}

#[test]
fn an_identity_link_is_padded_to_one_size_which_the_longest_domain_keeps() {
    let world = World::new();
    let client = world.register(1);
    let longest = [&"a".repeat(63), &"b".repeat(63), &"c".repeat(63), &"d".repeat(56), "test"].join(".");
    assert_eq!(longest.len(), 253);
    let pseudonym = Pseudonym([1; 16]);
    let sealed = |domain: &str| {
        let mut credential = client.credential.clone();
        let id = ClientId { user: client_id(1, "alpha.test").user, client: client.id.client };
        credential.payload.client = id;
        credential.payload.client.user.domain = domain.parse().unwrap();
        let link = IdentityLink::sign(credential, &client.key, pseudonym, &[2; 65]).unwrap();
        link.seal(&Secret::new([3; 32]), pseudonym, &mut world.chance()).unwrap().len()
    };

    assert_eq!(sealed("alpha.test"), sealed(&longest));
    assert!(sealed("alpha.test") > LINK_SIZE);
}

#[test]
fn a_challenge_has_eight_ways_of_eight_demands_at_most_and_every_policy_fits() {
    let told = |ways: usize, demands: usize| {
        let demands = List::<_, { MAX_DEMANDS + 1 }>::new(vec![Demand::Invitation; demands]).unwrap();
        let ways = List::<_, { MAX_ALTERNATIVES + 1 }>::new(vec![demands; ways]).unwrap();
        ChallengeReply::decode(&ways.encode()).map(|reply| reply.alternatives.len())
    };
    assert_eq!(told(MAX_ALTERNATIVES, MAX_DEMANDS), Ok(MAX_ALTERNATIVES));
    assert_eq!(told(MAX_ALTERNATIVES + 1, 1), Err(Reject::Malformed("encoding")));
    assert_eq!(told(1, MAX_DEMANDS + 1), Err(Reject::Malformed("encoding")));

    let [invitation, work, external] =
        [RegistrationPolicy::invitation(), RegistrationPolicy::work(), RegistrationPolicy::external()]
            .map(|only| RegistrationPolicy::open().or(only));
    let longest = invitation.and(&work).and(&external);
    assert_eq!(challenge(&demanding(longest)).alternatives.len(), MAX_ALTERNATIVES);
}

#[test]
fn a_homeserver_has_64_token_keys_at_most() {
    let world = World::new();
    let ring = world.engine.ring();
    let key = ring.tokens.keys()[0].clone();
    let keys = |count: usize| TokenKeys::new(domain("alpha.test"), 1, vec![key.clone(); count]);
    let list = keys(MAX_TOKEN_KEYS).unwrap().list(Fingerprint([1; 32])).unwrap();
    let listed = |count: usize| {
        let entries = List::<_, { MAX_TOKEN_KEYS + 1 }>::new(vec![list.keys[0].clone(); count]).unwrap();
        let encoded = (list.domain.clone(), list.serial, entries).encode();
        KeyList::decode(&[encoded, list.signer.encode()].concat()).map(|list| list.keys.len())
    };

    assert_eq!(keys(MAX_TOKEN_KEYS + 1).err(), Some(Reject::TooLarge("vector")));
    assert_eq!(listed(MAX_TOKEN_KEYS), Ok(MAX_TOKEN_KEYS));
    assert_eq!(listed(MAX_TOKEN_KEYS + 1), Err(Reject::Malformed("encoding")));
}

fn package(world: &World, owner: &TestClient) -> ConnectionPackage {
    ConnectionPackage::sign(world.payload(5 * DAY), owner.credential.clone(), &owner.key).unwrap()
}

/// Token keys of a homeserver at once, and those that it lists (05).
const MAX_TOKEN_KEYS: usize = 64;
