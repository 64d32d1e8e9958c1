//! `deliver`: what was put off, and what waits behind it.

use phoenix_core::{
    KeyId,
    api::{
        federation::RecipientResult::{Delivered, Gone, Later},
        queue::{ClientQueueConfig, DeliverRequest},
    },
    crypto::Chance,
    time::DAY,
};

use super::{client::Client, deliver::unknown, world::Home};
use crate::{QueueKeys, kinds::HELD};

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
fn one_source_fills_only_so_much_with_configs_that_nobody_knows() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let configs = invented(&client.config(&home, None), 1_100);
    let mut results = Vec::new();
    for (number, some) in (0..).zip(configs.chunks(50)) {
        let to: Vec<&ClientQueueConfig> = some.iter().collect();
        results.extend(home.deliver(home.remote("beta.test", number, &to, "junk")));
    }

    assert_eq!(results[..1_024], [Later(60); 1_024]);
    assert_eq!(results[1_024..], [Gone; 76]);
    let last = &configs[1_099];
    assert_eq!(home.deliver(home.remote("gamma.test", 100, &[last], "another source")), [Later(60)]);
    home.clock.advance_s(8 * DAY);
    assert_eq!(home.deliver(home.remote("beta.test", 101, &[last], "there is room again")), [Later(60)]);
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
