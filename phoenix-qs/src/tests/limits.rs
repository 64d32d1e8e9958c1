//! `deliver`: how much other homeservers may deliver, and that nothing which is held back gets lost.

use phoenix_core::{
    Reject,
    api::{
        federation::RecipientResult::{Delivered, Gone, Later},
        queue::{ClientQueueConfig, DeliverRequest},
    },
    limit::{Limits, Rate},
};

use super::{client::Client, deliver::unknown, federation::forward, world::Home};
use crate::{
    kinds::{HELD, RECEIPT},
    op::deliver::Deliver,
};

#[test]
fn a_source_delivers_to_one_config_at_its_rate_and_comes_through_when_told_to() {
    let home = Home::limited(Limits { config: Some(Rate::new(1, 3)), ..Limits::unlimited() });
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, None);
    let parts: Vec<_> =
        (0..4).map(|part| home.remote("beta.test", part, &[&config], &part.to_string())).collect();

    let results: Vec<_> = parts.iter().map(|part| home.deliver(part.clone())[0]).collect();
    assert_eq!(results, [Delivered, Delivered, Delivered, Later(1)]);
    assert_eq!(home.deliver(parts[3].clone()), [Later(1)], "asking again does not help");
    home.clock.advance_s(1);

    assert_eq!(home.deliver(parts[3].clone()), [Delivered]);
    assert_eq!(client.read_texts(&home), ["0", "1", "2", "3"]);
    assert_eq!(home.partitions(HELD).len(), 0);
}

#[test]
fn one_config_over_its_limit_holds_back_no_other_config_of_its_source_and_no_other_source() {
    let limits = Limits {
        config: Some(Rate::new(1, 2)),
        queue_deliveries: Some(Rate::new(1, 100)),
        source_deliveries: Some(Rate::new(1, 100)),
        ..Limits::unlimited()
    };
    let home = Home::limited(limits);
    let (mut busy, mut other) = (Client::at(&home, 1), Client::at(&home, 2));
    let [noisy, quiet] = [0, 1].map(|_| busy.config(&home, None));
    let theirs = other.config(&home, None);

    let mut flood = Vec::new();
    for part in 0..150 {
        flood.extend(home.deliver(home.remote("beta.test", part, &[&noisy], "noise")));
    }

    assert_eq!(flood.iter().filter(|result| **result == Delivered).count(), 2);
    assert_eq!(
        home.deliver(home.remote("beta.test", 200, &[&noisy, &quiet, &theirs], "hello"))[1..],
        [Delivered; 2]
    );
    assert_eq!(home.deliver(home.remote("gamma.test", 201, &[&noisy], "from elsewhere")), [Delivered]);
    assert_eq!(busy.read_texts(&home), ["noise", "noise", "hello", "from elsewhere"]);
}

#[test]
fn a_queue_takes_so_many_deliveries_of_all_others_and_any_number_of_its_own_homeserver() {
    let home = Home::limited(Limits { queue_deliveries: Some(Rate::new(1, 4)), ..Limits::unlimited() });
    let (mut client, mut other) = (Client::at(&home, 1), Client::at(&home, 2));
    let (config, theirs) = (client.config(&home, None), other.config(&home, None));

    let from = |source, part| home.deliver(home.remote(source, part, &[&config, &theirs], "x"))[0];
    assert_eq!(["a.test", "b.test", "c.test", "d.test"].map(|source| from(source, 1)), [Delivered; 4]);

    assert_eq!(from("e.test", 1), Later(1));
    for _ in 0..50 {
        assert_eq!(home.deliver(home.local(&[&config], "local")), [Delivered]);
    }
    assert_eq!(client.read_texts(&home).len(), 54);
}

#[test]
fn a_queue_takes_so_many_bytes_of_all_others() {
    let home = Home::limited(Limits { queue_bytes: Some(Rate::new(100, 1_000)), ..Limits::unlimited() });
    let (mut client, mut other) = (Client::at(&home, 1), Client::at(&home, 2));
    let (config, theirs) = (client.config(&home, None), other.config(&home, None));
    let text = |bytes: usize| "x".repeat(bytes);

    assert_eq!(home.deliver(home.remote("a.test", 1, &[&config], &text(600))), [Delivered]);
    assert_eq!(
        home.deliver(home.remote("b.test", 1, &[&config, &theirs], &text(600))),
        [Later(2), Delivered]
    );
    assert_eq!(home.deliver(home.remote("c.test", 1, &[&config], &text(400))), [Delivered]);
    home.clock.advance_s(10);

    let larger_than_the_burst = home.remote("d.test", 1, &[&config], &text(5_000));
    assert_eq!(home.deliver(larger_than_the_burst), [Delivered], "it must come through some time");
}

