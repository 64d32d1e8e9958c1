//! `forward`, `dispatch` and `settle`: what waits for another homeserver.

use phoenix_core::{
    Reject,
    api::{
        federation::{DeliveryResult, QsToQsReceipt, RecipientResult},
        queue::ClientQueueConfig,
    },
    time::DAY,
    wire::{List, Opaque},
};

use super::{client::Client, federation::forward, world::Home};
use crate::{
    kinds::{ASIDE, MAILBOX, ROUND},
    op::{
        dispatch::Dispatched,
        forward::{Forward, ForwardRequest},
        settle::{Outcome, Settle, SettleRequest},
    },
};

#[test]
fn messages_arrive_once_in_order_and_leave_nothing_behind() {
    let (alpha, beta, mut client, config) = town();
    for number in 0..20 {
        forward(&alpha, &beta, &[&config], &format!("{number}"));
    }

    let transactions = alpha.send_all(&beta);

    assert_eq!(transactions, 1);
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(client.read_texts(&beta), expected);
    assert_eq!(alpha.partitions(MAILBOX).len() + alpha.partitions(ROUND).len(), 0);
    assert_eq!(alpha.lanes(), 0);
}

#[test]
fn a_transaction_holds_at_most_256_deliveries_and_a_megabyte() {
    let (alpha, beta, _client, config) = town();
    for number in 0..300 {
        forward(&alpha, &beta, &[&config], &format!("{number}"));
    }
    let mailbox = alpha.due_mailboxes()[0];
    let first = alpha.dispatch(mailbox).unwrap().unwrap();
    assert_eq!(first.transaction.payload.deliveries.len(), 256);
    settled(&alpha, &beta, mailbox, &first);

    let large = "x".repeat(700 << 10);
    forward(&alpha, &beta, &[&config], &large);
    forward(&alpha, &beta, &[&config], &large);

    let second = alpha.dispatch(mailbox).unwrap().unwrap();
    assert_eq!(second.rows.len(), 45);
    settled(&alpha, &beta, mailbox, &second);
    let third = alpha.dispatch(mailbox).unwrap().unwrap();
    assert_eq!(third.rows.len(), 1);
}

#[test]
fn nobody_else_sends_a_mailbox_that_is_under_way_until_no_answer_can_come() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&config], "one");
    let mailbox = alpha.due_mailboxes()[0];
    let first = alpha.dispatch(mailbox).unwrap().unwrap();
    forward(&alpha, &beta, &[&config], "two");

    assert_eq!(alpha.dispatch(mailbox), Ok(None));
    assert_eq!(alpha.due_mailboxes(), Vec::<[u8; 32]>::new());
    alpha.clock.advance_s(100);
    let again = alpha.dispatch(mailbox).unwrap().unwrap();
    let receipt = beta.take(&first.transaction).unwrap();
    // The first answer comes late: what it says holds, but the other transaction keeps the lead.
    alpha.settle(mailbox, &first, Outcome::Receipt(Box::new(receipt)));
    assert_eq!(alpha.dispatch(mailbox), Ok(None));
    settled(&alpha, &beta, mailbox, &again);

    assert_eq!(client.read_texts(&beta), ["one", "two"]);
    assert_eq!(alpha.send_all(&beta), 0);
    assert_eq!(alpha.partitions(MAILBOX).len(), 0);
}

#[test]
fn a_dead_destination_is_tried_less_and_less_and_its_messages_wait() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&config], "patience");
    let mut pauses = Vec::new();
    for _ in 0..40 {
        let mailbox = alpha.due_mailboxes()[0];
        let dispatched = alpha.dispatch(mailbox).unwrap().unwrap();
        alpha.settle(mailbox, &dispatched, Outcome::Failed(0));
        let before = alpha.clock_now();
        while alpha.due_mailboxes().is_empty() {
            alpha.clock.advance_s(1);
        }
        pauses.push(alpha.clock_now().millis_since(before) / 1_000);
    }

    assert!(pauses[..3].iter().all(|pause| *pause <= 5), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 301));
    assert!(pauses.iter().any(|pause| *pause > 100));
    assert_eq!(alpha.send_all(&beta), 2, "it is asked, and then sent what waits");
    assert_eq!(client.read_texts(&beta), ["patience"]);
}

#[test]
fn recipients_that_are_gone_are_told_to_the_ds_once() {
    let (alpha, beta, mut client, config) = town();
    let gone = Client::unknown(9).config(&beta, Some("alpha.test"));
    forward(&alpha, &beta, &[&gone, &config], "hello");

    alpha.send_all(&beta);

    assert_eq!(alpha.lanes(), 1);
    assert_eq!(client.read_texts(&beta), ["hello"]);
}

