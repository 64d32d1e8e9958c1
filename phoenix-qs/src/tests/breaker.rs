//! A destination that does not answer, and the mailboxes that share the knowledge of it.

use phoenix_core::{
    api::queue::ClientQueueConfig,
    wire::{Flag, List, Opaque},
};

use super::{mailboxes::town, world::Home};
use crate::{
    kinds::ROUND,
    op::{
        dispatch::Dispatched,
        forward::{Forward, ForwardRequest},
        settle::{Outcome, Settle, SettleRequest},
    },
};

#[test]
fn a_homeserver_that_failed_five_times_is_asked_once_for_all_of_its_mailboxes() {
    let (alpha, beta, _client, config) = town();
    let mailboxes = four_waiting(&alpha, &beta, &config);
    for mailbox in mailboxes {
        assert_eq!(fail(&alpha, mailbox), Some(1), "four may fail at once");
    }
    alpha.clock.advance_s(1);

    let [one, two, ..] = mailboxes;
    assert_eq!(fail(&alpha, one), Some(1), "a fifth that tries finds the same");
    assert_eq!(alpha.dispatch(two), Ok(None), "nobody else does");

    let failed_at = alpha.clock_now();
    let mut asked = Vec::new();
    while alpha.clock_now().millis_since(failed_at) < 3_600_000 {
        alpha.clock.advance_s(1);
        for mailbox in alpha.due_mailboxes() {
            asked.extend(fail(&alpha, mailbox));
        }
    }
    assert!(asked.iter().all(|deliveries| *deliveries == 0), "it is asked with empty transactions");
    assert!((12..60).contains(&asked.len()), "{} times in an hour", asked.len());
}

#[test]
fn who_asks_whether_a_homeserver_is_there_asks_for_those_that_look_meanwhile() {
    let (alpha, beta, _client, config) = town();
    let mailboxes = left_alone(&alpha, &beta, &config);

    let (asking, sent) = ask(&alpha);

    for other in mailboxes.into_iter().filter(|it| *it != asking) {
        assert_eq!(alpha.dispatch(other), Ok(None));
    }
    assert_eq!(alpha.due_mailboxes(), Vec::<[u8; 32]>::new());
    alpha.settle(asking, &sent, Outcome::Failed(0));
    assert_eq!(mailboxes.map(|it| alpha.dispatch(it)), [const { Ok(None) }; 4]);
}

#[test]
fn once_it_answers_all_of_its_mailboxes_are_sent_at_once_and_in_order() {
    let (alpha, beta, mut client, config) = town();
    left_alone(&alpha, &beta, &config);
    forward(&alpha, &beta, &config, (0, "0 again"));
    let (asking, sent) = ask(&alpha);

    answered(&alpha, &beta, asking, &sent);

    assert_eq!(alpha.due_mailboxes().len(), 4);
    assert_eq!(alpha.send_all(&beta), 4);
    let texts = client.read_texts(&beta);
    assert_eq!(texts.len(), 5);
    assert!(texts.iter().position(|it| it == "0") < texts.iter().position(|it| it == "0 again"));
    assert_eq!(alpha.partitions(ROUND).len(), 0);
}

#[test]
fn one_that_answers_the_question_but_not_the_message_keeps_its_pause() {
    let (alpha, beta, _client, config) = town();
    forward(&alpha, &beta, &config, (0, "hangs"));
    let only = alpha.due_mailboxes()[0];
    for _ in 0..5 {
        assert_eq!(fail(&alpha, only), Some(1));
        alpha.clock.advance_s(300);
    }
    let mut pauses = Vec::new();
    for _ in 0..20 {
        while alpha.due_mailboxes().is_empty() {
            alpha.clock.advance_s(1);
        }
        let sent = alpha.dispatch(only).unwrap();
        match sent.filter(|it| it.rows.is_empty()) {
            Some(question) => answered(&alpha, &beta, only, &question),
            None => {
                let before = alpha.clock_now();
                alpha.clock.advance_s(91);
                fail(&alpha, only);
                while alpha.due_mailboxes().is_empty() {
                    alpha.clock.advance_s(1);
                }
                pauses.push(alpha.clock_now().millis_since(before) / 1_000);
            }
        }
    }

    assert!(pauses.iter().any(|pause| *pause > 191), "they grow over all questions: {pauses:?}");
}

