//! What bounds issuance beyond a single client: classes, operators, clocks and replicas.

use futures::{executor::block_on, future::join_all};
use phoenix_core::{
    Origin, Reject,
    federation::{Standing, Terms},
    time::{DAY, HOUR, MINUTE},
    token::Class,
};

use super::world::{By, TestClient, World};
use crate::{Allowances, AuthSettings, RemoteAllowance, op};

#[test]
fn all_clients_share_what_there_is_of_a_class() {
    let world = World::with(AuthSettings { ceiling: 200, ..AuthSettings::default() });
    let (one, other, stranger) = (world.register(1), world.register(2), world.stranger(3));

    assert_eq!(count(&world, &one, Class::Standard, 100), Ok(100));
    assert_eq!(count(&world, &stranger, Class::Standard, 9), Ok(9));
    assert_eq!(count(&world, &other, Class::Standard, 92), Err(Reject::RateLimited(86_400)));
    assert_eq!(count(&world, &other, Class::Standard, 91), Ok(91));
    assert_eq!(count(&world, &stranger, Class::Standard, 1), Err(Reject::RateLimited(86_400)));
    assert_eq!(count(&world, &other, Class::Home, 20), Ok(20), "another class");
    assert_eq!(count(&world, &one, Class::Home, 1), Err(Reject::RateLimited(86_400)), "in proportion");
    world.pass(DAY);
    assert_eq!(count(&world, &one, Class::Standard, 100), Ok(100), "a new day");
}

#[test]
fn a_domain_gets_what_its_operator_has_set_and_takes_nothing_from_newcomers() {
    let world = World::with(AuthSettings { ceiling: 1_000, ..AuthSettings::default() });
    world.rule("beta.test", tokens(600));
    let (one, other) = (world.stranger(1), world.stranger(2));

    assert_eq!(count(&world, &one, Class::Standard, 60), Ok(60), "a tenth; newcomers get 50 together");
    assert_eq!(count(&world, &one, Class::Standard, 1), Err(Reject::RateLimited(86_400)));
    assert_eq!(count(&world, &other, Class::Standard, 60), Ok(60));
}

#[test]
fn a_domain_for_which_nothing_is_set_gets_nothing() {
    let world = World::new();
    world.rule("beta.test", tokens(0));

    let refused = count(&world, &world.stranger(1), Class::Contact, 1);

    assert_eq!(refused, Err(Reject::RateLimited(86_400)));
}

#[test]
fn a_domain_that_is_known_of_one_class_is_no_newcomer_to_another() {
    let world = World::with(AuthSettings { ceiling: 1_000, ..AuthSettings::default() });
    for _ in 0..31 {
        assert_eq!(count(&world, &world.stranger(1), Class::Standard, 1), Ok(1));
        world.pass(DAY);
    }

    // Newcomers together get 2 of this class.
    assert_eq!(count(&world, &world.stranger(1), Class::Contact, 3), Ok(3));
}

#[test]
fn a_domain_unused_for_thirty_days_starts_again_though_no_alarm_has_rung() {
    let remote =
        RemoteAllowance { floor: 100, client_floor: 1_000, newcomers_percent: 100, ..Default::default() };
    let world = World::with(AuthSettings { remote, ..AuthSettings::default() });
    assert_eq!(count(&world, &world.stranger(1), Class::Standard, 100), Ok(100));
    world.pass_unswept(DAY);
    assert_eq!(count(&world, &world.stranger(1), Class::Standard, 100), Ok(100));
    world.pass_unswept(DAY);
    assert_eq!(count(&world, &world.stranger(1), Class::Contact, 1), Ok(1), "grown to 169");

    world.pass_unswept(29 * DAY);
    assert_eq!(grown(&world), 69, "used 29 days ago");
    world.pass_unswept(30 * DAY);
    assert_eq!(grown(&world), 0);
}

/// Standard tokens, beyond the first hundred, that the neighbour gets today.
fn grown(world: &World) -> usize {
    assert_eq!(count(world, &world.stranger(1), Class::Standard, 100), Ok(100));
    let is_issued = |_: &usize| count(world, &world.stranger(1), Class::Standard, 1).is_ok();
    (0..100).take_while(is_issued).count()
}

