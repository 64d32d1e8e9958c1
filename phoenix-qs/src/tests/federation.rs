//! `federated_enqueue`: what another homeserver may send.

use futures::FutureExt;
use phoenix_core::{
    ErrorCode, KeyId, Reject,
    api::{
        federation::{
            QsToQsTransaction,
            RecipientResult::{Delivered, Gone},
            SealedDelivery, TransactionTbs,
        },
        queue::ClientQueueConfig,
    },
    crypto::{Chance, SigningKey, Suite},
    time::{DAY, HOUR, MINUTE},
    wire::{List, Opaque, Wire},
};

use super::{client::Client, world::Home};
use crate::{
    kinds::{RECEIPT, keys_topic},
    op::{
        dispatch::Dispatched,
        forward::{Forward, ForwardRequest},
        greet::Greet,
        settle::Outcome,
    },
};

#[test]
fn a_transaction_delivers_and_its_repeat_changes_nothing() {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let gone = Client::unknown(2).config(&beta, Some("alpha.test"));
    let config = client.config(&beta, Some("alpha.test"));
    let sent = sent(&alpha, &beta, &[&config, &gone], "hello");

    let receipt = beta.take(&sent.transaction).unwrap();
    let dump = beta.store.dump();
    let repeated = beta.take(&sent.transaction).unwrap();

    assert_eq!(receipt.results[0].results.to_vec(), [Delivered, Gone]);
    assert_eq!(receipt.transaction, sent.transaction.payload.transaction);
    assert_eq!(repeated, receipt);
    assert_eq!(beta.store.dump(), dump);
    assert_eq!(client.read_texts(&beta), ["hello"]);
}

#[test]
fn many_recipients_are_reached_part_by_part() {
    let (alpha, beta) = Home::pair();
    let configs: Vec<_> = (0..=250).map(|seed| Client::at(&beta, seed).config(&beta, None)).collect();
    let to: Vec<_> = configs.iter().collect();
    let sent = sent(&alpha, &beta, &to, "to all");

    let receipt = beta.take(&sent.transaction).unwrap();

    assert_eq!(receipt.results[0].results.to_vec(), [Delivered; 251]);
    assert_eq!(beta.partitions(RECEIPT).len(), 2);
}

#[test]
fn a_config_that_stands_twice_in_a_delivery_gets_it_once_in_whatever_part() {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 255);
    let twice = client.config(&beta, None);
    let configs: Vec<_> = (0..250).map(|seed| Client::at(&beta, seed).config(&beta, None)).collect();
    let to: Vec<_> = [&twice, &twice].into_iter().chain(&configs).chain([&twice]).collect();
    let sent = sent(&alpha, &beta, &to, "once");

    let receipt = beta.take(&sent.transaction).unwrap();

    assert_eq!(receipt.results[0].results.to_vec(), [Delivered; 253]);
    assert_eq!(client.read_texts(&beta), ["once"]);
    assert_eq!(beta.take(&sent.transaction).unwrap(), receipt);
}

#[test]
fn where_the_store_fails_nothing_overtakes_and_the_repeat_delivers_each_once() {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, Some("alpha.test"));
    for text in ["one", "two"] {
        forward(&alpha, &beta, &[&config], text);
    }
    let sent = sent(&alpha, &beta, &[&config], "three");

    beta.fragile.fail_after(1);
    let broken = beta.take(&sent.transaction).unwrap_err();
    assert_eq!(broken.code, ErrorCode::Unavailable);
    assert_eq!(client.read_texts(&beta), ["one"]);
    let receipt = beta.take(&sent.transaction).unwrap();

    assert_eq!(receipt.results.len(), 3);
    assert_eq!(client.read_texts(&beta), ["two", "three"]);
}

#[test]
fn what_is_not_a_transaction_of_its_source_for_this_server_now_is_refused() {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, Some("alpha.test"));
    let good = sent(&alpha, &beta, &[&config], "hello").transaction;
    let before = beta.store.dump();
    let change = |change: fn(&mut TransactionTbs)| {
        let mut payload = good.payload.clone();
        change(&mut payload);
        let ring = alpha.engine.ring();
        let (_, key) = ring.service.signer(alpha.clock_now()).unwrap();
        let signature = key.sign("QsToQsTransaction", &payload.encode());
        QsToQsTransaction { payload, signature }
    };

    let cases = [
        (change(|it| it.version = 2), ErrorCode::UnsupportedVersion),
        (change(|it| it.destination = "gamma.test".parse().unwrap()), ErrorCode::Forbidden),
        (change(|it| it.source = "beta.test".parse().unwrap()), ErrorCode::Forbidden),
        (change(|it| it.source = "gamma.test".parse().unwrap()), ErrorCode::Unavailable),
        (change(|it| it.sent_at += HOUR + 1), ErrorCode::Unauthenticated),
        (change(|it| it.sent_at -= HOUR + 1), ErrorCode::Unauthenticated),
        (change(|it| it.key = KeyId([7; 16])), ErrorCode::Unauthenticated),
        (forged(&good), ErrorCode::Unauthenticated),
    ];
    for (number, (transaction, code)) in cases.iter().enumerate() {
        assert_eq!(beta.take(transaction).unwrap_err().code, *code, "case {number}");
    }

    assert_eq!(beta.store.dump(), before, "nothing was changed");
    assert!(beta.take(&good).is_ok());
}

