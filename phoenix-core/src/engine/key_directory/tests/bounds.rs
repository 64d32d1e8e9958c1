//! What strangers can have looked up, waited for and held.

use std::sync::Arc;

use futures::executor::block_on;

use super::{
    super::{BUSY_REST_S, FRESH_S, LEAST_WEIGHT, MAX_WEIGHT, RETRY_S, STRANGER_S, waiting::KNOCKS_A_MINUTE},
    World, as_need, origin,
};
use crate::{
    Origin, Reject, api::ServiceName, operation::Need, port::TransportError, published::max_document,
};

#[test]
fn t6_one_source_cannot_make_this_server_knock_on_many_doors() {
    let world = World::new();
    let stranger = |number: u32| Need::keys(format!("s{number}.example").parse().unwrap(), ServiceName::As);
    let ask = |need: &Need, address| block_on(world.directory.find_for_stranger(need, &origin(address), 0));
    world.cut(true);

    for number in 0..KNOCKS_A_MINUTE {
        assert!(matches!(ask(&stranger(number), "192.0.2.1"), Err(Reject::Unavailable(_))));
    }

    assert!(matches!(ask(&stranger(99), "192.0.2.1"), Err(Reject::RateLimited(_))));
    assert!(matches!(ask(&stranger(99), "192.0.2.2"), Err(Reject::Unavailable(_))), "others may");
    assert_eq!(world.fetches(), KNOCKS_A_MINUTE as usize + 1);
    world.cut(false);
    block_on(world.directory.find(&world.need(None))).unwrap();
    assert!(ask(&world.need(None), "192.0.2.1").is_ok(), "it is known");
    world.pass_s(60);
    assert!(matches!(ask(&stranger(98), "192.0.2.1"), Err(Reject::Unavailable(_))));
}

#[test]
fn t20_where_too_many_wait_nobody_is_asked_and_what_is_known_must_do_where_it_revokes_nothing() {
    // given a homeserver whose keys are known and old, one that nobody knows, and no place to wait
    let mut world = World::new();
    block_on(world.directory.find(&world.need(None))).unwrap();
    world.serve(1);
    block_on(world.directory.find(&as_need())).unwrap();
    world.pass_s(FRESH_S);
    let stranger = Need::keys("s.example".parse().unwrap(), ServiceName::As);
    let wait = |network: u32| {
        let origin = Origin { address: Some(network.to_be_bytes().into()), request: 0 };
        world.directory.place(std::slice::from_ref(&stranger), &origin, 1 << 20).ok()
    };
    let waiting: Vec<_> = (0..).map_while(wait).collect();

    // when calls need their keys
    let ask = |need: &Need| block_on(world.directory.find_for_stranger(need, &origin("192.0.2.1"), 1 << 20));
    let (old, revoking, unknown) = (ask(&world.need(None)), ask(&as_need()), ask(&stranger));

    // then they are not fetched, and those of an AS, which may revoke the caller, are not used
    let unavailable = Err(Reject::Unavailable(RETRY_S));
    assert!(old.is_ok());
    assert_eq!((revoking, unknown, world.fetches()), (unavailable.clone(), unavailable, 2));

    // until there is a place again, or whoever has them does not answer
    drop(waiting);
    assert!(ask(&as_need()).is_ok());
    assert_eq!(world.fetches(), 3);
    world.pass_s(FRESH_S);
    world.cut(true);
    assert!(block_on(world.directory.find(&as_need())).is_ok(), "within its grace");
    let _waiting: Vec<_> = (0..).map_while(wait).collect();
    assert!(ask(&as_need()).is_ok(), "it is left in peace, so nobody has to wait");
}

