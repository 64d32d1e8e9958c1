use phoenix_core::{
    Reject,
    api::{
        Empty,
        auth::{
            ChangePasswordReply, ChangePasswordRequest, RegisterInitReply, RemoveClientRequest, SecondFactor,
        },
    },
    port::Space,
    time::MINUTE,
    wire::Opaque,
};

use super::world::{By, TestClient, World, domain};
use crate::{op, opaque::client};

#[test]
fn a_changed_password_logs_in_and_the_old_one_and_all_that_it_began_do_not() {
    let world = World::new();
    let client = world.register(1);
    let user = &client.id.user;
    let (begun, own) = (world.begin_adding(user, 2), world.factor(&client));

    change(&world, &client, world.factor(&client)).unwrap();

    assert_eq!(world.finish_adding(&begun).err(), Some(Reject::Unauthenticated));
    let refused = world.ask::<op::RemoveClient>(remove(own, &client), By::Client(&client)).err();
    assert_eq!(refused, Some(Reject::Unauthenticated));
    let old = world.adding(user, 2, world.log_in_from(user, client::PASSWORD, ("::1", None)).unwrap());
    assert_eq!(world.finish_adding(&old).err(), Some(Reject::Unauthenticated));
    let new = world.adding(user, 2, world.log_in_from(user, NEW, ("::1", None)).unwrap());
    assert!(world.finish_adding(&new).is_ok());
}

#[test]
fn of_two_changes_that_were_begun_one_is_finished_and_the_other_is_not_found() {
    let world = World::new();
    let client = world.register(1);
    let (one, other) = (begin_change(&world, &client), begin_change(&world, &client));

    let finish = |request: &ChangePasswordRequest, by| world.ask::<op::ChangePassword>(request.clone(), by);

    assert_eq!(finish(&one, By::Client(&client)), Ok(ChangePasswordReply::Done));
    assert_eq!(finish(&other, By::Client(&client)), Err(Reject::NotFound));
    let before = partitions(&world);
    assert_eq!(finish(&one, By::Client(&client)), Ok(ChangePasswordReply::Done), "the answer got lost");
    assert_eq!(partitions(&world), before);
}

#[test]
fn a_change_of_password_takes_a_login_and_is_finished_in_time_by_the_client_that_began() {
    let world = World::new();
    let client = world.register(1);
    let second = world.add(&client.id.user, 2);
    let (late, theirs) = (begin_change(&world, &client), begin_change(&world, &second));
    let ask = |request, by: &TestClient| world.ask::<op::ChangePassword>(request, By::Client(by)).err();

    assert_eq!(
        change(&world, &client, world.factor_with(&client, b"wrong").unwrap()),
        Err(Reject::Unauthenticated)
    );
    assert_eq!(ask(theirs, &client), Some(Reject::NotFound));
    let ChangePasswordRequest::Finish { registration, .. } = &late else { panic!("{late:?}") };
    let record = Opaque::new(vec![0xff; 192]).unwrap();
    let bad = ChangePasswordRequest::Finish { registration: *registration, record };
    assert_eq!(ask(bad, &client), Some(Reject::Malformed("record")));
    world.pass(10 * MINUTE);
    assert_eq!(ask(late, &client), Some(Reject::NotFound));
    let factor = world.factor(&client);
    let malformed = ChangePasswordRequest::Begin { factor: factor.clone(), opaque: Opaque::default() };
    assert_eq!(ask(malformed, &client), Some(Reject::Malformed("opaque")));
    assert_eq!(change(&world, &client, factor), Ok(()), "a refused step uses nothing up");
}

#[test]
fn a_second_factor_is_used_once_and_for_ten_minutes() {
    let world = World::new();
    let client = world.register(1);
    let (once, late) = (world.factor(&client), world.factor(&client));

    assert_eq!(change(&world, &client, once.clone()), Ok(()));
    assert_eq!(change(&world, &client, once), Err(Reject::Unauthenticated));
    world.pass_unswept(10 * MINUTE - 1);
    let in_time = world.factor_with(&client, NEW).unwrap();
    world.pass_unswept(1);
    assert_eq!(change(&world, &client, late), Err(Reject::Unauthenticated));
    world.pass_unswept(10 * MINUTE - 2);
    let request = remove(in_time, &client);
    assert_eq!(world.ask::<op::RemoveClient>(request, By::Client(&client)), Ok(Empty {}));
}

/// What the AS stores.
fn partitions(world: &World) -> String {
    let dump = world.store.dump();
    let own: Vec<_> = dump.iter().filter(|(key, _)| key.space() == Space::As).collect();
    format!("{own:?}")
}

fn remove(factor: SecondFactor, client: &TestClient) -> RemoveClientRequest {
    RemoveClientRequest { factor, client: client.id.client }
}

/// Changes the password to another.
fn change(world: &World, client: &TestClient, factor: SecondFactor) -> Result<(), Reject> {
    let finish = begin_change_with(world, client, factor)?;
    let done = world.ask::<op::ChangePassword>(finish, By::Client(client))?;
    assert_eq!(done, ChangePasswordReply::Done);
    Ok(())
}

/// Begins to change it, with the right one; what finishes it comes back.
fn begin_change(world: &World, client: &TestClient) -> ChangePasswordRequest {
    begin_change_with(world, client, world.factor(client)).unwrap()
}

fn begin_change_with(
    world: &World,
    client: &TestClient,
    factor: SecondFactor,
) -> Result<ChangePasswordRequest, Reject> {
    let (started, opaque) = client::start_with(NEW, &mut world.chance()).unwrap();
    let begin = ChangePasswordRequest::Begin { factor, opaque: Opaque::new(opaque).unwrap() };
    let begun = world.ask::<op::ChangePassword>(begin, By::Client(client))?;
    let ChangePasswordReply::Begun(RegisterInitReply { registration, opaque }) = begun else {
        panic!("{begun:?}")
    };
    let (user, server) = (&client.id.user, domain("alpha.test"));
    let record = started.finish(&opaque, user, &server, &mut world.chance()).unwrap();
    Ok(ChangePasswordRequest::Finish { registration, record: Opaque::new(record).unwrap() })
}

const NEW: &[u8] = b"battery staple";
