use futures::{executor::block_on, future::join_all};
use phoenix_core::{
    Failure, Origin, Reject,
    api::auth::{
        ChallengeReply, Demand, MAX_BITS, RegisterInitRequest, RegistrationProof, WorkChallenge, WorkProof,
    },
    operation::Context,
    time::{HOUR, MINUTE},
    wire::{List, Opaque},
};

use super::{
    passwords::asked,
    policies::{begin, challenge, demanding},
    world::{By, World, client_id, refusal},
};
use crate::{
    AuthSettings, RegistrationPolicy, RegistrationSettings, WorkSettings, op,
    opaque::client,
    work::{self, Purpose},
};

#[test]
fn work_is_good_once_for_its_user_and_its_time() {
    let world = demanding(RegistrationPolicy::work());
    let proof = |uuid| vec![RegistrationProof::Work(solved(&world, uuid))];
    let of_another = proof(9);
    let late = proof(1);

    assert_eq!(begin(&world, 1, vec![]), Err(Reject::Forbidden));
    assert_eq!(begin(&world, 1, of_another), Err(Reject::Forbidden));
    let good = proof(1);
    let finish = world.begin_with(1, good.clone()).unwrap();
    assert!(world.finish(&finish).is_ok());
    assert_eq!(begin(&world, 1, good), Err(Reject::Forbidden), "it was used");
    world.pass(HOUR);
    assert!(begin(&world, 1, late.clone()).is_ok(), "its last second");
    let later = vec![RegistrationProof::Work(solved(&world, 1))];
    world.pass(HOUR + 1);
    assert_eq!(begin(&world, 1, later), Err(Reject::Forbidden), "it expired");
    assert_eq!(begin(&world, 1, late), Err(Reject::Forbidden), "it was used, and expired");
}

#[test]
fn work_that_was_used_is_known_also_by_a_clock_that_is_put_back() {
    let world = demanding(RegistrationPolicy::work());
    let proof = vec![RegistrationProof::Work(solved(&world, 1))];
    begin(&world, 1, proof.clone()).unwrap();

    world.pass(HOUR + MINUTE);
    world.put_back(2 * MINUTE);

    assert_eq!(begin(&world, 1, proof), Err(Reject::Forbidden));
}

#[test]
fn of_two_who_bring_the_same_work_one_begins_also_on_two_replicas() {
    let world = demanding(RegistrationPolicy::work());
    let request = RegisterInitRequest {
        user: client_id(1, "alpha.test").user,
        opaque: Opaque::new(client::start(&mut world.chance()).unwrap().1).unwrap(),
        proofs: List::new(vec![RegistrationProof::Work(solved(&world, 1))]).unwrap(),
    };
    let replicas = [world.engine.clone(), world.replica()];

    let calls = replicas.iter().map(|engine| {
        let call = world.call::<op::RegisterInit>(&request, By::Nobody, None);
        engine.call::<op::RegisterInit>(call, Origin::default())
    });
    let outcomes = block_on(join_all(calls));

    let losers: Vec<_> = outcomes.into_iter().filter_map(Result::err).map(refusal).collect();
    assert_eq!(losers, [Reject::Forbidden]);
}

#[test]
fn no_challenge_is_taken_but_those_that_were_given_out_for_registration() {
    let world = demanding(RegistrationPolicy::work());
    let user = client_id(1, "alpha.test").user;
    let given = work_of(&challenge(&world));
    let solve = |challenge: &WorkChallenge| {
        vec![RegistrationProof::Work(challenge.solve(&user, 0, 1 << 20).unwrap())]
    };
    let mut unsalted = given.clone();
    unsalted.salt[0] ^= 1;
    let mut untagged = given.clone();
    untagged.salt[31] ^= 1;
    let easier = WorkChallenge { bits: 0, ..given.clone() };
    let longer = WorkChallenge { expires: given.expires + 1, ..given.clone() };
    let cx = Context::for_tests(
        world.now(),
        user.domain.clone(),
        world.engine.ring(),
        AuthSettings::default(),
        [5; 32],
    );
    let for_login = work::challenge(Purpose::Login, 4, &cx);

    for challenge in [unsalted, untagged, easier, longer, for_login.clone()] {
        assert_eq!(begin(&world, 1, solve(&challenge)), Err(Reject::Forbidden));
    }
    let unsolved = WorkProof { challenge: given.clone(), nonce: u64::MAX };
    assert!(!unsolved.holds(&user), "as good as certain");
    assert_eq!(begin(&world, 1, vec![RegistrationProof::Work(unsolved)]), Err(Reject::Forbidden));
    let login = for_login.solve(&user, 0, 1 << 20).unwrap();
    assert!(work::holds(&login, Purpose::Login, &user, &cx));
    assert!(begin(&world, 1, solve(&given)).is_ok());
}

#[test]
fn work_grows_with_the_rate_of_registrations_and_shrinks_after_them() {
    let world = growing(WorkSettings { bits: 4, busy_at: 2 });
    let bits = || work_of(&challenge(&world)).bits;
    let mut asked = vec![bits()];

    for uuid in 1..=8 {
        let proof = RegistrationProof::Work(solved(&world, uuid));
        world.finish(&world.begin_with(uuid, vec![proof]).unwrap()).unwrap();
        asked.push(bits());
    }

    assert_eq!(asked, [4, 4, 5, 5, 6, 6, 6, 6, 7]);
    world.pass(HOUR);
    assert_eq!(bits(), 7, "the hour before still counts");
    world.pass(HOUR);
    assert_eq!(bits(), 4);
}

