//! What the operator's federation policy makes of what comes and of what leaves (08, "Policy").

use phoenix_core::{
    ErrorCode,
    api::{
        delivery::Delayed,
        federation::{
            FederationLimits,
            RecipientResult::{Delivered, Later},
        },
    },
    federation::{FederationPolicy, Outbox, Standing, Terms},
    limit::{Limits, Rate},
    time::DAY,
    wire::{Flag, List},
};

use super::{
    client::Client,
    federation::{forward, sent},
    mailboxes::town,
    whispers::told,
    world::Home,
};
use crate::{
    kinds::{MAILBOX, ROUND},
    op::{
        dispatch::{Dispatch, DispatchRequest},
        greet::Greet,
        whisper::{Whisper, WhisperRequest},
    },
};

#[test]
fn t10_who_is_blocked_or_paused_is_told_that_alone_and_is_not_asked_who_it_is() {
    // given transactions of a homeserver whose keys are not known, genuine and made up
    let (alpha, beta) = Home::pair();
    let mut client = Client::at(&beta, 1);
    let (config, unknown) =
        (client.config(&beta, Some("alpha.test")), Client::unknown(2).config(&beta, Some("alpha.test")));
    let mut transactions = Vec::new();
    for to in [&config, &unknown] {
        transactions.push(sent(&alpha, &beta, &[to], "hello").transaction);
        alpha.clock.advance_s(100);
    }
    let mut forged = transactions[0].clone();
    forged.payload.transaction = [9; 16];
    let mut empty = forged.clone();
    empty.payload.deliveries = List::default();
    transactions.extend([forged, empty]);
    alpha.vanish();
    let before = beta.store.dump();

    for (standing, code, retry_after_s) in [
        (Standing::Blocked(Outbox::Drop), ErrorCode::Forbidden, None),
        (Standing::Blocked(Outbox::Hold), ErrorCode::Forbidden, None),
        (Standing::Paused, ErrorCode::Unavailable, Some(300)),
    ] {
        rule(&beta, "alpha.test", standing);
        for transaction in &transactions {
            let refused = beta.take(transaction).unwrap_err();
            assert_eq!((refused.code, refused.retry_after_s), (code, retry_after_s));
            assert!(refused.detail.is_empty());
        }
    }

    // then nothing was written, and its keys can be had at once, which a look-up that failed would have put off
    assert_eq!(beta.store.dump(), before);
    alpha.publish();
    rule(&beta, "*.alpha.test", Standing::Paused);
    assert_eq!(beta.take(&transactions[0]).unwrap().results[0].results.to_vec(), [Delivered]);
    assert_eq!(client.read_texts(&beta), ["hello"]);
}

#[test]
fn what_waits_for_a_homeserver_that_is_held_back_stays_until_the_rule_ends_and_arrives_in_order() {
    for standing in [Standing::Paused, Standing::Blocked(Outbox::Hold)] {
        // given a homeserver that cannot be found, so that whoever looks for it would have to wait
        let (alpha, beta) = Home::pair();
        let mut client = Client::at(&beta, 1);
        let config = client.config(&beta, Some("alpha.test"));
        beta.vanish();
        rule(&alpha, "beta.test", standing);
        let since = alpha.clock_now().as_secs();
        for number in 0..3 {
            forward(&alpha, &beta, &[&config], &number.to_string());
        }
        let mailbox = alpha.due_mailboxes()[0];

        // when it is to be sent, it is not, and senders are told
        for _ in 0..3 {
            let reply = alpha.internal::<Dispatch>(DispatchRequest { mailbox }).unwrap();
            assert_eq!((reply.dispatched, reply.held), (None, Some(beta.domain.clone())));
            assert_eq!(told(&alpha, &[&beta.domain]), [Delayed { domain: beta.domain.clone(), since }]);
            assert!(alpha.due_mailboxes().is_empty());
            alpha.clock.advance_s(61);
        }
        let refusal = alpha.engine.shared().federation().admit(&beta.domain).unwrap_err();
        assert_eq!(alpha.internal::<Greet>(beta.domain.clone()), Err(refusal));

        // then all of it leaves once the rule has ended
        beta.publish();
        alpha.engine.shared().put_federation(FederationPolicy::default());
        assert_eq!(alpha.send_all(&beta), 1);
        assert_eq!(client.read_texts(&beta), ["0", "1", "2"]);
        assert_eq!(told(&alpha, &[&beta.domain]), []);
        assert_eq!(alpha.lanes(), 0);
    }
}

