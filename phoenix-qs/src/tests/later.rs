//! What a mailbox's destination puts off, leaves unanswered or never takes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::executor::block_on;
use phoenix_core::{
    Failure, KeyId, Reject,
    api::{
        delivery::{Undeliverable, UndeliveredRequest},
        federation::{DeliveryResult, QsToQsReceipt, RecipientResult},
        queue::ClientQueueConfig,
    },
    engine::{Courier, LaneRow, Lanes},
    operation::Fare,
    port::Clock as _,
    time::{DAY, HOUR, MINUTE},
    wire::{List, Wire},
};

use super::{
    federation::forward,
    mailboxes::{receipt, town},
    world::Home,
};
use crate::{
    kinds::MAILBOX,
    op::{
        dispatch::{Dispatch, DispatchReply, DispatchRequest, Dispatched, GivenUp},
        settle::{Outcome, Settle, SettleRequest},
    },
};

#[test]
fn six_hundred_messages_that_were_put_off_hold_up_no_other() {
    let (alpha, beta, mut client, config) = town();
    for number in 0..600 {
        forward(&alpha, &beta, &[&junk(&config)], &format!("junk {number}"));
    }
    forward(&alpha, &beta, &[&config], "good");

    alpha.send_all(&beta);
    assert_eq!(client.read_texts(&beta), ["good"]);

    alpha.clock.advance_s(61);
    forward(&alpha, &beta, &[&config], "still good");
    let transactions = alpha.send_all(&beta);
    assert!(transactions >= 3, "what was put off was sent again");
    assert_eq!(client.read_texts(&beta), ["still good"]);
}

#[test]
fn what_comes_after_an_idle_look_at_the_mailbox_is_sent_at_once() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&junk(&config)], "put off");
    let mailbox = alpha.due_mailboxes()[0];
    alpha.send_all(&beta);
    assert_eq!(alpha.dispatch(mailbox), Ok(None));

    forward(&alpha, &beta, &[&config], "fresh");

    assert_eq!(alpha.send_all(&beta), 1);
    assert_eq!(client.read_texts(&beta), ["fresh"]);
}

#[test]
fn what_comes_while_a_mailbox_rests_does_not_lose_the_alarm() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&config], "one");
    let mailbox = alpha.due_mailboxes()[0];
    let sent = alpha.dispatch(mailbox).unwrap().unwrap();
    alpha.settle(mailbox, &sent, Outcome::Failed(200));

    forward(&alpha, &beta, &[&config], "two");
    assert_eq!(alpha.send_all(&beta), 0, "it rests");
    alpha.clock.advance_s(200);

    assert_eq!(alpha.send_all(&beta), 1);
    assert_eq!(client.read_texts(&beta), ["one", "two"]);
}

#[test]
fn what_a_receipt_does_not_name_rests_and_is_given_up_in_the_end() {
    let (alpha, beta, _client, config) = town();
    forward(&alpha, &beta, &[&config], "never named");
    for number in 0..10 {
        forward(&alpha, &beta, &[&config], &format!("{number}"));
        let mailbox = alpha.due_mailboxes()[0];
        let sent = alpha.dispatch(mailbox).unwrap().unwrap();
        alpha.settle(mailbox, &sent, Outcome::Receipt(Box::new(without_first(&sent))));
        assert!(alpha.dispatch(mailbox).unwrap().is_none(), "it rests");
        alpha.clock.advance_s(301);
        alpha.resume_all();
    }

    alpha.clock.advance_s(7 * DAY);

    assert_eq!(alpha.send_all(&beta), 0);
    assert!(alpha.lanes() > 0, "the DS was told");
    assert_eq!(alpha.store.dump().len(), alpha.lanes(), "nothing is left");
}

#[test]
fn a_receipt_that_names_nothing_that_was_sent_is_none() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&config], "patience");
    let before = alpha.clock_now();
    for _ in 0..20 {
        let mailbox = alpha.due_mailboxes()[0];
        let sent = alpha.dispatch(mailbox).unwrap().unwrap();
        let receipt =
            QsToQsReceipt { results: List::default(), ..receipt(&sent, RecipientResult::Delivered) };
        alpha.settle(mailbox, &sent, Outcome::Receipt(Box::new(receipt)));
        while alpha.due_mailboxes().is_empty() {
            alpha.clock.advance_s(1);
        }
    }

    assert!(alpha.clock_now().millis_since(before) > 300_000, "it was tried less and less");
    alpha.send_all(&beta);
    assert_eq!(client.read_texts(&beta), ["patience"]);
}

#[test]
fn who_finds_no_keys_leaves_alone_what_another_sends() {
    let (alpha, beta, _client, config) = town();
    forward(&alpha, &beta, &[&config], "one");
    let mailbox = alpha.due_mailboxes()[0];
    alpha.dispatch(mailbox).unwrap().unwrap();

    let outcome = Outcome::Failed(0);
    alpha
        .internal::<Settle>(SettleRequest { mailbox, transaction: None, rows: List::default(), outcome })
        .unwrap();

    alpha.clock.advance_s(89);
    assert_eq!(alpha.dispatch(mailbox), Ok(None));
    alpha.clock.advance_s(2);
    assert!(alpha.dispatch(mailbox).unwrap().is_some());
}

