//! The client against homeservers in process, where a story needs what only the inside shows.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

use std::time::Duration;

use phoenix_core::{
    api::auth::{EnqueueOffer, EnqueueOfferRequest, GetConnectionPackage},
    crypto::sha256,
    token::Class,
    wire::{List, Secret, Wire},
};

use crate::{
    Client, ClientError, Event, Outcome,
    direct::{DirectMessage, OfferDecline},
};

mod between;
mod crash;
mod further;
mod keeping;
mod lookup;
mod malicious_admins;
mod malicious_answers;
mod malicious_ds;
mod malicious_members;
mod malicious_qs;
mod passing;
mod pins;
mod renewal;
mod rotation;
mod scene;
mod silence;
mod sizes;
mod spent;
#[path = "../tests/support/mod.rs"]
mod support;
mod years;

use support::{World, befriend, joined, play, text, until};

#[test]
fn who_updates_to_a_leaf_that_proves_nothing_is_removed_and_stops_nobody() {
    play(&["alpha.test"], async |world| {
        let (a, b, c) = trio(&world).await;
        // Until its packages are used up, and the last resort is taken.
        let group = loop {
            let group = a.create_group().await.expect("created");
            a.invite(&group, &[b.user().clone(), c.user().clone()]).await.expect("invited");
            until(&b, joined).await;
            until(&c, joined).await;
            let mut session = b.lock().await;
            let record = session.group_mut(&group).expect("a group");
            record.credential_key = Secret::new([0; 32]);
            if record.is_leaf_shared.is_set() {
                break group;
            }
        };

        b.update(&group).await.expect("updated");

        c.sync(Duration::from_secs(1)).await.expect("synced");
        c.send(&group, "as before").await.expect("sent");
        until(&a, |event| matches!(event, Event::Unverified { .. }).then_some(())).await;
        until(&b, |event| matches!(event, Event::Removed { .. }).then_some(())).await;
        assert_eq!(a.members(&group).await.expect("members").len(), 2);
    });
}

#[test]
fn a_message_from_before_its_sender_was_removed_is_still_theirs() {
    play(&["alpha.test"], async |world| {
        let (a, b, c) = trio(&world).await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone(), c.user().clone()]).await.expect("invited");
        until(&b, joined).await;
        let epoch = a.epoch(&group).await.expect("a group").0;
        let leaf = {
            let session = a.lock().await;
            let leaves = session.leaves_of(&group, &[b.user().clone()]).expect("a group");
            leaves[0]
        };
        b.send(&group, "last words").await.expect("sent");

        a.remove(&group, &[b.user().clone()]).await.expect("removed");

        let said = until(&a, |event| match event {
            Event::Message(it) => Some((it.sender.clone(), it.text.clone())),
            _ => None,
        });
        assert_eq!(said.await, (b.user().clone(), "last words".into()));
        let session = a.lock().await;
        let now = session.now();
        assert_eq!(session.sender_of(&group, (epoch, leaf), now), Ok(Some(b.id().clone())));
        assert_eq!(session.sender_of(&group, (epoch + 1, leaf), now), Ok(None));
    });
}

#[test]
fn who_is_no_member_cannot_be_removed() {
    play(&["alpha.test"], async |world| {
        let (a, b, _) = trio(&world).await;
        let group = a.create_group().await.expect("created");

        let removed = a.remove(&group, &[b.user().clone()]).await;

        assert_eq!(removed, Err(ClientError::State("no such member")));
    });
}

#[test]
fn an_invitation_by_another_key_than_the_pinned_one_is_refused() {
    play(&["alpha.test"], async |world| {
        let (a, b, c) = trio(&world).await;
        {
            let mut session = b.lock().await;
            let key = session.state.friends.get(a.user()).expect("friends").key.clone();
            let other = c.lock().await.signer.verifying_key();
            session.state.friends.get_mut(a.user()).expect("friends").key = other.clone();
            assert_ne!(key, other);
        }
        let group = a.create_group().await.expect("created");

        a.invite(&group, &[b.user().clone()]).await.expect("invited");

        until(&b, |event| matches!(event, Event::InvitationRefused).then_some(())).await;
        assert!(!b.groups().await.contains(&group));
    });
}

#[test]
fn a_new_key_of_a_known_user_does_not_take_the_place_of_the_pinned_one() {
    play(&["alpha.test"], async |world| {
        let (a, b, c) = trio(&world).await;
        let other = c.lock().await.signer.verifying_key();
        a.lock().await.state.friends.remove(b.user());
        a.connect(b.user()).await.expect("offered");
        b.lock().await.state.friends.get_mut(a.user()).expect("friends").key = other.clone();

        until(&b, |event| matches!(event, Event::KeyChanged { .. }).then_some(())).await;
        assert!(b.lock().await.state.offers.is_empty());
        assert_eq!(b.lock().await.state.friends.get(a.user()).expect("friends").key, other);
    });
}