#[test]
fn t20_t22_made_up_homeservers_of_one_zone_push_out_nobody_else_however_many_and_long_and_old_they_are() {
    // given homeservers that are known, one of them with a long document, and as much as there is room for of one zone
    let mut world = World::new();
    let keys = world.keys();
    let long = max_document(ServiceName::As);
    let mut others = vec![world.meet("a.test", &keys), world.meet_with("long.b.test", &keys, long)];
    for number in 0..MAX_WEIGHT / (long + LEAST_WEIGHT) {
        world.meet_with(&format!("long{number}.evil.test"), &keys, long);
    }
    world.pass_s(STRANGER_S);
    others.push(world.meet("new.test", &keys));

    // when more of it come, some of which are in use
    let in_use: Vec<_> = (0..16)
        .map(|number| {
            let domain = world.meet_with(&format!("used{number}.evil.test"), &keys, long);
            world.directory.held(&Need::keys(domain, ServiceName::As)).unwrap()
        })
        .collect();
    for number in 0..1_000 {
        world.directory.make_room();
        world.meet(&format!("short{number}.evil.test"), &keys);
    }
    world.directory.make_room();

    // then what is held is bounded, and the others are still there
    let held = world.directory.entries();
    let idle = held.values().filter(|entry| Arc::strong_count(entry) == 1);
    let weight: usize = idle.map(|entry| entry.weight()).sum();
    assert!(weight <= MAX_WEIGHT - in_use.len() * long, "{weight}");
    for other in others {
        assert!(held.contains_key(&(other.clone(), ServiceName::As)), "{other}");
    }
}

#[test]
fn t20_where_many_zones_hold_the_same_those_go_first_that_nobody_knew_yesterday() {
    let mut world = World::new();
    let (keys, long) = (world.keys(), max_document(ServiceName::As));
    // Last by its name, and longest by as much as can be.
    let known = world.meet_with("z.zone.test", &keys, long);
    world.pass_s(STRANGER_S);
    let made_up = MAX_WEIGHT / long + 8;
    for number in 0..made_up {
        world.meet_with(&format!("other{number}.test"), &keys, long - 1);
    }

    world.directory.make_room();

    let held = world.directory.entries();
    assert!(held.contains_key(&(known, ServiceName::As)) && held.len() < made_up, "{}", held.len());
}

#[test]
fn t22_who_was_known_before_a_restart_is_no_stranger_after_it() {
    // given a homeserver that was known for a day, and a process that was started since
    let mut world = World::new();
    world.serve(1);
    block_on(world.directory.find(&as_need())).unwrap();
    world.pass_s(STRANGER_S);
    block_on(world.directory.remember());
    let restarted = World::directory(&world.ports);

    // when strangers have knocked at as many doors as their network may
    let ask = |need: &Need| block_on(restarted.find_for_stranger(need, &origin("192.0.2.1"), 0));
    world.cut(true);
    for number in 0..KNOCKS_A_MINUTE {
        let stranger = Need::keys(format!("s{number}.example").parse().unwrap(), ServiceName::As);
        assert!(matches!(ask(&stranger), Err(Reject::Unavailable(_))));
    }
    world.cut(false);

    // then it is asked all the same, for all of its services
    assert!(ask(&as_need()).is_ok());
    let fetches = world.fetches();
    assert_ne!(ask(&world.need(None)), Err(Reject::RateLimited(60)));
    assert_eq!(world.fetches(), fetches + 1);
}

#[test]
fn t20_an_old_list_of_an_as_decides_on_nobody_while_nobody_can_ask_for_a_new_one() {
    let mut world = World::new();
    world.serve(1);
    block_on(world.directory.find(&as_need())).unwrap();
    world.pass_s(FRESH_S);
    world.fail_by(Some(TransportError::Busy));

    let unasked = block_on(world.directory.find(&as_need()));
    world.pass_s(BUSY_REST_S);
    world.cut(true);
    let unanswered = block_on(world.directory.find(&as_need()));

    assert_eq!(unasked.err(), Some(Reject::Unavailable(RETRY_S)));
    assert!(unanswered.is_ok(), "within its grace");
}