#[test]
fn t07_what_concerns_one_message_cuts_nobody_off() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &config, (0, "poison"));
    let poisoned = alpha.due_mailboxes()[0];
    for outcome in [Outcome::Broke(Flag::No), Outcome::Refused] {
        for _ in 0..10 {
            forward(&alpha, &beta, &config, (0, "more poison"));
            let sent = alpha.dispatch(poisoned).unwrap().unwrap();
            alpha.settle(poisoned, &sent, outcome.clone());
            alpha.clock.advance_s(300);
        }

        forward(&alpha, &beta, &config, (1, "good"));

        let other = alpha.due_mailboxes().into_iter().find(|it| *it != poisoned).unwrap();
        let sent = alpha.dispatch(other).unwrap().unwrap();
        assert_eq!(sent.rows.len(), 1, "nobody asks first");
        answered(&alpha, &beta, other, &sent);
        assert_eq!(client.read_texts(&beta), ["good"]);
    }
}

#[test]
fn keys_that_cannot_be_had_count_like_any_other_silence() {
    let (alpha, beta, _client, config) = town();
    let [one, two, ..] = four_waiting(&alpha, &beta, &config);
    for _ in 0..5 {
        let (rows, outcome) = (List::default(), Outcome::Failed(0));
        let failed = SettleRequest { mailbox: one, transaction: None, rows, outcome };
        alpha.internal::<Settle>(failed).unwrap();
    }

    assert_eq!(alpha.dispatch(two), Ok(None));
}

/// The four mailboxes of a homeserver, with a message in each.
fn four_waiting(from: &Home, to: &Home, config: &ClientQueueConfig) -> [[u8; 32]; 4] {
    for (lane, text) in (0..).zip(["0", "1", "2", "3"]) {
        forward(from, to, config, (lane, text));
    }
    from.due_mailboxes().try_into().unwrap()
}

/// The same, of which each has failed, and one twice.
fn left_alone(from: &Home, to: &Home, config: &ClientQueueConfig) -> [[u8; 32]; 4] {
    let mailboxes = four_waiting(from, to, config);
    for mailbox in mailboxes {
        fail(from, mailbox);
    }
    from.clock.advance_s(1);
    fail(from, mailboxes[0]);
    mailboxes
}

/// Waits until somebody asks whether the destination is there.
fn ask(from: &Home) -> ([u8; 32], Dispatched) {
    loop {
        for mailbox in from.due_mailboxes() {
            let Some(sent) = from.dispatch(mailbox).unwrap() else { continue };
            assert_eq!(sent.rows.len(), 0);
            return (mailbox, sent);
        }
        from.clock.advance_s(1);
    }
}

/// Gets no answer to what a mailbox sends next, and tells how many deliveries that held.
fn fail(from: &Home, mailbox: [u8; 32]) -> Option<usize> {
    let sent = from.dispatch(mailbox).unwrap()?;
    from.settle(mailbox, &sent, Outcome::Failed(0));
    Some(sent.rows.len())
}

fn answered(from: &Home, to: &Home, mailbox: [u8; 32], sent: &Dispatched) {
    let receipt = to.take(&sent.transaction).unwrap();
    from.settle(mailbox, sent, Outcome::Receipt(Box::new(receipt)));
}

fn forward(from: &Home, to: &Home, config: &ClientQueueConfig, (lane, text): (u8, &str)) {
    let message = from.message(&[config], text);
    let request =
        ForwardRequest { to: to.domain.clone(), lane: [lane; 32], back: Opaque::default(), message };
    from.internal::<Forward>(request).unwrap();
}