#[test]
fn what_was_put_off_stays_and_what_is_behind_it_goes_on() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&config], "put off");
    forward(&alpha, &beta, &[&config], "taken");
    let mailbox = alpha.due_mailboxes()[0];
    let sent = alpha.dispatch(mailbox).unwrap().unwrap();
    let mut receipt = receipt(&sent, RecipientResult::Delivered);
    let first = DeliveryResult {
        id: sent.transaction.payload.deliveries[0].id,
        results: List::new(vec![RecipientResult::Later(60)]).unwrap(),
    };
    receipt.results = List::new(vec![first, receipt.results[1].clone()]).unwrap();

    alpha.settle(mailbox, &sent, Outcome::Receipt(Box::new(receipt)));
    forward(&alpha, &beta, &[&config], "behind");

    assert_eq!(alpha.send_all(&beta), 1);
    assert_eq!(client.read_texts(&beta), ["behind"]);
    alpha.clock.advance_s(61);
    assert_eq!(alpha.send_all(&beta), 1);
    assert_eq!(client.read_texts(&beta), ["put off"]);
    assert_eq!(alpha.partitions(MAILBOX).len(), 0);
}

#[test]
fn what_the_destination_refuses_as_bad_is_set_aside_and_blocks_nothing() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&config], "poison");
    let mailbox = alpha.due_mailboxes()[0];
    let sent = alpha.dispatch(mailbox).unwrap().unwrap();
    let mut receipt = receipt(&sent, RecipientResult::Delivered);
    let refused = DeliveryResult { id: sent.transaction.payload.deliveries[0].id, results: List::default() };
    receipt.results = List::new(vec![refused]).unwrap();

    alpha.settle(mailbox, &sent, Outcome::Receipt(Box::new(receipt)));
    forward(&alpha, &beta, &[&config], "good");
    alpha.send_all(&beta);

    assert_eq!(client.read_texts(&beta), ["good"]);
    assert_eq!(alpha.partitions(ASIDE).len(), 1);
    alpha.clock.advance_s(9 * DAY);
    alpha.ring_alarms();
    assert_eq!(alpha.partitions(ASIDE).len(), 0);
}

#[test]
fn messages_wait_sealed_until_the_destinations_keys_can_be_had() {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, Some("alpha.test"));
    beta.vanish();
    forward(&alpha, &beta, &[&config], "a very secret message");
    let mailbox = alpha.due_mailboxes()[0];

    assert!(matches!(alpha.dispatch(mailbox), Err(Reject::Unavailable(_))));
    let outcome = Outcome::Failed(0);
    let failed = SettleRequest { mailbox, transaction: None, rows: List::default(), outcome };
    alpha.internal::<Settle>(failed).unwrap();

    let dump = alpha.store.dump();
    let secret = b"very secret";
    let rows = dump.iter().flat_map(|(_, found)| &found.rows);
    assert!(rows.clone().count() > 0);
    assert!(!rows.clone().any(|(_, row)| row.windows(secret.len()).any(|it| it == secret)));
    beta.publish();
    alpha.clock.advance_s(60);
    assert_eq!(alpha.send_all(&beta), 1);
    assert_eq!(client.read_texts(&beta), ["a very secret message"]);
}

#[test]
fn a_repeated_attempt_sends_the_same_sealed_deliveries() {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, Some("alpha.test"));
    forward(&alpha, &beta, &[&config], "hello");
    let mailbox = alpha.due_mailboxes()[0];

    let first = alpha.dispatch(mailbox).unwrap().unwrap();
    alpha.settle(mailbox, &first, Outcome::Failed(0));
    alpha.clock.advance_s(60);
    let second = alpha.dispatch(mailbox).unwrap().unwrap();

    assert_eq!(first.transaction.payload.deliveries, second.transaction.payload.deliveries);
    assert_ne!(first.transaction.payload.transaction, second.transaction.payload.transaction);
}

#[test]
fn lanes_keep_to_their_mailbox_and_nothing_is_forwarded_to_oneself() {
    let (alpha, beta, _client, config) = town();
    let request = |to: &Home, lane| ForwardRequest {
        to: to.domain.clone(),
        lane: [lane; 32],
        back: Opaque::default(),
        message: alpha.message(&[&config], "hello"),
    };

    for lane in [0, 1, 2, 3, 4, 5, 4, 1] {
        alpha.internal::<Forward>(request(&beta, lane)).unwrap();
    }

    assert_eq!(alpha.partitions(MAILBOX).len(), 4);
    assert_eq!(alpha.internal::<Forward>(request(&alpha, 0)), Err(Reject::Malformed("to")));
}

/// Two homeservers, and a client of the second that the first's DS may send to; the first knows the second's keys.
pub(super) fn town() -> (Home, Home, Client, ClientQueueConfig) {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, Some("alpha.test"));
    forward(&alpha, &beta, &[&config], "first");
    alpha.send_all(&beta);
    client.read(&beta);
    (alpha, beta, client, config)
}

fn settled(alpha: &Home, beta: &Home, mailbox: [u8; 32], sent: &Dispatched) {
    let receipt = beta.take(&sent.transaction).unwrap();
    alpha.settle(mailbox, sent, Outcome::Receipt(Box::new(receipt)));
}

/// A receipt that says the same of everything.
pub(super) fn receipt(sent: &Dispatched, result: RecipientResult) -> QsToQsReceipt {
    let payload = &sent.transaction.payload;
    let of = |id| DeliveryResult { id, results: List::new(vec![result]).unwrap() };
    QsToQsReceipt {
        transaction: payload.transaction,
        results: List::new(payload.deliveries.iter().map(|it| of(it.id)).collect()).unwrap(),
        limits: phoenix_core::limit::Limits::default().advertised(),
    }
}