#[test]
fn a_delivery_that_does_not_open_is_refused_as_bad_and_harms_no_other() {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, Some("alpha.test"));
    let good = sent(&alpha, &beta, &[&config], "hello").transaction;
    let delivery = good.payload.deliveries[0].clone();
    let mut torn = delivery.clone();
    torn.sealed.ciphertext = Opaque::new(vec![1; 64]).unwrap();
    // A delivery cannot be given another id either: its seal is bound to it.
    let renamed = SealedDelivery { id: [1; 16], ..delivery.clone() };
    let unknown_key = SealedDelivery { key: KeyId([3; 16]), ..delivery.clone() };
    beta.engine.ring().service.seen(beta.clock_now());

    let receipt = beta.take(&resigned(&alpha, &good, vec![torn, renamed, unknown_key, delivery])).unwrap();

    let results: Vec<usize> = receipt.results.iter().map(|it| it.results.len()).collect();
    assert_eq!(results, [0, 0, 0, 1]);
    assert_eq!(client.read_texts(&beta), ["hello"]);
}

#[test]
fn a_delivery_that_another_replica_can_open_comes_again_until_this_one_has_read_the_keys() {
    // given a key that another replica made, and that is published by now
    let (alpha, beta) = Home::pair();
    beta.clock.advance_s(340 * DAY);
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, Some("alpha.test"));
    let ring = beta.engine.ring();
    ring.service.seen(beta.clock_now());
    let newer = ring.service.rotated(beta.clock_now(), &mut Chance::from_seed([6; 32])).unwrap();
    beta.clock.advance_s(2 * MINUTE);
    beta.show(&newer.public(beta.clock_now()));
    let first = sent(&alpha, &beta, &[&config], "hello");
    let mut wanted = beta.engine.shared().ports().wake.subscribe(&keys_topic(&ring.at_rest));

    // when this one has not read it yet
    let refused = beta.take(&first.transaction).unwrap_err();

    // then the whole transaction is to come again, and the keys are asked for
    assert_eq!((refused.code, refused.retry_after_s), (ErrorCode::Unavailable, Some(1)));
    assert!(wanted.wakened().now_or_never().is_some());
    beta.turn_to(newer);
    assert_eq!(beta.take(&first.transaction).unwrap().results[0].results.to_vec(), [Delivered]);
    // and a key that nobody has is bad as soon as the keys have been read
    let nobodys = SealedDelivery { key: KeyId([3; 16]), ..first.transaction.payload.deliveries[0].clone() };
    let nobodys = resigned(&alpha, &first.transaction, vec![nobodys]);
    assert_eq!(beta.take(&nobodys).unwrap_err().code, ErrorCode::Unavailable);
    beta.engine.ring().service.seen(beta.clock_now());
    assert!(beta.take(&nobodys).unwrap().results[0].results.is_empty());
}

#[test]
fn a_config_for_another_source_is_gone() {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, Some("gamma.test"));

    let receipt = beta.take(&sent(&alpha, &beta, &[&config], "hello").transaction).unwrap();

    assert_eq!(receipt.results[0].results.to_vec(), [Gone]);
}

#[test]
fn an_empty_transaction_lets_what_waits_for_its_source_be_sent_at_once() {
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let config = client.config(&beta, Some("alpha.test"));
    let mut mailbox = None;
    forward(&alpha, &beta, &[&config], "waiting");
    for _ in 0..9 {
        alpha.clock.advance_s(300);
        mailbox = alpha.due_mailboxes().first().copied();
        let dispatched = alpha.dispatch(mailbox.unwrap()).unwrap().unwrap();
        alpha.settle(mailbox.unwrap(), &dispatched, Outcome::Failed(200));
    }
    assert_eq!(alpha.due_mailboxes(), Vec::<[u8; 32]>::new());
    assert_eq!(alpha.dispatch(mailbox.unwrap()), Ok(None));

    let greeting = beta.internal::<Greet>(alpha.domain.clone()).unwrap();
    let receipt = alpha.take(&greeting).unwrap();

    assert_eq!(receipt.results.len(), 0);
    assert_eq!(alpha.send_all(&beta), 1);
    assert_eq!(client.read_texts(&beta), ["waiting"]);
}

#[test]
fn nobody_is_greeted_before_it_has_shown_its_keys() {
    let (alpha, beta) = Home::pair();
    let nowhere = "gamma.test".parse().unwrap();

    assert!(matches!(alpha.internal::<Greet>(nowhere), Err(Reject::Unavailable(_))));
    assert!(alpha.internal::<Greet>(beta.domain).is_ok());
}

/// Puts a message for clients of a homeserver into its mailbox.
pub(super) fn forward(from: &Home, to: &Home, recipients: &[&ClientQueueConfig], text: &str) {
    let back = Opaque::new(b"group".to_vec()).unwrap();
    let message = from.message(recipients, text);
    let request = ForwardRequest { to: to.domain.clone(), lane: [1; 32], back, message };
    from.internal::<Forward>(request).unwrap();
}

/// A transaction with one message.
pub(super) fn sent(from: &Home, to: &Home, recipients: &[&ClientQueueConfig], text: &str) -> Dispatched {
    forward(from, to, recipients, text);
    let mailbox = from.due_mailboxes()[0];
    from.dispatch(mailbox).unwrap().unwrap()
}

fn forged(good: &QsToQsTransaction) -> QsToQsTransaction {
    let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([5; 32]));
    let signature = key.sign("QsToQsTransaction", &good.payload.encode());
    QsToQsTransaction { payload: good.payload.clone(), signature }
}

/// The same source's transaction with other deliveries.
fn resigned(source: &Home, good: &QsToQsTransaction, deliveries: Vec<SealedDelivery>) -> QsToQsTransaction {
    let payload = TransactionTbs { deliveries: List::new(deliveries).unwrap(), ..good.payload.clone() };
    let ring = source.engine.ring();
    let (_, key) = ring.service.signer(source.clock_now()).unwrap();
    let signature = key.sign("QsToQsTransaction", &payload.encode());
    QsToQsTransaction { payload, signature }
}
