//! `deliver`: what was put off, and what waits behind it.

use phoenix_core::{
    KeyId,
    api::{
        federation::RecipientResult::{Delivered, Later},
        queue::{ClientQueueConfig, DeliverRequest},
    },
    crypto::Chance,
    limit::{Limits, Rate},
    time::DAY,
};

use super::{client::Client, deliver::unknown, world::Home};
use crate::{
    QueueKeys,
    kinds::HELD,
    record::{HeldRecord, Reason},
};

#[test]
fn what_was_put_off_is_applied_later_and_nothing_of_its_source_overtakes_it() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (newer, keys) = from_another_replica(&home, &mut client);

    let parts = ["one", "two"]
        .map(|text| home.remote("beta.test", text.len() as u8 + text.as_bytes()[0], &[&newer], text));
    assert_eq!(parts.clone().map(|part| home.deliver(part)), [[Later(60)], [Later(60)]]);
    home.turn_to(keys);

    // Now the key is known, but the first goes first; other configs and other sources do not wait.
    let [one, two] = parts;
    assert_eq!(home.deliver(two.clone()), [Later(60)]);
    assert_eq!(home.deliver(home.remote("beta.test", 3, &[&newer], "three")), [Later(60)]);
    assert_eq!(home.deliver(home.remote("gamma.test", 4, &[&newer], "other source")), [Delivered]);
    assert_eq!(home.deliver(one), [Delivered]);
    assert_eq!(home.deliver(home.remote("beta.test", 3, &[&newer], "three")), [Later(60)]);
    assert_eq!(home.deliver(two), [Delivered]);
    assert_eq!(home.deliver(home.remote("beta.test", 3, &[&newer], "three")), [Delivered]);

    assert_eq!(client.read_texts(&home), ["other source", "one", "two", "three"]);
    assert_eq!(home.partitions(HELD).len(), 0);
}

#[test]
fn what_was_put_off_for_ever_holds_up_others_for_eight_days_however_often_they_come() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (newer, keys) = from_another_replica(&home, &mut client);
    let second = home.remote("beta.test", 2, &[&newer], "second");
    assert_eq!(home.deliver(home.remote("beta.test", 1, &[&newer], "never again")), [Later(60)]);
    home.turn_to(keys);

    for _ in 0..4 {
        assert_eq!(home.deliver(second.clone()), [Later(60)]);
        home.clock.advance_s(2 * DAY);
        home.ring_alarms();
    }

    assert_eq!(home.deliver(second), [Delivered]);
    assert_eq!(client.read_texts(&home), ["second"]);
}

#[test]
fn what_nobody_comes_for_any_more_is_forgotten() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, None);
    assert_eq!(home.deliver(unknown(home.remote("beta.test", 1, &[&config], "never"))), [Later(60)]);
    assert_eq!(home.partitions(HELD).len(), 1);

    home.clock.advance_s(10 * DAY);
    home.ring_alarms();

    assert_eq!(home.partitions(HELD).len(), 0);
}

#[test]
fn more_than_are_remembered_wait_until_all_that_are_have_been_applied() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (newer, keys) = from_another_replica(&home, &mut client);
    let all: Vec<DeliverRequest> =
        (0..70).map(|number| home.remote("beta.test", number, &[&newer], &number.to_string())).collect();
    for delivery in &all {
        assert_eq!(home.deliver(delivery.clone()), [Later(60)]);
    }
    home.turn_to(keys);

    assert_eq!(home.deliver(all[0].clone()), [Delivered]);
    assert_eq!(home.deliver(all[69].clone()), [Later(60)]);
    for delivery in &all[1..] {
        assert_eq!(home.deliver(delivery.clone()), [Delivered]);
    }

    let expected: Vec<String> = (0..70).map(|number| number.to_string()).collect();
    assert_eq!(client.read_texts(&home), expected);
}

#[test]
fn configs_with_invented_keys_crowd_out_nobody_and_are_never_said_to_be_gone() {
    let home = Home::limited(Limits { config: Some(Rate::new(1, 1)), ..Limits::unlimited() });
    let mut client = Client::at(&home, 1);
    let honest = client.config(&home, None);
    let configs = invented(&honest, 1_100);
    for (number, some) in (0..).zip(configs.chunks(50)) {
        let to: Vec<&ClientQueueConfig> = some.iter().collect();
        assert_eq!(home.deliver(home.remote("beta.test", number, &to, "junk")), [Later(60); 50]);
    }

    let [one, two, three] =
        [101, 102, 103].map(|part| home.remote("beta.test", part, &[&honest], &part.to_string()));
    assert_eq!(home.deliver(one), [Delivered]);
    assert_eq!(home.deliver(two.clone()), [Later(1)]);
    home.clock.advance_s(1);
    assert_eq!(home.deliver(three.clone()), [Later(60)], "it waits for the one before it");
    assert_eq!(home.deliver(two), [Delivered]);
    home.clock.advance_s(1);
    assert_eq!(home.deliver(three), [Delivered]);
    assert_eq!(client.read_texts(&home), ["101", "102", "103"]);
}

#[test]
fn those_who_have_much_put_off_make_room_for_those_who_have_little() {
    let id = |number: usize| [(number >> 8) as u8, number as u8].repeat(8).try_into().unwrap();
    let now = phoenix_core::Timestamp(1_760_000_000_000);
    let mut held = HeldRecord::default();
    let mut put_off = |config: usize, delivery: usize| {
        let (next, is_remembered) =
            std::mem::take(&mut held).with(id(config), id(delivery), Reason::Limit, now);
        held = next;
        is_remembered
    };
    for config in 0..16 {
        assert!((0..64).all(|delivery| put_off(config, delivery)), "{config}");
    }

    let others = (16..1_100).take_while(|config| put_off(*config, 0)).count();

    assert_eq!(others, 1_024 - 16);
    assert!(put_off(3, 70), "another of a config that is known");
    for config in 0..16 {
        assert!(!held.is_behind(&id(config), &id(0)), "the first of {config} goes first");
        assert!(held.is_behind(&id(config), &id(1)));
    }
    assert!(!held.has_room_for(1));
}

/// A config under a key that another replica has made, and the keys that know it, which this one has not seen yet.
fn from_another_replica(home: &Home, client: &mut Client) -> (ClientQueueConfig, QueueKeys) {
    let before = home.engine.ring();
    let keys = QueueKeys::generate(&home.domain, home.clock_now(), &mut Chance::from_seed([9; 32]));
    home.turn_to(QueueKeys::decode(&keys.encode()).unwrap());
    let newer = client.config(home, None);
    home.turn_to(QueueKeys::decode(&before.service.encode()).unwrap());
    (newer, keys)
}

/// Configs under keys that nobody has.
fn invented(like: &ClientQueueConfig, count: u128) -> Vec<ClientQueueConfig> {
    let invent = |number: u128| {
        let mut config = like.clone();
        config.sealed.key = KeyId(number.to_be_bytes());
        config
    };
    (0..count).map(invent).collect()
}