#[test]
fn a_message_is_told_and_kept_until_the_next_sync() {
    play(&["alpha.test"], async |world| {
        let (a, b, _) = trio(&world).await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited");
        until(&b, joined).await;
        a.send(&group, "hello").await.expect("sent");
        assert_eq!(until(&b, text).await, "hello");

        let key = phoenix_core::crypto::AtRestKey::new(Secret::new([7; 32]));
        let saved = b.export(&key).await;
        let habits = support::settings("alpha.test").habits;
        let b = Client::import(&saved, &key, world.ports(), habits, None).expect("imported");

        assert_eq!(until(&b, text).await, "hello");
        let late = b.sync(Duration::ZERO).await.expect("synced");
        assert!(late.iter().all(|event| text(event).is_none()), "{late:?}");
    });
}

#[test]
fn nothing_is_said_in_a_connection_that_someone_else_is_in() {
    play(&["alpha.test"], async |world| {
        let (a, b, c) = trio(&world).await;
        let group = a.lock().await.state.friends.get(b.user()).expect("friends").group.clone();
        a.send(&group, "between us").await.expect("sent");
        let leaf = a.lock().await.leaves_of(&group, &[b.user().clone()]).expect("a group")[0];
        {
            let mut session = a.lock().await;
            let record = session.group_mut(&group).expect("a group");
            record.members.get_mut(&leaf).expect("a member").proven = Some(c.user().clone());
        }

        let refused = a.send(&group, "between us?").await;

        assert_eq!(refused.expect_err("refused"), ClientError::State("someone else is in the connection"));
    });
}

#[test]
fn an_alias_that_has_ended_neither_stops_nor_hurries_the_other_queues() {
    play(&["alpha.test"], async |world| {
        let (a, b, _) = trio(&world).await;
        let hash = b.register_alias("Carol").await.expect("registered");
        {
            let mut session = b.lock().await;
            let other = phoenix_core::crypto::SigningKey::generate(
                session.state.account.suite,
                &mut phoenix_core::crypto::Chance::from_seed([1; 32]),
            );
            session.state.aliases.get_mut(&hash).expect("ours").key = other;
        }
        while b.sync(Duration::ZERO).await.is_ok_and(|events| !events.is_empty()) {}

        assert_eq!(b.sync(Duration::from_secs(2)).await, Ok(Vec::new()));
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited");
        a.send(&group, "hello").await.expect("sent");
        assert_eq!(until(&b, text).await, "hello");
    });
}

#[test]
fn another_token_key_list_with_the_same_serial_is_refused_also_after_a_token_was() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let domain = a.user().domain.clone();
        a.fetch_tokens(&domain, Class::Standard).await.expect("fetched");
        {
            let mut session = a.lock().await;
            session.discard_tokens(&domain, &[0; 32]);
            session.state.token_keys.get_mut(&domain).expect("known").list.list.keys = List::default();
        }

        let fetched = a.fetch_tokens(&domain, Class::Standard).await;

        assert_eq!(fetched, Err(ClientError::TokenKeysDiffer));
    });
}

#[test]
fn a_decline_by_someone_who_has_not_read_the_offer_is_ignored() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        a.connect(b.user()).await.expect("offered");
        let made = a.lock().await.state.made.keys().copied().collect::<Vec<_>>();
        let of_another = b.lock().await.join_code();
        for decline in [
            OfferDecline::new(made[0], &of_another),
            OfferDecline::new([0; 32], &of_another),
            OfferDecline { offer: made[0], mac: Secret::new([0; 32]) },
        ] {
            tell(&b, &a, &DirectMessage::Decline(decline)).await;
        }

        assert_eq!(a.sync(Duration::from_secs(1)).await, Ok(Vec::new()));

        assert_eq!(a.offers_made().await[0].outcome, Outcome::Open);
        let offered = until(&b, support::offer).await;
        b.decline(offered).await.expect("declined");
        until(&a, |event| matches!(event, Event::Declined { .. }).then_some(())).await;
    });
}

/// Someone seals a message to someone, and sends it as offers are.
async fn tell(from: &Client, to: &Client, message: &DirectMessage) {
    let mut session = from.lock().await;
    let route = session.fresh_route(&to.user().domain);
    let packages = session.call::<GetConnectionPackage>(&route, None, to.user()).await.expect("packages");
    let package = &packages.packages[0];
    let key = &package.payload.package.encryption_key;
    let ciphertext = message.seal(key, &sha256(&package.encode()), &mut session.chance).expect("sealed");
    let request = EnqueueOfferRequest { to: to.id().clone(), ciphertext };
    session.call::<EnqueueOffer>(&route, None, &request).await.expect("enqueued");
}

/// Three users, the first of whom is connected with the others.
async fn trio(world: &World) -> (Client, Client, Client) {
    let (a, b, c) =
        (world.user("alpha.test").await, world.user("alpha.test").await, world.user("alpha.test").await);
    befriend(&a, &b).await;
    befriend(&a, &c).await;
    (a, b, c)
}