#[test]
fn a_source_delivers_so_much_and_another_is_none_the_worse() {
    let limits = Limits {
        source_deliveries: Some(Rate::new(1, 5)),
        source_bytes: Some(Rate::new(100, 1_000)),
        ..Limits::unlimited()
    };
    let home = Home::limited(limits);
    let mut clients: Vec<_> = (0..6).map(|seed| Client::at(&home, seed)).collect();
    let configs: Vec<_> = clients.iter_mut().map(|client| client.config(&home, None)).collect();
    let all: Vec<_> = configs.iter().collect();

    let of_many = home.deliver(home.remote("beta.test", 1, &all, "each recipient counts"));
    let elsewhere = home.deliver(home.remote("gamma.test", 1, &all[..5], &"x".repeat(900)));
    home.clock.advance_s(5);
    let bytes = home.deliver(home.remote("gamma.test", 2, &all[..1], &"x".repeat(900)));

    assert_eq!(of_many, [Delivered, Delivered, Delivered, Delivered, Delivered, Later(1)]);
    assert_eq!(elsewhere, [Delivered; 5], "their content was sent once");
    assert_eq!(bytes, [Later(3)]);
}

#[test]
fn a_config_and_a_source_leave_room_in_a_queue_for_others() {
    let limits = Limits {
        config_bytes: Some(Rate::new(100, 1_000)),
        source_queue_bytes: Some(Rate::new(100, 2_000)),
        source_queue_deliveries: Some(Rate::new(1, 3)),
        ..Limits::unlimited()
    };
    let home = Home::limited(limits);
    let mut client = Client::at(&home, 1);
    let [noisy, quiet, other] = [0; 3].map(|_| client.config(&home, None));
    let (kilobyte, from) = ("x".repeat(1_000), |source, part, to, text: &str| {
        home.deliver(home.remote(source, part, &[to], text))[0]
    });

    assert_eq!(from("beta.test", 1, &noisy, &kilobyte), Delivered);
    assert_eq!(from("beta.test", 2, &noisy, "x"), Later(1), "the config's bytes");
    assert_eq!(from("beta.test", 3, &quiet, &kilobyte), Delivered);
    assert_eq!(from("beta.test", 4, &other, "x"), Later(1), "the source's bytes");
    assert_eq!(from("gamma.test", 1, &noisy, &kilobyte), Delivered);
    home.clock.advance_s(10);
    let sent = [10, 11, 12, 13].map(|part| from("delta.test", part, &quiet, "x"));
    assert_eq!(sent, [Delivered, Delivered, Delivered, Later(1)], "the source's deliveries");
}

#[test]
fn a_content_counts_once_for_all_recipients_in_however_many_parts_they_go() {
    let limits = Limits { source_bytes: Some(Rate::new(1, 1_000)), ..Limits::unlimited() };
    let (alpha, beta) = Home::limited_pair(limits);
    let configs: Vec<_> = (0..=250).map(|seed| Client::at(&beta, seed).config(&beta, None)).collect();
    let to: Vec<_> = configs.iter().collect();
    forward(&alpha, &beta, &to, &"x".repeat(750));
    let sent = alpha.dispatch(alpha.due_mailboxes()[0]).unwrap().unwrap();

    let receipt = beta.take(&sent.transaction).unwrap();

    assert_eq!(receipt.results[0].results.to_vec(), [Delivered; 251]);
}

#[test]
fn what_leads_nowhere_counts_for_its_source_and_what_was_said_before_for_nothing() {
    let home = Home::limited(Limits { source_deliveries: Some(Rate::new(1, 5)), ..Limits::unlimited() });
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, None);
    let gone = Client::unknown(2).config(&home, None);
    let once = home.remote("beta.test", 50, &[&config], "once");
    for _ in 0..20 {
        assert_eq!(home.deliver(once.clone()), [Delivered]);
    }

    for part in [1, 2] {
        assert_eq!(home.deliver(home.remote("beta.test", part, &[&gone], "x")), [Gone]);
        assert_eq!(home.deliver(unknown(home.remote("beta.test", 100 + part, &[&gone], "x"))), [Later(60)]);
    }

    for part in 3..10 {
        assert_eq!(home.deliver(home.remote("beta.test", part, &[&gone], "x")), [Later(1)]);
    }
    assert_eq!(home.deliver(home.remote("beta.test", 51, &[&config], "no more")), [Later(1)]);
    assert_eq!(home.partitions(RECEIPT).len(), 3, "what was put off leaves no receipt");
    home.clock.advance_s(1);
    assert_eq!(home.deliver(home.remote("beta.test", 3, &[&gone], "x")), [Gone]);
}