#[test]
fn what_nobody_took_for_a_week_is_given_up_unsent_and_the_ds_is_told() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&config], "too late");
    alpha.clock.advance_s(7 * DAY);
    forward(&alpha, &beta, &[&config], "young");

    let transactions = alpha.send_all(&beta);

    assert_eq!(transactions, 1);
    assert_eq!(alpha.lanes(), 1);
    assert_eq!(client.read_texts(&beta), ["young"]);
}

#[test]
fn what_is_too_old_is_given_up_though_its_destinations_keys_cannot_be_had() {
    let (alpha, beta) = Home::pair();
    let config = super::client::Client::at(&beta, 1).config(&beta, None);
    beta.vanish();
    forward(&alpha, &beta, &[&config], "too late");
    let mailbox = alpha.due_mailboxes()[0];
    alpha.clock.advance_s(7 * DAY);

    let reply = alpha.internal::<Dispatch>(DispatchRequest { mailbox }).unwrap();

    let given_up = GivenUp { destination: beta.domain.clone(), messages: 1 };
    assert_eq!(reply, DispatchReply { given_up: Some(given_up), ..DispatchReply::default() });
    assert_eq!(alpha.lane_rows(), 1);
    assert_eq!(alpha.dispatch(mailbox), Ok(None));
    assert_eq!(alpha.partitions(MAILBOX).len(), 0);
    assert_eq!(told(&alpha), [(Undeliverable::GivenUp, vec![config.sealed.digest()])]);
}

#[test]
fn the_ds_is_told_that_a_queue_is_gone_only_where_its_qs_has_said_so() {
    let (alpha, beta, _client, config) = town();
    for (result, cause) in [
        (RecipientResult::Gone, Undeliverable::Gone),
        // To the end of the week in which it is tried.
        (RecipientResult::Later(60), Undeliverable::GivenUp),
    ] {
        forward(&alpha, &beta, &[&config], "to nowhere");
        let mailbox = alpha.due_mailboxes()[0];
        let sent = alpha.dispatch(mailbox).unwrap().unwrap();
        if cause == Undeliverable::GivenUp {
            alpha.clock.advance_s(7 * DAY);
        }
        let outcome = Outcome::Receipt(Box::new(receipt(&sent, result)));
        let (transaction, rows) = (Some(sent.transaction.payload.transaction), sent.rows);
        let request = SettleRequest { mailbox, transaction, rows, outcome };
        let reply = alpha.internal::<Settle>(request).unwrap();

        assert_eq!(reply.given_up, u16::from(cause == Undeliverable::GivenUp));
        // It hears of it later, and when that was.
        let seen_at = alpha.clock.now().as_secs();
        alpha.clock.advance_s(HOUR);
        let UndeliveredRequest { back: _, cause: why, seen_at: told_at, queues } = heard(&alpha).remove(0);
        assert_eq!((why, queues.into_vec()), (cause, vec![config.sealed.digest()]));
        assert_eq!(told_at, seen_at - seen_at % MINUTE);
    }
}

/// What the DS is told of queues, and why.
pub(super) fn told(home: &Home) -> Vec<(Undeliverable, Vec<[u8; 32]>)> {
    heard(home).into_iter().map(|it| (it.cause, it.queues.into_vec())).collect()
}

fn heard(home: &Home) -> Vec<UndeliveredRequest> {
    let told = Arc::new(Told::default());
    block_on(Lanes::new(home.engine.shared().clone(), told.clone()).flush_all());
    std::mem::take(&mut *told.0.lock().unwrap())
}

#[derive(Default)]
struct Told(Mutex<Vec<UndeliveredRequest>>);

#[async_trait]
impl Courier for Told {
    async fn carry(&self, row: LaneRow, _: Fare) -> Result<(), Failure> {
        self.0.lock().unwrap().push(UndeliveredRequest::decode(&row.body).unwrap());
        // Removes the row from its lane.
        Err(Reject::Forbidden.into())
    }
}

/// A config under a key that nobody has.
fn junk(like: &ClientQueueConfig) -> ClientQueueConfig {
    let mut config = like.clone();
    config.sealed.key = KeyId([9; 16]);
    config
}

/// A receipt that says nothing of the first delivery, and of the others that they were taken.
fn without_first(sent: &Dispatched) -> QsToQsReceipt {
    let receipt = receipt(sent, RecipientResult::Delivered);
    let rest: Vec<DeliveryResult> = receipt.results.iter().skip(1).cloned().collect();
    QsToQsReceipt { results: List::new(rest).unwrap(), ..receipt }
}