#[test]
fn work_is_never_harder_than_the_protocol_allows() {
    let settings = WorkSettings { bits: MAX_BITS - 2, busy_at: 1 };

    assert_eq!([0, 1, 2, u32::MAX].map(|rate| settings.bits_at(rate)), [26, 27, 28, MAX_BITS]);
    assert_eq!(WorkSettings { bits: u8::MAX, busy_at: 0 }.bits_at(0), MAX_BITS);
}

/// T3: somebody with much computing power wants as many accounts as it buys.
#[test]
fn t3_sybils_pay_more_for_each_account_the_more_they_make() {
    const BUDGET: u64 = 5_000;
    let world = growing(WorkSettings { bits: 4, busy_at: 4 });
    let easy = 1_u64 << 4;
    let (mut spent, mut accounts) = (0, 0_u8);

    loop {
        let proof = solved(&world, accounts);
        spent += proof.nonce + 1;
        if spent > BUDGET {
            break;
        }
        let finish = world.begin_with(accounts, vec![RegistrationProof::Work(proof)]).unwrap();
        world.finish(&finish).unwrap();
        accounts += 1;
    }

    let unhindered = BUDGET / easy;
    let honest = 1_u64 << work_of(&challenge(&world)).bits;
    println!(
        "t3: {accounts} accounts for {BUDGET} tries, where {unhindered} would have been had at the rate before"
    );
    println!("t3: an honest user in that hour needs {honest} tries, an hour after it {easy} again");
    assert!(u64::from(accounts) < unhindered / 4);
    world.pass(2 * HOUR);
    assert_eq!(1_u64 << work_of(&challenge(&world)).bits, easy);
}

/// T3: the same gathers challenges while they are easy, and brings what it solved all at once.
#[test]
fn t3_hoarded_challenges_are_worth_nothing_once_work_is_harder() {
    const HOARD: u8 = 100;
    let world = growing(WorkSettings { bits: 4, busy_at: 4 });
    let hoard: Vec<_> = (0..HOARD).map(|uuid| solved(&world, uuid)).collect();

    let begun: Vec<_> = (0..HOARD)
        .zip(hoard)
        .map(|(uuid, proof)| (uuid, world.begin_with(uuid, vec![RegistrationProof::Work(proof)])))
        .collect();

    let refused = begun.iter().filter(|(_, begun)| matches!(begun, Err(Reject::RateLimited(3_600)))).count();
    println!("t3: {} of {HOARD} hoarded proofs let somebody in", usize::from(HOARD) - refused);
    assert_eq!(refused, usize::from(HOARD) - 8, "twice as many as make it harder");
    for (_, finish) in begun {
        let _ = finish.map(|finish| world.finish(&finish).unwrap());
    }
    let proof = RegistrationProof::Work(solved(&world, HOARD));
    assert!(world.begin_with(HOARD, vec![proof]).is_ok(), "an honest user does what is asked for");
}

#[test]
fn who_did_too_little_is_told_what_to_do_instead() {
    let world = growing(WorkSettings { bits: 4, busy_at: 1 });
    let late = solved(&world, 9);
    for uuid in 1..=3 {
        world.begin_with(uuid, vec![RegistrationProof::Work(solved(&world, uuid))]).unwrap();
    }
    let begin = |proof| {
        let request = RegisterInitRequest {
            user: client_id(9, "alpha.test").user,
            opaque: Opaque::new(client::start(&mut world.chance()).unwrap().1).unwrap(),
            proofs: List::new(vec![RegistrationProof::Work(proof)]).unwrap(),
        };
        let call = world.call::<op::RegisterInit>(&request, By::Nobody, None);
        block_on(world.engine.call::<op::RegisterInit>(call, Origin::default()))
    };

    let Err(Failure::Refused(refusal)) = begin(late) else { panic!("too little") };

    let (challenge, seconds) = asked(&refusal);
    assert_eq!((challenge.bits, seconds), (6, 3_600));
    assert!(begin(challenge.solve(&client_id(9, "alpha.test").user, 0, 1 << 20).unwrap()).is_ok());
}

fn growing(work: WorkSettings) -> World {
    let policy = RegistrationPolicy::work();
    let registration = RegistrationSettings { policy, work, ..RegistrationSettings::default() };
    World::with(AuthSettings { registration, ..AuthSettings::default() })
}

fn work_of(told: &ChallengeReply) -> WorkChallenge {
    let work = |demand: &Demand| match demand {
        Demand::Work(work) => Some(work.clone()),
        Demand::Invitation | Demand::External(_) => None,
    };
    told.alternatives.iter().flat_map(|demands| demands.iter()).find_map(work).unwrap()
}

fn solved(world: &World, uuid: u8) -> WorkProof {
    let user = client_id(uuid, "alpha.test").user;
    work_of(&challenge(world)).solve(&user, 0, 1 << 20).unwrap()
}
