use phoenix_core::{
    Refusal, Reject,
    api::tokens::{IssueReply, IssueRequest},
    federation::{Outbox, Standing},
    time::{DAY, HOUR},
    token::{Blinding, Class, Token},
    wire::List,
};

use super::{
    logins::done,
    single,
    world::{By, TestClient, World, domain},
};
use crate::{AuthSettings, RemoteAllowance, op};

/// The world begins with a day.
const WINDOW_S: u32 = 86_400;

#[test]
fn issued_tokens_can_be_spent_here_for_their_class() {
    let world = World::new();
    let client = world.register(1);

    for class in Class::ALL {
        let blinding = world.blinding(class, 3);
        let reply = issue(&world, &client, class, &blinding).unwrap();
        let tokens = blinding.finalize(&reply).unwrap();
        assert_eq!(tokens.len(), 3);
        assert!(tokens.iter().all(|token| spends(&world, token, class)), "{class:?}");
    }
}

#[test]
fn no_client_gets_more_than_its_allowance_of_a_class_in_a_window() {
    let world = World::new();
    let client = world.register(1);

    assert_eq!(count(&world, &client, Class::Home, 60), Ok(60));
    assert_eq!(count(&world, &client, Class::Home, 41), Err(Reject::RateLimited(WINDOW_S)));
    assert_eq!(count(&world, &client, Class::Home, 40), Ok(40));
    world.pass(1_000);
    assert_eq!(count(&world, &client, Class::Home, 1), Err(Reject::RateLimited(WINDOW_S - 1_000)));
    assert_eq!(count(&world, &client, Class::Contact, 50), Ok(50), "classes are counted apart");
    assert_eq!(count(&world, &world.register(2), Class::Home, 100), Ok(100), "clients, too");
    world.pass(DAY);
    assert_eq!(count(&world, &client, Class::Home, 100), Ok(100), "a new day");
}

#[test]
fn alias_tokens_are_counted_over_thirty_days() {
    let world = World::new();
    let client = world.register(1);

    assert_eq!(count(&world, &client, Class::Alias, 5), Ok(5));
    world.pass(DAY);
    let refused = count(&world, &client, Class::Alias, 1);

    assert!(
        matches!(refused, Err(Reject::RateLimited(seconds)) if u64::from(seconds) <= 29 * DAY),
        "{refused:?}"
    );
}

#[test]
fn a_repeated_request_is_answered_with_the_same_tokens_and_counts_once() {
    let world = World::new();
    let client = world.register(1);
    let blinding = world.blinding(Class::Contact, 50);

    let first = issue(&world, &client, Class::Contact, &blinding).unwrap();
    let second = issue(&world, &client, Class::Contact, &blinding).unwrap();

    assert_eq!(first.evaluated, second.evaluated);
    assert_eq!(blinding.finalize(&first), blinding.finalize(&second));
    assert_eq!(count(&world, &client, Class::Contact, 1), Err(Reject::RateLimited(WINDOW_S)));
}

#[test]
fn a_request_is_repeated_a_few_times_and_not_without_end() {
    let world = World::new();
    let client = world.register(1);
    let blinding = world.blinding(Class::Contact, 10);
    let first = issue(&world, &client, Class::Contact, &blinding).unwrap();

    for _ in 0..5 {
        let again = issue(&world, &client, Class::Contact, &blinding).unwrap();
        assert_eq!(again.evaluated, first.evaluated);
    }

    let refused = issue(&world, &client, Class::Contact, &blinding);
    assert_eq!(refused, Err(Reject::RateLimited(WINDOW_S)));
    assert_eq!(count(&world, &client, Class::Contact, 40), Ok(40), "all of them counted once");
}

#[test]
fn a_lost_answer_is_given_again_after_its_key_has_ended() {
    let world = World::new();
    let client = world.register(1);
    world.pass(7 * DAY - 60);
    let (blinding, other) = (world.blinding(Class::Alias, 2), world.blinding(Class::Alias, 1));
    let first = issue(&world, &client, Class::Alias, &blinding).unwrap();

    world.pass(120);

    assert_eq!(issue(&world, &client, Class::Alias, &other), Err(Reject::TokenInvalid), "it issues no more");
    let again = issue(&world, &client, Class::Alias, &blinding).unwrap();
    assert_eq!(again.evaluated, first.evaluated);
    world.pass(2 * DAY);
    assert_eq!(issue(&world, &client, Class::Alias, &blinding), Err(Reject::TokenInvalid), "nor is it spent");
}

