use async_trait::async_trait;
use futures::{executor::block_on, future::join_all};
use phoenix_core::{
    Origin, Reject,
    api::{
        Empty,
        auth::{
            ChallengeReply, Demand, Invitation, InvitationCode, MAX_DEMANDS, MAX_EXTERNAL,
            RegisterInitRequest, RegistrationProof,
        },
    },
    operation::Fare,
    port::{Policy, Question, Verdict},
    time::{DAY, HOUR, MINUTE},
    wire::{Flag, List, Opaque, Secret, Wire},
};

use super::world::{By, World, client_id, dequeue, refusal};
use crate::{AuthSettings, RegistrationPolicy, RegistrationSettings, WorkSettings, op};

#[test]
fn clients_are_told_what_the_policy_demands() {
    let policy =
        RegistrationPolicy::invitation().or(RegistrationPolicy::work().and(&RegistrationPolicy::external()));
    let world = demanding(policy);

    let told = challenge(&world).alternatives;

    let kinds: Vec<Vec<_>> = told.iter().map(|demands| demands.iter().map(kind).collect()).collect();
    assert_eq!(kinds, [vec!["invitation"], vec!["work", "a captcha"]]);
}

#[test]
fn policies_compose_to_alternatives() {
    let (invitation, work) = (RegistrationPolicy::invitation(), RegistrationPolicy::work());
    let open = RegistrationPolicy::open();

    assert!(challenge(&demanding(work.clone().or(open.clone()))).is_open());
    assert_eq!(work.clone().and(&open), work);
    assert_eq!(work.clone().and(&work), work);
    assert_eq!(work.clone().and(&RegistrationPolicy::closed()), RegistrationPolicy::closed());
    assert_eq!(work.clone().or(RegistrationPolicy::closed()), work);
    let either = invitation.clone().or(work.clone());
    let external = RegistrationPolicy::external();
    assert_eq!(either.and(&external), invitation.and(&external).or(work.and(&external)));
}

#[test]
fn a_policy_that_lets_nobody_in_lets_nobody_in() {
    let world = demanding(RegistrationPolicy::closed());
    let proof = RegistrationProof::Invitation(invite(&world, DAY).code);

    assert!(challenge(&world).alternatives.is_empty());
    assert_eq!(begin(&world, 1, vec![]), Err(Reject::Forbidden));
    assert_eq!(begin(&world, 1, vec![proof]), Err(Reject::Forbidden));
}

#[test]
fn an_invitation_lets_one_user_in() {
    let world = demanding(RegistrationPolicy::invitation());
    let proof = vec![RegistrationProof::Invitation(invite(&world, DAY).code)];
    let unknown = vec![RegistrationProof::Invitation(InvitationCode(Secret::new([9; 16])))];

    assert_eq!(begin(&world, 1, vec![]), Err(Reject::Forbidden));
    assert_eq!(begin(&world, 1, unknown), Err(Reject::Forbidden));
    let finish = world.begin_with(1, proof.clone()).unwrap();
    let client = world.finish(&finish).unwrap();

    assert_eq!(begin(&world, 2, proof), Err(Reject::Forbidden), "it was used up");
    assert_eq!(world.finish(&finish).map(|again| again.credential), Ok(client.credential));
}

#[test]
fn an_unfinished_registration_uses_no_invitation_up() {
    let world = demanding(RegistrationPolicy::invitation());
    let proof = vec![RegistrationProof::Invitation(invite(&world, DAY).code)];
    begin(&world, 1, proof.clone()).unwrap();

    world.pass(10 * MINUTE);

    let finish = world.begin_with(2, proof).unwrap();
    assert!(world.finish(&finish).is_ok());
}

#[test]
fn of_two_who_begin_with_one_invitation_one_finishes_also_on_two_replicas() {
    let world = demanding(RegistrationPolicy::invitation());
    let proof = vec![RegistrationProof::Invitation(invite(&world, DAY).code)];
    let both = [1, 2].map(|uuid| world.begin_with(uuid, proof.clone()).unwrap());
    let replicas = [world.engine.clone(), world.replica()];

    let calls = both.iter().zip(&replicas).map(|(finish, engine)| {
        let call = world.call::<op::RegisterFinish>(&finish.request, By::Key(&finish.key), None);
        engine.call::<op::RegisterFinish>(call, Origin::default())
    });
    let outcomes = block_on(join_all(calls));

    let losers: Vec<_> = outcomes.into_iter().filter_map(Result::err).map(refusal).collect();
    assert_eq!(losers, [Reject::Forbidden]);
}

#[test]
fn an_invitation_is_good_to_its_last_second() {
    let world = demanding(RegistrationPolicy::invitation());
    let Invitation { code, expires } = invite(&world, HOUR);
    let proof = vec![RegistrationProof::Invitation(code)];
    assert_eq!(expires, world.now().as_secs() + HOUR);

    world.pass(HOUR);
    let last = world.begin_with(1, proof.clone()).unwrap();
    world.pass(1);

    assert_eq!(begin(&world, 2, proof), Err(Reject::Forbidden));
    assert_eq!(world.finish(&last).err(), Some(Reject::Forbidden), "it has ended meanwhile");
    world.pass(10 * MINUTE);
    assert!(world.store.dump().is_empty());
}

