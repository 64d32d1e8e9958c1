//! `qs_keys`, `create_user` and `dequeue`.

use futures::{FutureExt, executor::block_on};
use phoenix_core::{
    Origin, Reject,
    api::{Empty, queue::DequeueRequest},
    crypto::{HpkePublicKey, Suite},
    operation::Fare,
    time::DAY,
    token::Class,
    wire::{Opaque, Sender},
};

use super::{
    client::Client,
    world::{Home, envelope},
};
use crate::{
    kinds::{CLIENT, USER},
    op::{create_user::CreateUser, deliver::Deliver, dequeue::Dequeue, qs_keys::QsKeys},
};

#[test]
fn anyone_may_ask_for_the_keys() {
    let home = Home::alone();

    let keys = home.call::<QsKeys>(&Empty {}, None, None).unwrap();

    assert_eq!(keys, home.engine.ring().service.public(home.clock_now()));
}

#[test]
fn a_new_client_finds_the_ratchets_first_key_in_its_queue() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);

    assert_eq!(client.read(&home), []);

    assert_eq!(client.ratchet.next_seq(), 1);
}

#[test]
fn a_taken_id_is_refused_whoever_asks_and_the_record_stays() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut same_user = Client { user: client.user, ..Client::unknown(2) };
    let mut same_client = Client { id: client.id, ..Client::unknown(3) };

    assert_eq!(same_user.create(&home), Err(Reject::AlreadyExists));
    assert_eq!(same_client.create(&home), Err(Reject::AlreadyExists));
    assert_eq!(client.create(&home), Err(Reject::AlreadyExists));

    assert_eq!(client.read(&home), []);
    assert_eq!(home.partitions(USER).len(), 1);
}

#[test]
fn a_record_is_made_for_a_home_token_only() {
    let home = Home::alone();
    let mut client = Client::unknown(1);
    let request = client.creation();
    let token = home.token(Class::Standard);
    let (key, co) = (client.user_key.clone(), client.key.clone());
    let sender = Sender::NewKey(key.verifying_key());
    let frame = client.signed::<CreateUser>(&home, &request, (sender, &key, &[&co]), Some(&token));

    let outcome = home.call::<CreateUser>(&request, Some(frame), Some(token));

    assert_eq!(outcome, Err(Reject::TokenRequired));
    assert_eq!(home.partitions(USER).len(), 0);
}

#[test]
fn both_new_keys_must_sign_and_be_keys() {
    let home = Home::alone();
    let mut client = Client::unknown(1);
    let request = client.creation();
    let (user_key, client_key) = (client.user_key.clone(), client.key.clone());
    let sender = Sender::NewKey(user_key.verifying_key());

    let token = home.token(Class::Home);
    let alone = client.signed::<CreateUser>(&home, &request, (sender.clone(), &user_key, &[]), Some(&token));
    let alone = home.call::<CreateUser>(&request, Some(alone), Some(token));
    let token = home.token(Class::Home);
    let other = Sender::NewKey(client_key.verifying_key());
    let swapped =
        client.signed::<CreateUser>(&home, &request, (other, &client_key, &[&client_key]), Some(&token));
    let swapped = home.call::<CreateUser>(&request, Some(swapped), Some(token));
    let mut request = request;
    request.queue_key = HpkePublicKey { suite: Suite::Ed25519, key: Opaque::new(vec![0; 32]).unwrap() };
    let token = home.token(Class::Home);
    let no_key =
        client.signed::<CreateUser>(&home, &request, (sender, &user_key, &[&client_key]), Some(&token));
    let no_key = home.call::<CreateUser>(&request, Some(no_key), Some(token));

    assert_eq!((alone, swapped), (Err(Reject::Unauthenticated), Err(Reject::Unauthenticated)));
    assert_eq!(no_key, Err(Reject::Malformed("encryption key")));
}

#[test]
fn messages_are_read_in_order_and_go_when_they_are_acknowledged() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    for text in ["one", "two", "three"] {
        home.deliver(home.local(&[&config], text));
    }

    let first = client.read_texts(&home);
    let rows_before = home.partitions(CLIENT)[0].1.rows.len();
    let again = client.dequeue(&home, &DequeueRequest { from: 1, max: 2, ack_below: 1, wait_s: 0 }).unwrap();
    let rest = client.read_texts(&home);

    assert_eq!(first, ["one", "two", "three"]);
    assert_eq!(again.entries.len(), 2, "reading deletes nothing");
    assert_eq!((again.remaining, again.gap_before), (1, None));
    assert_eq!(rest, Vec::<String>::new());
    let rows_after = home.partitions(CLIENT)[0].1.rows.len();
    assert_eq!((rows_before, rows_after), (6, 2), "record and head stay");
}