#[test]
fn only_what_is_answered_is_evaluated() {
    let world = World::new();
    let client = world.register(1);
    let (first, too_many) = (world.blinding(Class::Contact, 40), world.blinding(Class::Contact, 11));
    let evaluations = |blinding: &Blinding| {
        let ask = || issue(&world, &client, Class::Contact, blinding).err().map(Refusal::from);
        let (refused, (.., evaluations)) = done(&world, ask);
        (refused.is_some(), evaluations)
    };

    assert_eq!(evaluations(&first), (false, 1), "a batch is one");
    assert_eq!(evaluations(&first), (false, 1), "a repeat is answered again");
    assert_eq!(evaluations(&too_many), (true, 0));
}

#[test]
fn nothing_of_a_request_but_its_hash_is_kept() {
    let world = World::new();
    let client = world.register(1);
    let blinding = world.blinding(Class::Standard, 2);

    let reply = issue(&world, &client, Class::Standard, &blinding).unwrap();

    let request = blinding.request(Class::Standard).unwrap();
    let seen = request.blinded.iter().chain(&reply.evaluated);
    assert!(seen.into_iter().all(|element| !world.holds(&element[..12])));
    let tokens = blinding.finalize(&reply).unwrap();
    assert!(tokens.iter().all(|token| !world.holds(&token.nonce[..12])));
    // The count of registrations goes first.
    world.pass(4 * HOUR);
    let left = world.store.dump().len();
    world.pass(3 * DAY);
    assert_eq!(world.store.dump().len(), left - 2, "the window is forgotten");
}

#[test]
fn requests_that_cannot_be_answered_are_refused_and_count_nothing() {
    let world = World::new();
    let client = world.register(1);
    let before = world.store.dump();
    let request = world.blinding(Class::Home, 1).request(Class::Home).unwrap();
    let ask = |request: IssueRequest| world.ask::<op::IssueTokens>(request, By::Client(&client)).err();

    let unknown_key = IssueRequest { key: [0; 32], ..request.clone() };
    let other_class = IssueRequest { class: Class::Standard, ..request.clone() };
    let none = IssueRequest { blinded: List::default(), ..request.clone() };
    let no_element = IssueRequest { blinded: List::new(vec![[0xff; 32]]).unwrap(), ..request.clone() };
    let identity = IssueRequest { blinded: List::new(vec![[0; 32]]).unwrap(), ..request };

    assert_eq!(ask(unknown_key), Some(Reject::TokenInvalid));
    assert_eq!(ask(other_class), Some(Reject::TokenInvalid));
    for request in [none, no_element, identity] {
        assert_eq!(ask(request), Some(Reject::Malformed("blinded")));
    }
    assert_eq!(world.store.dump(), before);
}

#[test]
fn a_key_that_has_ended_issues_nothing() {
    let world = World::new();
    let client = world.register(1);
    let blinding = world.blinding(Class::Standard, 1);

    world.pass(8 * DAY);

    assert_eq!(issue(&world, &client, Class::Standard, &blinding), Err(Reject::TokenInvalid));
    assert_eq!(count(&world, &client, Class::Standard, 1), Ok(1));
}

#[test]
fn only_known_clients_are_issued_tokens() {
    let world = World::new();
    let client = world.register(1);
    let thief = TestClient { key: world.register(2).key, ..client.clone() };
    let elsewhere = World::new().register(3);
    let impostor = TestClient { credential: with_domain(&client, "beta.test"), ..client };
    let request = world.blinding(Class::Standard, 1).request(Class::Standard).unwrap();

    assert_eq!(count(&world, &thief, Class::Standard, 1), Err(Reject::Unauthenticated));
    assert_eq!(count(&world, &elsewhere, Class::Standard, 1), Err(Reject::Unauthenticated));
    assert_eq!(count(&world, &impostor, Class::Standard, 1), Err(Reject::Unauthenticated));
    assert_eq!(world.ask::<op::IssueTokens>(request, By::Nobody), Err(Reject::Unauthenticated));
}

#[test]
fn remote_clients_get_standard_and_contact_tokens_and_no_others() {
    let world = World::new();
    let stranger = world.stranger(1);

    assert_eq!(count(&world, &stranger, Class::Home, 1), Err(Reject::Forbidden));
    assert_eq!(count(&world, &stranger, Class::Alias, 1), Err(Reject::Forbidden));
    assert_eq!(world.fetches(), 0);
    assert_eq!(count(&world, &stranger, Class::Standard, 10), Ok(10));
    assert_eq!(count(&world, &stranger, Class::Contact, 10), Ok(10));
    assert_eq!(world.fetches(), 1);
}

