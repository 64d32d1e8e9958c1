//! `deliver`: who gets a message, and what is said of who does not.

use phoenix_core::{
    KeyId, Reject, Timestamp,
    api::{
        federation::RecipientResult::{self, Delivered, Gone, Later},
        queue::{ClientQueueConfig, DeliverRequest, DequeueRequest, Recipient},
    },
    crypto::SigningKey,
    queue::QueuePolicy,
    time::{DAY, Month},
    wire::{Flag, List, Opaque, Wire},
};

use super::{client::Client, world::Home};
use crate::{
    QueueSettings,
    config_cache::OPENED,
    kinds::{CLIENT, RECEIPT},
    op::deliver::Deliver,
};

#[test]
fn a_message_reaches_every_queue_that_it_is_for_and_names_the_config_it_came_through() {
    let home = Home::alone();
    let (mut a, mut b) = (Client::at(&home, 1), Client::at(&home, 2));
    let (to_a, to_b) = (a.config(&home, Some("alpha.test")), b.config(&home, Some("alpha.test")));

    let results = home.deliver(home.local(&[&to_a, &to_b], "hello"));

    assert_eq!(results, [Delivered, Delivered]);
    let (read_a, read_b) = (a.read(&home), b.read(&home));
    assert_eq!(read_a[0].content.as_slice(), b"hello");
    assert_ne!(read_a[0].config, read_b[0].config);
    assert_eq!(read_a[0].accepted_at, home.clock_now().as_secs());
}

#[test]
fn a_config_is_opened_with_its_first_message_and_with_no_other() {
    let home = Home::alone();
    let mut clients = [1, 2, 3].map(|seed| Client::at(&home, seed));
    let configs = clients.each_mut().map(|client| client.config(&home, Some("alpha.test")));
    let to: Vec<_> = configs.iter().collect();
    OPENED.set(0);

    home.deliver(home.local(&to, "first"));
    let opened_first = OPENED.get();
    home.deliver(home.local(&to, "second"));

    assert_eq!((opened_first, OPENED.get()), (3, 3));
    assert_eq!(clients[0].read_texts(&home), ["first", "second"]);
}

#[test]
fn a_queue_may_be_meant_by_several_configs_and_by_each_once() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (one, two) = (client.config(&home, Some("alpha.test")), client.config(&home, None));

    let results = home.deliver(home.local(&[&one, &two, &one], "again"));

    assert_eq!(results, [Delivered; 3]);
    assert_eq!(client.read_texts(&home), ["again"; 2]);
}

#[test]
fn two_hundred_and_fifty_queues_are_reached_in_one_batch_and_more_are_refused() {
    let home = Home::alone();
    let configs: Vec<ClientQueueConfig> =
        (0..=250).map(|seed| Client::at(&home, seed).config(&home, None)).collect();
    let to: Vec<&ClientQueueConfig> = configs.iter().collect();

    assert_eq!(home.deliver(home.remote("beta.test", 1, &to[..250], "hello")), [Delivered; 250]);
    assert_eq!(home.internal::<Deliver>(home.local(&to, "hello")), Err(Reject::TooLarge("recipients")));
}

#[test]
fn configs_that_lead_nowhere_are_gone_and_the_ds_is_told() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let good = client.config(&home, Some("alpha.test"));
    let mut stranger = Client::unknown(2);
    let wrong_audience = client.config(&home, Some("gamma.test"));
    let no_record = stranger.config(&home, Some("alpha.test"));
    let mut tbs = client.config_tbs(Some("alpha.test"));
    tbs.expires = Month::of(Timestamp(0));
    let expired = client.sealed(&home, tbs);
    let key = client.key.clone();
    client.key = SigningKey::generate(key.suite(), &mut client.chance);
    let forged = client.config(&home, Some("alpha.test"));
    client.key = key;
    let mut torn = client.config(&home, Some("alpha.test"));
    torn.sealed.sealed.ciphertext = Opaque::new(vec![7; 100]).unwrap();
    let mut lying = client.config(&home, Some("alpha.test"));
    lying.any = Flag::Yes;
    let mut unknown_key = client.config(&home, Some("alpha.test"));
    unknown_key.sealed.key = KeyId([9; 16]);
    let all = [&good, &wrong_audience, &no_record, &expired, &forged, &torn, &lying, &unknown_key];

    let results = home.deliver(home.local(&all, "hello"));

    assert_eq!(results[0], Delivered);
    assert_eq!(results[1..], [Gone; 7]);
    assert_eq!(home.lanes(), 1, "one message to the DS");
    assert_eq!(client.read_texts(&home), ["hello"]);
}

#[test]
fn nobody_is_told_where_nobody_gave_an_address() {
    let home = Home::alone();
    let gone = Client::unknown(1).config(&home, Some("beta.test"));

    assert_eq!(home.deliver(home.remote("beta.test", 1, &[&gone], "hello")), [Gone]);

    assert_eq!(home.lanes(), 0);
}