#[test]
fn what_is_stored_tells_neither_the_code_nor_the_moment_of_a_lasting_invitation() {
    let world = demanding(RegistrationPolicy::invitation());

    let Invitation { code, expires } = invite(&world, 30 * DAY);

    assert!(!world.holds(code.0.expose()));
    assert_eq!(expires % DAY, 0);
    assert!(expires >= world.now().as_secs() + 30 * DAY && expires < world.now().as_secs() + 31 * DAY);
}

#[test]
fn a_client_invites_with_an_alias_token_where_the_operator_lets_clients() {
    let settings = |policy, clients_invite| AuthSettings {
        registration: RegistrationSettings { policy, clients_invite, ..RegistrationSettings::default() },
        ..AuthSettings::default()
    };
    let either = RegistrationPolicy::invitation().or(RegistrationPolicy::open());
    let world = World::with(settings(either.clone(), true));
    let (client, stranger) = (world.register(1), world.stranger(2));

    let invitation = world.ask::<op::MakeInvitation>(Empty {}, By::Client(&client)).unwrap();

    assert!(invitation.expires >= world.now().as_secs() + 30 * DAY);
    let unpaid = world.call::<op::MakeInvitation>(&Empty {}, By::Client(&client), None);
    assert_eq!(world.send::<op::MakeInvitation>(unpaid), Err(Reject::TokenRequired));
    let by_stranger = world.ask::<op::MakeInvitation>(Empty {}, By::Client(&stranger));
    assert_eq!(by_stranger, Err(Reject::Forbidden));
    let proof = vec![RegistrationProof::Invitation(invitation.code)];
    assert!(world.finish(&world.begin_with(3, proof).unwrap()).is_ok());
    for settings in [settings(either, false), settings(RegistrationPolicy::open(), true)] {
        let world = World::with(settings);
        let client = world.register(1);
        let before = world.store.dump();
        let refused = world.ask::<op::MakeInvitation>(Empty {}, By::Client(&client));
        assert_eq!(refused, Err(Reject::Forbidden));
        assert_eq!(world.store.dump(), before, "its token is not spent");
    }
}

#[test]
fn invitations_that_are_not_good_are_not_told_apart() {
    let world = demanding(RegistrationPolicy::invitation());
    let (used, expired) = (invite(&world, DAY).code, invite(&world, HOUR).code);
    let finish = world.begin_with(1, vec![RegistrationProof::Invitation(used.clone())]).unwrap();
    world.finish(&finish).unwrap();
    world.pass_unswept(HOUR + 1);
    let unknown = InvitationCode(Secret::new([9; 16]));

    let asked = [used, expired, unknown].map(|code| {
        world.reads();
        let outcome = begin(&world, 2, vec![RegistrationProof::Invitation(code)]);
        (outcome, world.reads())
    });

    assert_eq!(asked[0], (Err(Reject::Forbidden), vec![2]));
    assert!(asked.iter().all(|each| *each == asked[0]));
}

#[test]
fn proofs_and_hints_fit_up_to_their_bounds() {
    let mut settings = settings(RegistrationPolicy::external());
    settings.registration.hint = "x".repeat(MAX_EXTERNAL + 1);
    let world = World::judged(settings, Judge);
    let shown = |length| RegistrationProof::External(Opaque::new(vec![7; length]).unwrap());
    let invitation = RegistrationProof::Invitation(InvitationCode(Secret::new([9; 16])));

    let told = challenge(&world).alternatives;
    assert!(matches!(&told[0][0], Demand::External(hint) if hint.len() == MAX_EXTERNAL));
    assert_eq!(begin(&world, 1, vec![shown(MAX_EXTERNAL)]), Err(Reject::RateLimited(30)), "it was judged");
    let fits = RegisterInitRequest {
        user: client_id(1, "alpha.test").user,
        opaque: Opaque::default(),
        proofs: List::default(),
    };
    let longer = Opaque::<{ MAX_EXTERNAL + 1 }>::new(vec![7; MAX_EXTERNAL + 1]).unwrap();
    let too_long = List::<_, 1>::new(vec![(3_u8, longer)]).unwrap().encode();
    let too_many = List::<_, 9>::new(vec![invitation; MAX_DEMANDS + 1]).unwrap().encode();
    for proofs in [too_long, too_many] {
        let mut call = world.call::<op::RegisterInit>(&fits, By::Nobody, None);
        let body = [(fits.user.clone(), fits.opaque.clone()).encode(), proofs].concat();
        call.body = Opaque::new(body).unwrap();
        assert!(matches!(world.send::<op::RegisterInit>(call), Err(Reject::Malformed(_))));
    }
}

#[test]
fn a_proof_that_no_alternative_needs_is_not_used_up() {
    let world = demanding(RegistrationPolicy::open().or(RegistrationPolicy::invitation()));
    let proof = vec![RegistrationProof::Invitation(invite(&world, DAY).code)];

    for uuid in [1, 2] {
        let finish = world.begin_with(uuid, proof.clone()).unwrap();
        assert!(world.finish(&finish).is_ok());
    }
}