#[test]
fn t10_clients_of_a_homeserver_that_is_blocked_or_paused_are_issued_nothing_and_it_is_not_asked_who_they_are()
{
    let world = World::new();
    let known = world.stranger(1);
    assert_eq!(count(&world, &known, Class::Standard, 1), Ok(1));
    let nobody = TestClient { key: world.register(2).key, ..world.stranger(3) };
    let (before, fetches) = (world.store.dump(), world.fetches());

    for (standing, refusal) in [
        (Standing::Blocked(Outbox::Drop), Reject::Forbidden),
        (Standing::Blocked(Outbox::Hold), Reject::Forbidden),
        (Standing::Paused, Reject::Unavailable(300)),
    ] {
        world.rule("beta.test", standing);
        for client in [&known, &nobody] {
            assert_eq!(count(&world, client, Class::Standard, 1), Err(refusal));
            assert_eq!(single::fresh(&world, client, Class::Standard).err(), Some(refusal));
        }
    }

    assert_eq!((world.store.dump(), world.fetches()), (before, fetches));
    world.rule("gamma.test", Standing::Paused);
    assert_eq!(count(&world, &known, Class::Standard, 1), Ok(1), "at once after the block");
}

#[test]
fn one_remote_client_does_not_starve_the_others_of_its_domain() {
    let world = World::new();
    let (greedy, modest) = (world.stranger(1), world.stranger(2));

    assert_eq!(count(&world, &greedy, Class::Standard, 100), Ok(100));
    assert_eq!(count(&world, &greedy, Class::Standard, 1), Err(Reject::RateLimited(WINDOW_S)));
    assert_eq!(count(&world, &greedy, Class::Contact, 21), Err(Reject::RateLimited(WINDOW_S)));
    assert_eq!(count(&world, &greedy, Class::Contact, 20), Ok(20));
    assert_eq!(count(&world, &modest, Class::Standard, 100), Ok(100));
}

#[test]
fn the_clients_of_a_domain_share_its_allowance_which_grows_by_use() {
    let remote =
        RemoteAllowance { floor: 100, growth_percent: 150, ceiling: 120, ..RemoteAllowance::default() };
    let remote = RemoteAllowance { client_floor: 60, newcomers_percent: 1_000, ..remote };
    let world = World::with(AuthSettings { remote, ..AuthSettings::default() });
    let (one, other) = (world.stranger(1), world.stranger(2));

    assert_eq!(count(&world, &one, Class::Standard, 60), Ok(60));
    assert_eq!(count(&world, &other, Class::Standard, 41), Err(Reject::RateLimited(WINDOW_S)));
    assert_eq!(count(&world, &other, Class::Standard, 40), Ok(40));
    world.pass(DAY);
    assert_eq!(count(&world, &one, Class::Standard, 60), Ok(60));
    assert_eq!(count(&world, &other, Class::Standard, 60), Ok(60), "150, but for the ceiling");
    assert_eq!(count(&world, &world.stranger(3), Class::Standard, 1), Err(Reject::RateLimited(WINDOW_S)));
}

#[test]
fn new_domains_share_one_pool() {
    let world = World::with(AuthSettings { ceiling: 1_000, ..AuthSettings::default() });
    let (one, other) = (world.stranger(1), world.stranger(2));

    assert_eq!(count(&world, &one, Class::Standard, 30), Ok(30));
    assert_eq!(count(&world, &other, Class::Standard, 21), Err(Reject::RateLimited(WINDOW_S)));
    assert_eq!(count(&world, &other, Class::Standard, 20), Ok(20));
    for _ in 0..31 {
        world.pass(DAY);
        assert_eq!(count(&world, &world.stranger(1), Class::Standard, 1), Ok(1));
    }
    assert_eq!(
        count(&world, &world.stranger(1), Class::Standard, 60),
        Ok(60),
        "the domain is no newcomer any more"
    );
}

fn issue(world: &World, by: &TestClient, class: Class, blinding: &Blinding) -> Result<IssueReply, Reject> {
    world.ask::<op::IssueTokens>(blinding.request(class).unwrap(), By::Client(by))
}

/// How many tokens come of a fresh request for so many.
fn count(world: &World, by: &TestClient, class: Class, tokens: usize) -> Result<usize, Reject> {
    issue(world, by, class, &world.blinding(class, tokens)).map(|reply| reply.evaluated.len())
}

fn spends(world: &World, token: &Token, class: Class) -> bool {
    world.engine.ring().tokens.verify(token, class, world.now()).is_ok()
}

/// The credential, as if another domain had given it.
fn with_domain(client: &TestClient, name: &str) -> phoenix_core::credential::ClientCredential {
    let mut credential = client.credential.clone();
    credential.payload.client.user.domain = domain(name);
    credential
}
