//! `update_client`: other keys, generations, and a queue that begins again.

use phoenix_core::{
    Reject,
    api::{
        federation::RecipientResult::{Delivered, Gone},
        queue::{ClientQueueConfig, DequeueRequest, EntryKind, NewClientKey, UpdateQsClientRequest},
    },
    crypto::{HpkePublicKey, HpkeSecretKey, SigningKey, Suite, VerifyingKey},
    queue::{ClientRatchet, RatchetError},
    time::DAY,
    token::Class,
    wire::{Opaque, Sender},
};

use super::{client::Client, world::Home};
use crate::{
    kinds::{CLIENT, PACKAGES},
    op::update_client::UpdateClient,
};

#[test]
fn configs_of_a_former_key_stay_good_until_the_generation_passes_it() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let of_0 = client.config_of(&home, 0);
    let former = client.turn_key(&home, 1).unwrap();
    let of_1 = client.config_of(&home, 1);

    assert_eq!(client.results(&home, &[&of_0, &of_1]), [Delivered, Delivered]);
    client.raise(&home, 1).unwrap();
    assert_eq!(client.results(&home, &[&of_0, &of_1]), [Gone, Delivered]);
    client.raise(&home, 2).unwrap();
    assert_eq!(client.results(&home, &[&of_0, &of_1]), [Gone, Gone]);

    let own = std::mem::replace(&mut client.key, former);
    let request = DequeueRequest { from: 0, max: 1, ack_below: 0, wait_s: 0 };
    assert_eq!(client.dequeue(&home, &request), Err(Reject::Unauthenticated), "it signs for nothing else");
    client.key = own;
    assert!(client.dequeue(&home, &request).is_ok());
}

#[test]
fn a_former_key_makes_no_configs_of_the_generations_after_it() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let former = client.turn_key(&home, 3).unwrap();
    let own = std::mem::replace(&mut client.key, former);

    let (last, first) = (client.config_of(&home, 2), client.config_of(&home, 3));

    assert_eq!(client.results(&home, &[&last, &first]), [Delivered, Gone]);
    client.key = own;
    let (last, first) = (client.config_of(&home, 2), client.config_of(&home, 3));
    assert_eq!(client.results(&home, &[&last, &first]), [Delivered, Delivered]);
}

#[test]
fn a_key_that_may_have_been_stolen_is_cut_off_at_once() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let before = client.config_of(&home, 0);

    client.turn_key(&home, 0).unwrap();

    assert_eq!(client.results(&home, &[&before]), [Gone]);
}

#[test]
fn the_generation_never_goes_back() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    client.raise(&home, 5).unwrap();

    assert_eq!(client.raise(&home, 4), Err(Reject::Malformed("min_generation")));
    client.raise(&home, 5).unwrap();

    assert_eq!(client.state(&home).unwrap().clients[0].min_generation, 5);
}

#[test]
fn sixteen_former_keys_vouch_at_a_time_until_the_generation_passes_them() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    for generation in 1..=16 {
        client.turn_key(&home, generation).unwrap();
    }

    assert_eq!(client.turn_key(&home, 17).err(), Some(Reject::TooLarge("former_keys")));
    client.raise(&home, 1).unwrap();
    client.turn_key(&home, 17).unwrap();
}

#[test]
fn a_client_that_lost_its_ratchet_begins_its_queue_again_at_the_next_number() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    for text in ["one", "two"] {
        home.deliver(home.local(&[&config], text));
    }
    let new = HpkeSecretKey::generate(Suite::P256, &mut client.chance);
    let request = UpdateQsClientRequest { queue_key: Some(new.public_key().clone()), ..nothing() };

    client.as_client::<UpdateClient>(&home, &request, &[]).unwrap();

    // The unread entries are gone, and told as a gap before the new key entry.
    let from_start = DequeueRequest { from: 0, max: 10, ack_below: 0, wait_s: 0 };
    let reply = client.dequeue(&home, &from_start).unwrap();
    assert_eq!(reply.entries.iter().map(|it| it.seq).collect::<Vec<_>>(), [3]);
    assert_eq!((reply.remaining, reply.gap_before), (0, Some(3)));
    assert_eq!(client.ratchet.open(&reply.entries[0]), Err(RatchetError::Lost), "not for the old key");
    client.ratchet = ClientRatchet::new(new);
    home.deliver(home.local(&[&config], "three"));
    assert_eq!(client.read_texts(&home), ["three"]);
    assert_eq!(client.ratchet.next_seq(), 5);
    assert_eq!(home.partitions(CLIENT)[0].1.rows.len(), 2 + 2);
}

#[test]
fn that_few_packages_are_left_is_told_again_after_a_new_beginning() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 10, 1);
    client.publish(&home, &request).unwrap();
    client.fetch(&home, 1).unwrap();
    let key = client.queue_key.public_key().clone();
    let request = UpdateQsClientRequest { queue_key: Some(key), ..nothing() };

    client.as_client::<UpdateClient>(&home, &request, &[]).unwrap();
    client.ratchet = ClientRatchet::new(client.queue_key.clone());
    assert_eq!(client.read(&home), []);
    client.fetch(&home, 1).unwrap();

    assert_eq!(client.read(&home).iter().map(|it| it.kind).collect::<Vec<_>>(), [EntryKind::PackagesLow]);
}