#[test]
fn two_proofs_of_a_kind_are_malformed() {
    let world = demanding(RegistrationPolicy::external());
    let proof = || RegistrationProof::External(Opaque::default());

    assert_eq!(begin(&world, 1, vec![proof(), proof()]), Err(Reject::Malformed("proofs")));
}

#[test]
fn the_switch_closes_registration_at_once_on_all_replicas_and_for_those_who_began() {
    let world = World::new();
    let (begun, before) = (world.begin(1), world.register(2));
    let replica = world.replica();
    let switch = |closed| block_on(replica.internal::<op::RegistrationSwitch>(closed, Fare::Free)).unwrap();

    assert_eq!([switch(None), switch(Some(Flag::Yes)), switch(None)], [Flag::No, Flag::Yes, Flag::Yes]);

    assert!(challenge(&world).alternatives.is_empty());
    assert_eq!(begin(&world, 3, vec![]), Err(Reject::Forbidden));
    assert_eq!(world.finish(&begun).err(), Some(Reject::Forbidden));
    let read = world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Client(&before));
    assert!(read.is_ok(), "users go on");
    switch(Some(Flag::No));
    assert!(challenge(&world).is_open());
    assert!(world.finish(&begun).is_ok(), "its ten minutes have not passed");
}

#[test]
fn who_registered_before_the_switch_closed_gets_a_lost_answer_again() {
    let world = World::new();
    let finish = world.begin(1);
    let client = world.finish(&finish).unwrap();
    block_on(world.engine.internal::<op::RegistrationSwitch>(Some(Flag::Yes), Fare::Free)).unwrap();

    assert_eq!(world.finish(&finish).map(|again| again.credential), Ok(client.credential));
}

#[test]
fn the_judge_sees_the_proof_and_its_word_counts() {
    let verdicts =
        [("good", Ok(())), ("bad", Err(Reject::Forbidden)), ("whatever", Err(Reject::RateLimited(30)))];
    for (shown, expected) in verdicts {
        let world = World::judged(settings(RegistrationPolicy::external()), Judge);
        let proof = RegistrationProof::External(Opaque::new(shown.as_bytes().to_vec()).unwrap());
        assert_eq!(begin(&world, 1, vec![proof]), expected, "{shown}");
        assert_eq!(begin(&world, 1, vec![]), Err(Reject::Forbidden));
    }
}

#[test]
fn the_judge_is_not_asked_where_something_else_is_missing() {
    let policy = RegistrationPolicy::external().and(&RegistrationPolicy::invitation());
    let world = World::judged(settings(policy), Judge);
    let shown = RegistrationProof::External(Opaque::new(&b"whatever"[..]).unwrap());
    let invitation = RegistrationProof::Invitation(invite(&world, DAY).code);

    assert_eq!(begin(&world, 1, vec![shown.clone()]), Err(Reject::Forbidden));
    assert_eq!(begin(&world, 1, vec![shown, invitation]), Err(Reject::RateLimited(30)));
}

#[test]
fn without_a_judge_nobody_satisfies_it() {
    let world = demanding(RegistrationPolicy::external());
    let shown = RegistrationProof::External(Opaque::new(&b"good"[..]).unwrap());

    assert_eq!(begin(&world, 1, vec![shown]), Err(Reject::Forbidden));
}

/// Knows two proofs, and for others wants time.
struct Judge;

#[async_trait]
impl Policy for Judge {
    async fn judge(&self, question: &Question) -> Verdict {
        match question.subject.as_deref() {
            None | Some(b"good") => Verdict::Allow,
            Some(b"bad") => Verdict::Forbid,
            Some(_) => Verdict::Later(30),
        }
    }
}

fn settings(policy: RegistrationPolicy) -> AuthSettings {
    let work = WorkSettings { bits: 8, busy_at: 60 };
    let hint = "a captcha".to_owned();
    let registration = RegistrationSettings { policy, work, hint, ..RegistrationSettings::default() };
    AuthSettings { registration, ..AuthSettings::default() }
}

pub(super) fn demanding(policy: RegistrationPolicy) -> World {
    World::with(settings(policy))
}

pub(super) fn begin(world: &World, uuid: u8, proofs: Vec<RegistrationProof>) -> Result<(), Reject> {
    world.begin_with(uuid, proofs).map(drop)
}

fn invite(world: &World, valid_s: u64) -> Invitation {
    block_on(world.engine.internal::<op::Invite>(valid_s, Fare::Free)).unwrap()
}

pub(super) fn challenge(world: &World) -> ChallengeReply {
    world.ask::<op::RegistrationChallenge>(Empty {}, By::Nobody).unwrap()
}

fn kind(demand: &Demand) -> &str {
    match demand {
        Demand::Invitation => "invitation",
        Demand::Work(_) => "work",
        Demand::External(hint) => std::str::from_utf8(hint).unwrap(),
    }
}