#[test]
fn what_is_held_for_too_long_is_given_up_and_told_to_the_ds() {
    let (alpha, beta, mut client, config) = town();
    rule(&alpha, "beta.test", Standing::Paused);
    forward(&alpha, &beta, &[&config], "old");
    alpha.clock.advance_s(7 * DAY);
    forward(&alpha, &beta, &[&config], "new");

    assert_eq!(alpha.send_all(&beta), 0);
    assert_eq!(alpha.lanes(), 1);
    alpha.engine.shared().put_federation(FederationPolicy::default());
    alpha.clock.advance_s(61);
    assert_eq!(alpha.send_all(&beta), 1);
    assert_eq!(client.read_texts(&beta), ["new"]);
}

#[test]
fn what_waits_for_a_homeserver_that_is_dropped_is_let_go_of_and_told_to_the_ds() {
    let (alpha, beta, mut client, config) = town();
    for number in 0..70 {
        forward(&alpha, &beta, &[&config], &number.to_string());
    }
    rule(&alpha, "beta.test", Standing::Blocked(Outbox::Drop));

    assert_eq!(alpha.send_all(&beta), 0);

    assert_eq!(alpha.partitions(MAILBOX).len() + alpha.partitions(ROUND).len(), 0);
    assert_eq!(alpha.lane_rows(), 70, "each of them");
    alpha.engine.shared().put_federation(FederationPolicy::default());
    forward(&alpha, &beta, &[&config], "later");
    assert_eq!(alpha.send_all(&beta), 1);
    assert_eq!(client.read_texts(&beta), ["later"]);
}

#[test]
fn nothing_is_whispered_to_a_homeserver_that_is_held_back() {
    let (alpha, beta, _client, config) = town();
    let whispered = || {
        let mut message = alpha.message(&[&config], "types");
        message.ephemeral = Flag::Yes;
        let request = WhisperRequest { to: beta.domain.clone(), messages: List::new(vec![message]).unwrap() };
        alpha.internal::<Whisper>(request).unwrap().transaction.is_some()
    };
    assert!(whispered());

    for standing in [Standing::Paused, Standing::Blocked(Outbox::Hold), Standing::Blocked(Outbox::Drop)] {
        rule(&alpha, "beta.test", standing);
        assert!(!whispered());
    }
}

#[test]
fn a_homeserver_may_deliver_what_its_rule_says_and_is_told_so() {
    let limits = Limits { source_deliveries: Some(Rate::new(1, 100)), ..Limits::unlimited() };
    let home = Home::limited(limits);
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, None);
    let terms = Terms { deliveries_per_s: Some(1), bytes_per_s: Some(10), tokens: None };
    rule(&home, "*.beta.test", Standing::Allowed(terms));
    let delivered = |source: &str, many: u8| {
        let each = (0..many).map(|part| home.deliver(home.remote(source, part, &[&config], "x"))[0]);
        each.filter(|result| *result == Delivered).count()
    };

    assert_eq!(delivered("chat.beta.test", 30), 25);
    assert_eq!(
        home.deliver(home.remote("chat.beta.test", 99, &[&config], "x")),
        [Later(60)],
        "behind the others"
    );
    assert_eq!(delivered("other.beta.test", 30), 0, "all below beta.test share what is set for them");
    assert_eq!(delivered("gamma.test", 30), 30);
    let (alpha, beta, _client, config) = town();
    rule(&beta, "alpha.test", Standing::Allowed(terms));
    let receipt = beta.take(&sent(&alpha, &beta, &[&config], "hello").transaction).unwrap();
    let told = FederationLimits { deliveries_per_s: 1, bytes_per_s: 10, retry_after_s: 0 };
    assert_eq!(receipt.limits, told);
}

/// From now on the operator of a homeserver stands so to those of a pattern, and to all others as by default.
fn rule(home: &Home, pattern: &str, standing: Standing) {
    let policy = FederationPolicy::default().with(pattern.parse().unwrap(), standing).unwrap();
    home.engine.shared().put_federation(policy);
}
