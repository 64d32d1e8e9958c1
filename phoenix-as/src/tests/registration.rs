use futures::{executor::block_on, future::join_all};
use phoenix_core::{
    Origin, Reject,
    api::{
        Empty,
        auth::{ChallengeReply, RegisterInitRequest},
    },
    credential::{AsKeys, ClientCredential},
    crypto::{Chance, SigningKey, Suite},
    time::{DAY, HOUR, MINUTE},
    wire::{Opaque, Wire},
};

use super::world::{By, Finish, World, client_id, csr, domain, refusal};
use crate::op;

#[test]
fn a_registered_client_holds_a_credential_that_the_published_keys_vouch_for() {
    let world = World::new();

    let client = world.register(1);

    let identity = world.ask::<op::AsCredentials>(Empty {}, By::Nobody).unwrap();
    let keys = AsKeys::verify(identity, &domain("alpha.test"), world.now()).unwrap();
    let verified = keys.verify_chain(&client.credential, world.now()).unwrap();
    assert_eq!(*verified.client(), client.id);
    let list = world.ask::<op::TokenKeys>(Empty {}, By::Nobody).unwrap();
    assert!(list.verify(&keys, world.now()).is_ok());
    let challenge: ChallengeReply = world.ask::<op::RegistrationChallenge>(Empty {}, By::Nobody).unwrap();
    assert!(challenge.is_open());
}

#[test]
fn nothing_is_registered_for_another_domain() {
    let world = World::new();
    let request = RegisterInitRequest {
        user: client_id(1, "beta.test").user,
        opaque: Opaque::new(vec![0; 32]).unwrap(),
        proofs: phoenix_core::wire::List::default(),
    };
    let finish = world.begin(1);
    let csr = csr(client_id(1, "beta.test"), &finish.key, &world.engine.ring().service, world.now());

    assert_eq!(world.ask::<op::RegisterInit>(request, By::Nobody), Err(Reject::Malformed("user")));
    assert_eq!(refused(&world, &finish, |request| request.csr = csr), Reject::Malformed("client"));
}

#[test]
fn a_request_that_is_not_of_opaque_is_refused_and_leaves_nothing() {
    let world = World::new();
    let request = RegisterInitRequest {
        user: client_id(1, "alpha.test").user,
        opaque: Opaque::new(vec![0xff; 32]).unwrap(),
        proofs: phoenix_core::wire::List::default(),
    };

    assert_eq!(world.ask::<op::RegisterInit>(request, By::Nobody), Err(Reject::Malformed("opaque")));
    assert!(world.store.dump().is_empty());
}

#[test]
fn the_first_to_finish_wins_and_the_second_signs_nothing() {
    let world = World::new();
    let (first, second) = (world.begin(1), world.begin(1));

    let winner = world.finish(&first).unwrap();

    assert_eq!(world.finish(&second).err(), Some(Reject::AlreadyExists));
    assert_eq!(world.finish(&first).map(|client| client.credential), Ok(winner.credential));
    assert!(!world.holds(&second.key.verifying_key().encode()));
}

#[test]
fn of_two_that_race_for_a_user_on_two_replicas_one_wins_and_the_other_signs_nothing() {
    let world = World::new();
    let both = [world.begin(1), world.begin(1)];

    let outcomes = race(&world, [&both[0], &both[1]]);

    let losers: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(losers, [&Reject::AlreadyExists]);
    for (finish, outcome) in both.iter().zip(&outcomes) {
        assert_eq!(world.holds(&finish.key.verifying_key().encode()), outcome.is_ok());
    }
}

#[test]
fn a_finish_that_races_itself_on_two_replicas_is_signed_once() {
    let world = World::new();
    let finish = world.begin(1);

    let outcomes = race(&world, [&finish, &finish]);

    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[0], outcomes[1]);
}

#[test]
fn a_lost_answer_is_given_again_to_the_same_request_only() {
    let world = World::new();
    let finish = world.begin(1);
    let client = world.finish(&finish).unwrap();
    let before = world.store.dump();

    let again = world.finish(&finish).unwrap();

    assert_eq!(again.credential, client.credential);
    assert_eq!(world.store.dump(), before);
    let other = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([9; 32]));
    let csr = csr(client.id, &other, &world.engine.ring().service, world.now());
    let stolen = Finish { key: other, ..finish };
    assert_eq!(refused(&world, &stolen, |request| request.csr = csr), Reject::NotFound);
}

#[test]
fn a_registration_ends_after_ten_minutes_and_leaves_nothing() {
    let world = World::new();
    let (in_time, finish) = (world.begin(2), world.begin(1));

    world.pass(10 * MINUTE - 1);
    assert!(world.finish(&in_time).is_ok());
    let left = world.store.dump().len() - 1;
    world.pass(1);

    assert_eq!(world.store.dump().len(), left);
    assert_eq!(world.finish(&finish).err(), Some(Reject::NotFound));
}