#[test]
fn packages_whose_config_is_void_are_served_no_more() {
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);

    client.raise(&home, 1).unwrap();

    assert_eq!(client.fetch(&home, 1), Err(Reject::NotFound));
    assert_eq!(home.partitions(PACKAGES)[0].1.rows.len(), 1, "the list is empty");
    let void = client.publication(&home, 1, 1);
    assert_eq!(client.publish(&home, &void), Err(Reject::Malformed("config")));
}

#[test]
fn all_changes_of_a_call_happen_or_none() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    client.raise(&home, 5).unwrap();
    let config = client.config_of(&home, 5);
    home.deliver(home.local(&[&config], "unread"));
    let key = client.queue_key.public_key().clone();

    let request = UpdateQsClientRequest { queue_key: Some(key), min_generation: Some(4), auth_key: None };
    let outcome = client.as_client::<UpdateClient>(&home, &request, &[]);

    assert_eq!(outcome, Err(Reject::Malformed("min_generation")));
    assert_eq!(client.read_texts(&home), ["unread"]);
}

#[test]
fn only_the_client_changes_itself_and_its_new_keys_are_keys_and_sign() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let new = SigningKey::generate(Suite::Ed25519, &mut client.chance);
    let with = |key: VerifyingKey| UpdateQsClientRequest {
        auth_key: Some(NewClientKey { key, from_generation: 1 }),
        ..nothing()
    };
    let request = with(new.verifying_key());
    let other = client.user_key.clone();

    assert_eq!(client.as_client::<UpdateClient>(&home, &request, &[]), Err(Reject::Unauthenticated));
    assert_eq!(client.as_client::<UpdateClient>(&home, &request, &[&other]), Err(Reject::Unauthenticated));
    assert_eq!(client.as_user::<UpdateClient>(&home, &request, &[&new]), Err(Reject::Unauthenticated));
    let mut thief = Client { id: client.id, ..Client::unknown(2) };
    let mut nobody = Client::unknown(3);
    for stranger in [&mut thief, &mut nobody] {
        let outcome = stranger.as_client::<UpdateClient>(&home, &request, &[&new]);
        assert_eq!(outcome, Err(Reject::Unauthenticated));
    }
    let no_key = VerifyingKey { suite: Suite::P256, key: Opaque::new(vec![0; 65]).unwrap() };
    let outcome = client.as_client::<UpdateClient>(&home, &with(no_key), &[]);
    assert_eq!(outcome, Err(Reject::Malformed("signature key")));
    let no_key = HpkePublicKey { suite: Suite::Ed25519, key: Opaque::new(vec![0; 32]).unwrap() };
    let request = UpdateQsClientRequest { queue_key: Some(no_key), ..nothing() };
    let outcome = client.as_client::<UpdateClient>(&home, &request, &[]);
    assert_eq!(outcome, Err(Reject::Malformed("encryption key")));

    let (key, sender, token) = (client.key.clone(), Sender::QsClient(client.id), home.token(Class::Home));
    let frame = client.signed::<UpdateClient>(&home, &nothing(), (sender, &key, &[]), Some(&token));
    let outcome = home.call::<UpdateClient>(&nothing(), Some(frame), Some(token));
    assert_eq!(outcome, Err(Reject::TokenRequired));
}

#[test]
fn a_fresh_secret_comes_into_the_ratchet_every_hundred_entries_or_after_a_day_with_traffic() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    let send = |text: &str| home.deliver(home.local(&[&config], text));

    for _ in 0..100 {
        send("x");
    }
    assert_eq!(client.state(&home).unwrap().clients[0].next_seq, 101);
    send("the hundred and first");
    assert_eq!(client.state(&home).unwrap().clients[0].next_seq, 103, "a fresh secret came before it");
    home.clock.advance_s(DAY);
    send("a day later");
    assert_eq!(client.state(&home).unwrap().clients[0].next_seq, 105);
    send("and at once");

    assert_eq!(client.state(&home).unwrap().clients[0].next_seq, 106);
    assert_eq!(client.read_texts(&home).len(), 103);
}

/// A change of nothing.
pub(super) fn nothing() -> UpdateQsClientRequest {
    UpdateQsClientRequest { auth_key: None, queue_key: None, min_generation: None }
}

impl Client {
    /// A queue config of a generation.
    fn config_of(&mut self, home: &Home, generation: u32) -> ClientQueueConfig {
        let mut tbs = self.config_tbs(Some("alpha.test"));
        tbs.generation = generation;
        self.sealed(home, tbs)
    }

    fn results(
        &self,
        home: &Home,
        to: &[&ClientQueueConfig],
    ) -> Vec<phoenix_core::api::federation::RecipientResult> {
        home.deliver(home.local(to, "hello"))
    }

    /// Takes another auth key, which makes the configs from a generation on; gives the former one.
    pub(super) fn turn_key(&mut self, home: &Home, from_generation: u32) -> Result<SigningKey, Reject> {
        let new = SigningKey::generate(Suite::Ed25519, &mut self.chance);
        let auth_key = Some(NewClientKey { key: new.verifying_key(), from_generation });
        let request = UpdateQsClientRequest { auth_key, ..nothing() };
        self.as_client::<UpdateClient>(home, &request, &[&new])?;
        Ok(std::mem::replace(&mut self.key, new))
    }

    /// Voids configs of earlier generations.
    pub(super) fn raise(&mut self, home: &Home, min_generation: u32) -> Result<(), Reject> {
        let request = UpdateQsClientRequest { min_generation: Some(min_generation), ..nothing() };
        self.as_client::<UpdateClient>(home, &request, &[]).map(|_| ())
    }
}