#[test]
fn what_is_held_back_arrives_in_order_and_once() {
    let limits = Limits {
        config: Some(Rate::new(2, 5)),
        source_deliveries: Some(Rate::new(3, 8)),
        ..Limits::unlimited()
    };
    let (alpha, beta) = Home::limited_pair(limits);
    let (mut one, mut two) = (Client::at(&beta, 1), Client::at(&beta, 2));
    let (to_one, to_two) = (one.config(&beta, None), two.config(&beta, None));
    let texts: Vec<_> = (0..40).map(|number| format!("{number:02}")).collect();
    for text in &texts {
        forward(&alpha, &beta, &[&to_one, &to_two], text);
    }

    let (mut of_one, mut of_two, mut elapsed_s) = (Vec::new(), Vec::new(), 0);
    while of_one.len() < 40 || of_two.len() < 40 {
        alpha.send_all(&beta);
        of_one.extend(one.read_texts(&beta));
        of_two.extend(two.read_texts(&beta));
        beta.clock.advance_s(1);
        elapsed_s += 1;
        assert!(elapsed_s < 3_600, "{} and {}", of_one.len(), of_two.len());
    }

    assert_eq!((of_one, of_two), (texts.clone(), texts));
    assert!(elapsed_s >= (80 - 8) / 3, "not faster than it may: {elapsed_s} s");
    assert_eq!(alpha.lanes(), 0, "nothing was given up");
    assert_eq!(beta.partitions(HELD).len(), 0);
}

#[test]
fn where_no_more_can_be_remembered_the_source_keeps_a_part_that_counts_for_nothing() {
    let home = Home::limited(Limits { queue_deliveries: Some(Rate::new(1, 1)), ..Limits::unlimited() });
    let mut busy = Client::at(&home, 1);
    let (mut one, mut two) = (Client::at(&home, 2), Client::at(&home, 3));
    let (to_one, to_two) = (one.config(&home, None), two.config(&home, None));
    let configs: Vec<_> = (0..1_025).map(|_| busy.config(&home, None)).collect();
    let mut results = Vec::new();
    for (part, some) in (0..).zip(configs.chunks(60)) {
        let to: Vec<&ClientQueueConfig> = some.iter().collect();
        results.extend(home.deliver(home.remote("beta.test", part, &to, "flood")));
    }
    assert_eq!((results[0], &results[1..]), (Delivered, [Later(1); 1_024].as_slice()));
    let [first, second]: [DeliverRequest; 2] =
        [[&to_one].as_slice(), &[&to_one, &to_two]].map(|to| home.remote("beta.test", 200, to, "text"));
    assert_eq!(home.deliver(first), [Delivered], "what need not be put off comes through");
    let second = DeliverRequest { receipt: Some([201; 16]), ..second };
    let before = home.store.dump();

    for _ in 0..5 {
        assert_eq!(home.internal::<Deliver>(second.clone()).unwrap_err(), Reject::RateLimited(1));
    }

    assert_eq!(home.store.dump(), before);
    let to_the_other = home.remote("gamma.test", 1, &[&to_two], "theirs");
    assert_eq!(home.deliver(to_the_other), [Delivered], "nothing of the part counted");
    home.clock.advance_s(1);
    assert_eq!(home.deliver(second), [Delivered; 2]);
    assert_eq!(one.read_texts(&home), ["text", "text"]);
}

#[test]
fn what_is_in_force_is_what_a_receipt_tells() {
    let limits = Limits { source_deliveries: Some(Rate::new(7, 9)), source_bytes: None, ..Limits::default() };
    let (alpha, beta) = Home::limited_pair(limits);
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, None);
    forward(&alpha, &beta, &[&config], "hello");
    let sent = alpha.dispatch(alpha.due_mailboxes()[0]).unwrap().unwrap();

    let told = beta.take(&sent.transaction).unwrap().limits;

    assert_eq!((told.deliveries_per_s, told.bytes_per_s), (7, u32::MAX));
}