#[test]
fn a_registration_is_finished_for_its_own_user_only() {
    let world = World::new();
    let finish = world.begin(1);
    let csr = csr(client_id(2, "alpha.test"), &finish.key, &world.engine.ring().service, world.now());

    assert_eq!(refused(&world, &finish, |request| request.csr = csr), Reject::NotFound);
    assert_eq!(refused(&world, &finish, |request| request.registration = [0; 16]), Reject::NotFound);
}

#[test]
fn what_does_not_fit_is_not_signed() {
    let world = World::new();
    let finish = world.begin(1);
    let ring = world.engine.ring();
    let signed = |change: &dyn Fn(&mut phoenix_core::credential::ClientCredentialPayload)| {
        let mut payload = finish.request.csr.payload.clone();
        change(&mut payload);
        phoenix_core::credential::Csr::new(&finish.key, payload).unwrap()
    };
    let too_long = signed(&|payload| payload.validity.not_after += DAY);
    let too_early = signed(&|payload| payload.validity.not_before -= DAY);
    let not_begun = signed(&|payload| payload.validity.not_before += DAY);
    let other_signer = signed(&|payload| payload.signer.0[0] ^= 1);
    let mut unsigned = finish.request.csr.clone();
    unsigned.self_signature = Default::default();
    let weak_queue =
        phoenix_core::crypto::HpkePublicKey { key: Opaque::default(), ..finish.request.queue_key.clone() };
    drop(ring);

    for csr in [too_long, too_early, not_begun] {
        assert_eq!(refused(&world, &finish, |request| request.csr = csr), Reject::Malformed("validity"));
    }
    assert_eq!(refused(&world, &finish, |request| request.csr = other_signer), Reject::Malformed("signer"));
    assert_eq!(refused(&world, &finish, |request| request.csr = unsigned), Reject::Unauthenticated);
    let record = Opaque::new(vec![0xff; 192]).unwrap();
    assert_eq!(refused(&world, &finish, |request| request.record = record), Reject::Malformed("record"));
    assert!(matches!(
        refused(&world, &finish, |request| request.queue_key = weak_queue),
        Reject::Malformed(_)
    ));
    assert!(world.finish(&finish).is_ok(), "nothing of it spoiled the registration");
}

#[test]
fn a_credential_begins_when_it_is_asked_for_or_an_hour_before() {
    let world = World::new();
    world.pass(DAY);
    let finish = world.begin(1);
    let begins = |earlier: u64| {
        let mut payload = finish.request.csr.payload.clone();
        payload.validity.not_before -= earlier;
        phoenix_core::credential::Csr::new(&finish.key, payload).unwrap()
    };

    let too_early = begins(HOUR + 1);
    assert_eq!(refused(&world, &finish, |request| request.csr = too_early), Reject::Malformed("validity"));
    let mut in_time = finish.clone();
    in_time.request.csr = begins(HOUR);
    assert!(world.finish(&in_time).is_ok());
}

#[test]
fn a_finish_is_signed_by_the_key_that_it_introduces() {
    let world = World::new();
    let finish = world.begin(1);
    let other = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([9; 32]));

    let by_other = world.ask::<op::RegisterFinish>(finish.request.clone(), By::Key(&other));
    let by_nobody = world.ask::<op::RegisterFinish>(finish.request, By::Nobody);

    assert_eq!(by_other, Err(Reject::Unauthenticated));
    assert_eq!(by_nobody, Err(Reject::Unauthenticated));
}

#[test]
fn a_client_ends_with_its_credential_and_its_user_id_is_not_given_away() {
    let world = World::new();
    world.register(1);

    world.pass(93 * DAY);

    assert_eq!(world.store.dump().len(), 1, "the user");
    let again = world.begin(1);
    assert_eq!(world.finish(&again).err(), Some(Reject::AlreadyExists));
}

/// How two finishes end that come to two replicas at once.
fn race(world: &World, both: [&Finish; 2]) -> Vec<Result<ClientCredential, Reject>> {
    let replicas = [world.engine.clone(), world.replica()];
    let calls = both.into_iter().zip(&replicas).map(|(finish, engine)| {
        let call = world.call::<op::RegisterFinish>(&finish.request, By::Key(&finish.key), None);
        engine.call::<op::RegisterFinish>(call, Origin::default())
    });
    block_on(join_all(calls)).into_iter().map(|outcome| outcome.map_err(refusal)).collect()
}

fn refused(
    world: &World,
    finish: &Finish,
    change: impl FnOnce(&mut phoenix_core::api::auth::RegisterFinishRequest),
) -> Reject {
    let mut finish = finish.clone();
    change(&mut finish.request);
    world.finish(&finish).err().unwrap()
}
