//! Whose stream it is: one of each client, as long as it and its key are the client's.

use futures::executor::block_on;
use phoenix_core::{ErrorCode, wire::Wire};

use super::{
    client::Client,
    streams::{Heard, ephemeral, home_with_client},
    world::Home,
};
use crate::{kinds::stream_topic, op::delete_client::DeleteClient};

#[test]
fn a_second_stream_ends_the_first() {
    let (home, mut client) = home_with_client();
    let mut first = client.open_stream(&home, 0, 0).unwrap();
    client.hear(&mut first);
    assert_eq!(client.hear(&mut first), Heard::Nothing);

    let mut second = client.open_stream(&home, 1, 0).unwrap();

    assert_eq!(client.hear(&mut first), Heard::Refused(ErrorCode::Conflict));
    assert_eq!(client.hear(&mut first), Heard::End);
    assert_eq!(client.hear(&mut second), Heard::Nothing);
}

#[test]
fn a_second_stream_ends_the_first_at_once_whatever_it_is_doing() {
    // given streams whose client acknowledges nothing, and one that is being told something
    let (home, mut client) = home_with_client();
    let config = client.config(&home, Some("alpha.test"));
    for _ in 0..150 {
        home.deliver(home.local(&[&config], "hello"));
    }
    let mut full = client.open_stream(&home, 0, 0).unwrap();
    assert!(matches!(client.hear(&mut full), Heard::Texts(_)));
    assert_eq!(client.hear(&mut full), Heard::Nothing, "a hundred are not acknowledged");

    let mut told = client.open_stream(&home, 100, 100).unwrap();
    assert_eq!(client.hear(&mut full), Heard::Refused(ErrorCode::Conflict));
    assert!(matches!(client.hear(&mut told), Heard::Texts(_)));
    assert_eq!(client.hear(&mut told), Heard::Nothing);
    let topic = stream_topic(&home.engine.ring().at_rest, &client.id);
    block_on(home.engine.shared().ports().wake.tell(&topic, &ephemeral("typing").encode()));

    // when another is opened, then none of them goes on
    let next = client.ratchet.next_seq();
    let mut last = client.open_stream(&home, next, next).unwrap();
    assert_eq!(client.hear(&mut told), Heard::Refused(ErrorCode::Conflict));
    assert_eq!(client.hear(&mut told), Heard::End);
    assert_eq!(client.hear(&mut last), Heard::Nothing);
}

#[test]
fn a_stream_ends_with_its_client_and_its_key_though_nothing_is_acknowledged() {
    let goes = |client: &mut Client, home: &Home| {
        client.as_client::<DeleteClient>(home, &client.ending(), &[]).unwrap();
    };
    let turns_key = |client: &mut Client, home: &Home| {
        client.turn_key(home, 0).unwrap();
    };
    for ends in [goes as fn(&mut Client, &Home), turns_key] {
        let (home, mut client) = home_with_client();
        let config = client.config(&home, Some("alpha.test"));
        for _ in 0..150 {
            home.deliver(home.local(&[&config], "hello"));
        }
        let mut stream = client.open_stream(&home, 0, 0).unwrap();
        client.hear(&mut stream);
        assert_eq!(client.hear(&mut stream), Heard::Nothing);

        ends(&mut client, &home);

        assert_eq!(client.hear(&mut stream), Heard::Refused(ErrorCode::Unauthenticated));
    }
}

#[test]
fn a_stream_at_another_replica_that_acknowledges_nothing_ends_within_a_minute() {
    let (home, mut client) = home_with_client();
    let (replica, config) = (home.far_replica(), client.config(&home, Some("alpha.test")));
    for _ in 0..150 {
        home.deliver(home.local(&[&config], "hello"));
    }
    let mut first = client.open_stream(&home, 0, 0).unwrap();
    client.hear(&mut first);
    assert_eq!(client.hear(&mut first), Heard::Nothing);

    let _second = client.open_stream(&replica, 100, 100).unwrap();
    home.clock.advance_s(60);

    assert_eq!(client.hear(&mut first), Heard::Refused(ErrorCode::Conflict));
}

#[test]
fn a_stream_at_another_replica_ends_the_first_though_no_wake_up_tells() {
    let (home, mut client) = home_with_client();
    let replica = home.far_replica();
    let mut first = client.open_stream(&home, 0, 0).unwrap();
    client.hear(&mut first);
    assert_eq!(client.hear(&mut first), Heard::Nothing);

    let mut second = client.open_stream(&replica, 1, 0).unwrap();
    assert_eq!(client.hear(&mut first), Heard::Nothing);
    home.clock.advance_s(60);

    assert_eq!(client.hear(&mut first), Heard::Refused(ErrorCode::Conflict));
    assert_eq!(client.hear(&mut second), Heard::Nothing);
}

#[test]
fn a_client_that_changes_its_key_loses_its_stream_at_once() {
    let (home, mut client) = home_with_client();
    let config = client.config(&home, Some("alpha.test"));
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    client.hear(&mut stream);
    assert_eq!(client.hear(&mut stream), Heard::Nothing);

    client.turn_key(&home, 0).unwrap();

    assert_eq!(client.hear(&mut stream), Heard::Refused(ErrorCode::Unauthenticated));
    home.deliver(home.local(&[&config], "one"));
    assert_eq!(client.hear(&mut stream), Heard::End);
    assert!(client.open_stream(&home, 1, 1).is_ok());
}