#[test]
fn a_clock_that_is_put_back_over_the_windows_end_brings_no_second_allowance() {
    let world = World::new();
    let client = world.register(1);
    world.pass(DAY - MINUTE);
    assert_eq!(count(&world, &client, Class::Home, 100), Ok(100));

    world.pass(30 * MINUTE);
    world.put_back(30 * MINUTE);

    assert_eq!(count(&world, &client, Class::Home, 1), Err(Reject::RateLimited(60)));
    world.pass(2 * HOUR);
    assert_eq!(count(&world, &client, Class::Home, 100), Ok(100));
}

#[test]
fn neither_all_together_nor_newcomers_get_more_by_a_clock_that_is_put_back() {
    let world = World::with(AuthSettings { ceiling: 1_000, ..AuthSettings::default() });
    let (stranger, client) = (world.stranger(1), world.register(1));
    world.pass(DAY - MINUTE);
    assert_eq!(count(&world, &stranger, Class::Standard, 50), Ok(50));
    assert_eq!(count(&world, &client, Class::Home, 100), Ok(100));

    world.pass(30 * MINUTE);
    world.put_back(30 * MINUTE);

    let refused = Err(Reject::RateLimited(60));
    assert_eq!(count(&world, &world.stranger(2), Class::Standard, 1), refused, "newcomers");
    assert_eq!(count(&world, &world.register(2), Class::Home, 1), refused, "all together");
}

#[test]
fn racing_requests_on_two_replicas_are_never_issued_more_than_the_allowance() {
    let allowances = Allowances { contact: 5, ..Allowances::default() };
    let world = World::with(AuthSettings { allowances, ..AuthSettings::default() });
    let client = world.register(1);

    let outcomes = race(&world, (0..8).map(|_| (&client, Class::Contact)));

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    assert!(outcomes.contains(&Err(Reject::RateLimited(86_400))));
}

#[test]
fn clients_that_race_on_two_replicas_are_never_issued_more_than_there_is_of_a_class() {
    let world = World::with(AuthSettings { ceiling: 5, ..AuthSettings::default() });
    let clients = [1, 2, 3, 4, 5, 6, 7, 8].map(|uuid| world.register(uuid));

    let outcomes = race(&world, clients.iter().map(|client| (client, Class::Standard)));

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
}

#[test]
fn a_request_that_races_itself_on_two_replicas_counts_once() {
    let world = World::new();
    let client = world.register(1);
    let request = world.blinding(Class::Contact, 30).request(Class::Contact).unwrap();
    let replicas = [world.engine.clone(), world.replica()];
    let calls = replicas.iter().map(|engine| {
        let call = world.call::<op::IssueTokens>(&request, By::Client(&client), None);
        engine.call::<op::IssueTokens>(call, Origin::default())
    });

    let outcomes = block_on(join_all(calls));

    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(count(&world, &client, Class::Contact, 20), Ok(20));
    assert_eq!(count(&world, &client, Class::Contact, 1), Err(Reject::RateLimited(86_400)));
}

/// How requests for one token each end that come to two replicas in turn, at once.
fn race<'a>(world: &World, by: impl Iterator<Item = (&'a TestClient, Class)>) -> Vec<Result<(), Reject>> {
    let replicas = [world.engine.clone(), world.replica()];
    let calls = by.zip(replicas.iter().cycle()).map(|((client, class), engine)| {
        let request = world.blinding(class, 1).request(class).unwrap();
        let call = world.call::<op::IssueTokens>(&request, By::Client(client), None);
        engine.call::<op::IssueTokens>(call, Origin::default())
    });
    let outcomes = block_on(join_all(calls));
    outcomes.into_iter().map(|outcome| outcome.map(|_| ()).map_err(super::world::refusal)).collect()
}

/// How many tokens come of a fresh request for so many.
fn count(world: &World, by: &TestClient, class: Class, tokens: usize) -> Result<usize, Reject> {
    let request = world.blinding(class, tokens).request(class).unwrap();
    world.ask::<op::IssueTokens>(request, By::Client(by)).map(|reply| reply.evaluated.len())
}

fn tokens(tokens: u64) -> Standing {
    Standing::Allowed(Terms { tokens: Some(tokens), ..Terms::default() })
}
