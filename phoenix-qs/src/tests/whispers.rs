//! What passes beside a mailbox, and what is told of it: delays, and ephemeral messages.

use phoenix_core::{
    Fqdn, Timestamp,
    api::{
        delivery::Delayed,
        federation::{QsToQsReceipt, QsToQsTransaction, RecipientResult},
        queue::{ClientQueueConfig, FanOutMessage},
    },
    engine::Engine,
    operation::Fare,
    wire::{Flag, List},
};

use super::{client::Client, federation::forward, mailboxes::town, world::Home};
use crate::{
    QueueService,
    kinds::MAILBOX,
    op::{
        settle::Outcome,
        whisper::{Whisper, WhisperRequest},
    },
};

#[test]
fn a_destination_that_does_not_answer_is_told_to_senders_until_it_does() {
    let (alpha, beta, mut client, config) = town();
    let elsewhere: Fqdn = "elsewhere.test".parse().unwrap();
    assert_eq!(told(&alpha, &[&beta.domain]), []);
    forward(&alpha, &beta, &[&config], "patience");
    let since = alpha.clock_now().as_secs();

    for _ in 0..3 {
        let mailbox = alpha.due_mailboxes()[0];
        let dispatched = alpha.dispatch(mailbox).unwrap().unwrap();
        alpha.settle(mailbox, &dispatched, Outcome::Failed(0));
        let delays = told(&alpha, &[&beta.domain, &elsewhere]);
        assert_eq!(delays, [Delayed { domain: beta.domain.clone(), since }], "since the first failure");
        while alpha.due_mailboxes().is_empty() {
            alpha.clock.advance_s(1);
            assert_eq!(told(&alpha, &[&beta.domain]).len(), 1, "it is told until the next attempt");
        }
    }

    assert_eq!(alpha.send_all(&beta), 1);
    assert_eq!(told(&alpha, &[&beta.domain]), []);
    assert_eq!(client.read_texts(&beta), ["patience"]);
}

#[test]
fn since_when_survives_a_restart_and_a_delay_that_nobody_renews_is_over() {
    let (alpha, beta, _client, config) = town();
    forward(&alpha, &beta, &[&config], "patience");
    let since = alpha.clock_now().as_secs();
    fail(&alpha);
    // As another process finds it: nothing is known until it has tried itself.
    alpha.engine.shared().note_delay(beta.domain.clone(), None);
    while alpha.due_mailboxes().is_empty() {
        alpha.clock.advance_s(1);
    }
    assert_eq!(told(&alpha, &[&beta.domain]), []);

    fail(&alpha);

    assert_eq!(told(&alpha, &[&beta.domain]), [Delayed { domain: beta.domain.clone(), since }]);
    alpha.clock.advance_s(3_600);
    assert_eq!(told(&alpha, &[&beta.domain]), []);
}

#[test]
fn ephemeral_messages_make_a_transaction_that_is_taken_and_kept_nowhere() {
    let (alpha, beta, mut client, config) = town();
    let before = (alpha.store.dump(), beta.store.dump());

    let transaction = whisper(&alpha, &beta, vec![typing(&alpha, &config), typing(&alpha, &config)]).unwrap();

    assert_eq!(transaction.payload.deliveries.len(), 2);
    let receipt: QsToQsReceipt = beta.take(&transaction).unwrap();
    assert_eq!(receipt.results.len(), 2);
    assert!(receipt.results.iter().all(|it| *it.results == [RecipientResult::Delivered]));
    assert_eq!((alpha.store.dump(), beta.store.dump()), before);
    assert_eq!(alpha.partitions(MAILBOX).len(), 0);
    assert!(client.read_texts(&beta).is_empty());
}

#[test]
fn nothing_is_whispered_to_who_is_unknown_nor_what_must_not_get_lost() {
    let (alpha, beta) = Home::pair();
    let config = Client::at(&beta, 1).config(&beta, Some("alpha.test"));
    let message = typing(&alpha, &config);
    let durable = FanOutMessage { ephemeral: Flag::No, ..message.clone() };

    assert!(
        whisper(&alpha, &beta, vec![message.clone()]).is_none(),
        "its keys are not known, and nobody is asked"
    );
    for (to, message) in [(&beta.domain, durable), (&alpha.domain, message)] {
        let request = WhisperRequest { to: to.clone(), messages: List::new(vec![message]).unwrap() };
        let engine: &Engine<QueueService> = &alpha.engine;
        let outcome = futures::executor::block_on(engine.internal::<Whisper>(request, Fare::Free));
        assert!(matches!(outcome, Err(phoenix_core::Failure::Broken(_))));
    }
}

fn fail(home: &Home) {
    let mailbox = home.due_mailboxes()[0];
    let dispatched = home.dispatch(mailbox).unwrap().unwrap();
    home.settle(mailbox, &dispatched, Outcome::Failed(0));
}

pub(super) fn told(home: &Home, domains: &[&Fqdn]) -> Vec<Delayed> {
    let now: Timestamp = home.clock_now();
    home.engine.shared().delays().towards(domains.iter().copied(), now).into_vec()
}

fn typing(home: &Home, config: &ClientQueueConfig) -> FanOutMessage {
    FanOutMessage { ephemeral: Flag::Yes, ..home.message(&[config], "typing") }
}

fn whisper(from: &Home, to: &Home, messages: Vec<FanOutMessage>) -> Option<QsToQsTransaction> {
    let request = WhisperRequest { to: to.domain.clone(), messages: List::new(messages).unwrap() };
    from.internal::<Whisper>(request).unwrap().transaction
}