#[test]
fn a_config_for_one_domain_is_no_good_for_another() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let for_beta = client.config(&home, Some("beta.test"));
    let for_any = client.config(&home, None);

    let from_beta = home.deliver(home.remote("beta.test", 1, &[&for_beta, &for_any], "b"));
    let from_gamma = home.deliver(home.remote("gamma.test", 2, &[&for_beta, &for_any], "c"));

    assert_eq!(from_beta, [Delivered, Delivered]);
    assert_eq!(from_gamma, [Gone, Delivered]);
    assert_eq!(client.read_texts(&home), ["b", "b", "c"]);
}

#[test]
fn a_repeated_part_changes_nothing_and_repeats_its_results() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (config, gone) = (client.config(&home, None), Client::unknown(2).config(&home, None));
    let part = home.remote("beta.test", 1, &[&config, &gone], "once");

    let first = home.deliver(part.clone());
    let dump = home.store.dump();
    let second = home.deliver(part.clone());

    assert_eq!(first, [Delivered, Gone]);
    assert_eq!(second, first);
    assert_eq!(home.store.dump(), dump, "nothing was written");
    assert_eq!(client.read_texts(&home), ["once"]);
    let other_source = home.deliver(home.remote("gamma.test", 1, &[&config, &gone], "other"));
    assert_eq!(other_source, first);
    assert_eq!(client.read_texts(&home), ["other"]);
    home.clock.advance_s(12 * DAY);
    home.ring_alarms();
    assert_eq!(home.partitions(RECEIPT).len(), 0);
}

#[test]
fn a_large_message_goes_in_parts_and_what_is_gone_is_told_once() {
    let home = Home::alone();
    let gone = Client::unknown(200).config(&home, None);
    let configs: Vec<_> = (0..20).map(|seed| Client::at(&home, seed).config(&home, None)).collect();
    let to: Vec<_> = configs.iter().chain([&gone]).collect();
    let large = home.local(&to, &"x".repeat(400 << 10));

    assert_eq!(home.internal::<Deliver>(large.clone()), Err(Reject::TooLarge("recipients")));
    let parts = large.message.clone().into_parts();
    assert_eq!(parts.len(), 2);
    for _ in 0..2 {
        for (part, message) in (0..).zip(parts.clone()) {
            home.deliver(DeliverRequest { message, receipt: Some([part; 16]), ..large.clone() });
        }
    }

    assert_eq!(home.lane_rows(), 1, "the DS was told once");
    let entries = home.partitions(CLIENT).iter().map(|(_, found)| found.rows.len() - 3).sum::<usize>();
    assert_eq!(entries, 20);
}

#[test]
fn a_known_part_with_other_recipients_is_refused() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, None);
    home.deliver(home.remote("beta.test", 1, &[&config], "once"));

    let outcome = home.internal::<Deliver>(home.remote("beta.test", 1, &[&config, &config], "twice"));

    assert_eq!(outcome, Err(Reject::Malformed("delivery")));
}

#[test]
fn a_full_queue_drops_what_comes_and_tells_the_gap() {
    let queue = QueuePolicy { max_entries: 3, ..QueuePolicy::QS };
    let settings = QueueSettings { queue, ..QueueSettings::default() };
    let home = Home::at("alpha.test", &std::sync::Arc::default(), &std::sync::Arc::default(), settings);
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, None);

    for text in ["one", "two", "three", "four"] {
        assert_eq!(home.deliver(home.local(&[&config], text)), [Delivered]);
    }

    let reply = client.dequeue(&home, &DequeueRequest { from: 0, max: 10, ack_below: 0, wait_s: 0 }).unwrap();
    assert_eq!(reply.entries.len(), 3);
    assert_eq!(reply.gap_before, Some(5));
}

#[test]
fn an_ephemeral_message_is_stored_nowhere() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    let before = home.store.dump();
    let mut request = home.local(&[&config], "typing");
    request.message.ephemeral = Flag::Yes;

    assert_eq!(home.deliver(request), [Delivered]);

    assert_eq!(home.store.dump(), before);
}

#[test]
fn the_store_holds_neither_message_nor_config() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, None);
    home.deliver(home.remote("beta.test", 1, &[&config], "a very secret message"));

    let rows: Vec<Vec<u8>> =
        home.store.dump().iter().flat_map(|(_, it)| it.rows.iter().map(|(_, row)| row.to_vec())).collect();

    assert_eq!(home.partitions(CLIENT).len(), 1);
    let config = config.sealed.encode();
    for secret in [b"a very secret".as_slice(), &config[20..60], b"beta.test"] {
        assert!(!rows.iter().any(|row| row.windows(secret.len()).any(|it| it == secret)));
    }
}

/// The request, with configs under a key that nobody knows.
pub(super) fn unknown(mut request: DeliverRequest) -> DeliverRequest {
    let rename = |recipient: &Recipient| {
        let mut recipient = recipient.clone();
        recipient.config.key = KeyId([9; 16]);
        recipient
    };
    let recipients = request.message.recipients.iter().map(rename).collect();
    request.message.recipients = List::new(recipients).unwrap();
    request
}

#[test]
fn results_tell_apart_what_is_for_ever_and_what_is_not() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, None);

    let remote: Vec<RecipientResult> = home.deliver(unknown(home.remote("beta.test", 1, &[&config], "x")));
    let local = home.deliver(unknown(home.local(&[&config], "x")));

    assert_eq!(remote, [Later(60)]);
    assert_eq!(local, [Gone], "what this homeserver sends waits for no key");
}