#[test]
fn only_the_client_reads_its_queue_and_unknown_clients_look_the_same() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = DequeueRequest { from: 0, max: 10, ack_below: 0, wait_s: 0 };

    let mut stranger = Client { id: client.id, ..Client::unknown(2) };
    assert_eq!(stranger.dequeue(&home, &request), Err(Reject::Unauthenticated));
    assert_eq!(Client::unknown(3).dequeue(&home, &request), Err(Reject::Unauthenticated));
    assert_eq!(home.call::<Dequeue>(&request, None, None), Err(Reject::Unauthenticated));
    assert!(client.dequeue(&home, &request).is_ok());
}

#[test]
fn t25_before_a_signature_is_right_no_more_is_read_of_a_queue_than_of_none() {
    // given a client with messages, whose renewal is due
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    home.deliver(home.local(&[&config], "there is something to read"));
    home.clock.advance_s(31 * DAY);
    let request = DequeueRequest { from: 0, max: 10, ack_below: 0, wait_s: 0 };
    let read_of = |mut asking: Client| {
        let before = home.fragile.read_so_far();
        let answer = asking.dequeue(&home, &request).map(|reply| reply.entries.len());
        let after = home.fragile.read_so_far();
        (answer, [after[0] - before[0], after[1] - before[1]])
    };

    // when somebody else asks for it, and for one that there is not
    let forbidden = read_of(Client { id: client.id, ..Client::unknown(2) });
    let unknown = read_of(Client::unknown(3));

    // then both read the same: its head
    assert_eq!(unknown, (Err(Reject::Unauthenticated), [1, 1]));
    assert_eq!(forbidden, unknown);
    assert_eq!(read_of(client), (Ok(2), [2, 5]));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = |from, max, ack_below, wait_s| DequeueRequest { from, max, ack_below, wait_s };

    for (wrong, field) in [
        (request(0, 0, 0, 0), "max"),
        (request(0, 501, 0, 0), "max"),
        (request(3, 1, 4, 0), "ack_below"),
        (request(0, 1, 0, 31), "wait_s"),
    ] {
        assert_eq!(client.dequeue(&home, &wrong), Err(Reject::Malformed(field)));
    }
}

#[test]
fn a_reader_waits_for_a_message_and_no_longer_than_it_said() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    let request = DequeueRequest { from: 1, max: 10, ack_below: 0, wait_s: 30 };
    let frame = client.frame::<Dequeue>(&home, &request, None);
    let call = envelope::<Dequeue>(&request, Some(frame), None);

    let before = home.clock_now();
    let nothing = client.dequeue(&home, &request).unwrap();
    assert_eq!(nothing.entries.len(), 0);
    assert_eq!(home.clock_now(), before.plus_secs(30));

    home.clock.stand_still();
    let reply = block_on(async {
        let mut reading = Box::pin(home.engine.call::<Dequeue>(call, Origin::default()));
        assert!((&mut reading).now_or_never().is_none(), "nothing is there yet");
        let request = home.local(&[&config], "at last");
        home.engine.internal::<Deliver>(request, Fare::Free).await.unwrap();
        reading.await
    });
    assert_eq!(reply.unwrap().entries.len(), 1);
}

#[test]
fn reading_renews_a_client_and_who_does_not_read_is_forgotten() {
    let home = Home::alone();
    let mut reader = Client::at(&home, 1);
    let _silent = Client::at(&home, 2);

    for _ in 0..5 {
        home.clock.advance_s(30 * DAY);
        reader.read(&home);
        home.ring_alarms();
    }

    assert_eq!(home.partitions(CLIENT).len(), 1);
    assert_eq!(home.partitions(USER).len(), 1);
    assert_eq!(reader.read(&home), []);
    home.clock.advance_s(130 * DAY);
    home.ring_alarms();
    assert_eq!(home.partitions(CLIENT).len() + home.partitions(USER).len(), 0);
}

#[test]
fn entries_that_are_never_acknowledged_expire_and_their_end_is_told() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    home.deliver(home.local(&[&config], "old"));
    for _ in 0..5 {
        home.clock.advance_s(31 * DAY);
        home.deliver(home.local(&[&config], "newer"));
        client.dequeue(&home, &DequeueRequest { from: 7, max: 1, ack_below: 0, wait_s: 0 }).unwrap();
    }

    let reply = client.dequeue(&home, &DequeueRequest { from: 0, max: 10, ack_below: 0, wait_s: 0 }).unwrap();

    let gap = reply.gap_before.unwrap();
    assert!(gap > 1 && reply.entries[0].seq == gap, "{gap}");
}
