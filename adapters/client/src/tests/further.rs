//! What clients of one user give each other, and what nobody else can.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use phoenix_core::{
    ClientId, Fqdn, Reject, UserId, Uuid,
    api::auth::{ConnectionPackages, EnqueueOffer, EnqueueOfferRequest, MAX_OFFER},
    credential::ConnectionPackage,
    crypto::{Chance, HpkeSecretKey, SigningKey, Suite, sha256},
    port::Clock,
    wire::{List, Opaque, Wire},
};

use super::support::{befriend, evil::Evil, group_of, joined, play, text, until};
use crate::{
    Client, ClientError, Event, KeyFingerprint,
    direct::DirectMessage,
    provision::{Provision, ProvisionTbs},
    session::Session,
    state::Friend,
};

#[test]
fn a_further_client_takes_over_friendship_keys_and_friends() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        let second = world.another(&a).await;

        a.provision(second.id().client, &read_out(&second).await).await.expect("given");
        let (from, fingerprint) = until(&second, offered).await;

        assert_eq!((from, fingerprint), (a.id().client, a.fingerprint().await));
        assert!(second.connections().await.is_empty());
        assert!(second.lock().await.state.shared.is_none());
        second.accept_provision(from, &read_out(&a).await).await.expect("accepted");
        assert_eq!(second.connections().await, [b.user().clone()]);
        assert_eq!(second.safety_number(b.user()).await, b.safety_number(a.user()).await);
        {
            let (first, second) = (a.lock().await, second.lock().await);
            let record = first.record().expect("set up");
            let shared = second.record().expect("set up");
            assert_eq!(shared.user, record.user);
            assert_ne!(shared.client, record.client);
            assert_eq!(shared.user_key.verifying_key(), record.user_key.verifying_key());
            assert_eq!(shared.friendship, record.friendship);
        }
        // Bob was told of it: it invites him, and whom he invites is both.
        until(&b, |event| matches!(event, Event::ClientAdded { .. }).then_some(())).await;
        let group = second.create_group().await.expect("created");
        second.invite(&group, &[b.user().clone()]).await.expect("invited");
        assert_eq!(until(&b, joined).await, *a.user());
        let group = group_of(&b, &a).await;
        until(&second, joined).await;
        assert_eq!(b.members(&group).await.expect("members").len(), 3);
        b.send(&group, "to both").await.expect("sent");
        assert_eq!(until(&a, text).await, "to both");
        assert_eq!(until(&second, text).await, "to both");
    });
}

#[test]
fn many_friends_come_in_parts_and_are_told_once() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        know_many(&mut *a.lock().await, b.user(), 100);
        let second = world.another(&a).await;

        a.provision(second.id().client, &read_out(&second).await).await.expect("given");

        let (from, _) = until(&second, offered).await;
        assert_eq!(second.sync(Duration::ZERO).await, Ok(Vec::new()));
        second.accept_provision(from, &read_out(&a).await).await.expect("accepted");
        assert_eq!(second.connections().await, a.connections().await);
        assert_eq!(second.connections().await.len(), 101);
    });
}

#[test]
fn t16_a_client_whose_key_the_as_has_swapped_is_given_nothing() {
    play(&["alpha.test"], async |world| {
        let now = world.clock.now();
        let evil = Arc::new(Evil::of("alpha.test", now, 1));
        let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([2; 32]));
        let victim = Arc::new(Mutex::new(None::<ClientId>));
        let lie = {
            let (key, victim) = (key.clone(), victim.clone());
            move |_: &Fqdn, name: &str, reply: bytes::Bytes| match (name, &*victim.lock().expect("no panic"))
            {
                ("as_credentials", _) => evil.beside(&reply),
                ("get_connection_package", Some(victim)) => {
                    let mut packages = ConnectionPackages::decode(&reply).expect("packages");
                    let others = packages.packages.into_iter();
                    let swapped = others.map(|it| swap(it, victim, &evil, &key, now)).collect();
                    packages.packages = List::new(swapped).expect("as many");
                    packages.encode()
                }
                _ => reply,
            }
        };
        let a = world.user_with("alpha.test", world.lied_to(lie)).await;
        let second = world.another(&a).await;
        *victim.lock().expect("no panic") = Some(second.id().clone());

        let refused = a.provision(second.id().client, &read_out(&second).await).await;

        assert_eq!(refused, Err(ClientError::Unverified(Reject::Unauthenticated)));
        // Nothing else would have told.
        let shown = KeyFingerprint::of(second.id(), &key.verifying_key());
        a.provision(second.id().client, &shown).await.expect("given to the wrong one");
        assert_eq!(second.sync(Duration::from_secs(1)).await, Ok(Vec::new()));
    });
}

#[test]
fn forged_provisions_change_nothing() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        let second = world.another(&a).await;
        let bobs = b.lock().await.state.account.credential.clone();
        let changes: [&dyn Fn(&mut ProvisionTbs); 7] = [
            &|it| it.created_at -= 2 * 86_400,
            &|it| it.created_at += 3_600,
            &|it| it.target.client = a.id().client,
            &|it| it.target.user = b.user().clone(),
            &|it| it.package = [0; 32],
            // Only a part.
            &|it| it.friends_in_all = 7,
            // Signed by a key that is not the credential's.
            &|it| it.credential = bobs.clone(),
        ];

        for change in changes {
            let sealed = seal(&a, (&a, &second), change).await;
            enqueue(&a, &second, sealed).await;
        }
        // Of another user; signed by another one for this.
        for (signer, change) in [
            (&b, (&|_: &mut ProvisionTbs| {}) as &dyn Fn(&mut ProvisionTbs)),
            (&b, &|it| {
                it.credential.payload.client = a.id().clone();
            }),
        ] {
            let sealed = seal(&a, (signer, &second), change).await;
            enqueue(&a, &second, sealed).await;
        }

        assert_eq!(second.sync(Duration::from_secs(1)).await, Ok(Vec::new()));
        let accepted = second.accept_provision(a.id().client, &read_out(&a).await).await;
        assert_eq!(accepted, Err(ClientError::State("no such provision")));
        assert!(second.connections().await.is_empty());
    });
}

#[test]
fn who_is_connected_with_a_user_later_is_told_of_its_other_clients() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let second = world.another(&a).await;
        a.provision(second.id().client, &read_out(&second).await).await.expect("given");
        let (from, _) = until(&second, offered).await;
        second.accept_provision(from, &read_out(&a).await).await.expect("accepted");

        befriend(&a, &b).await;
        a.maintain().await.expect("maintained");

        let added = until(&b, |event| match event {
            Event::ClientAdded { client, .. } => Some(*client),
            _ => None,
        });
        assert_eq!(added.await, second.id().client);
    });
}

#[test]
fn a_provision_counts_once_and_only_by_the_fingerprint_that_the_user_read() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        let second = world.another(&a).await;
        let sealed = seal(&a, (&a, &second), &|_| {}).await;
        enqueue(&a, &second, sealed.clone()).await;
        let (from, _) = until(&second, offered).await;

        let refused = second.accept_provision(from, &read_out(&b).await).await;
        assert_eq!(refused, Err(ClientError::Unverified(Reject::Unauthenticated)));
        let refused = second.accept_provision(Uuid([7; 16]), &read_out(&a).await).await;
        assert_eq!(refused, Err(ClientError::State("no such provision")));
        assert!(second.lock().await.state.shared.is_none());
        second.accept_provision(from, &read_out(&a).await).await.expect("accepted");

        enqueue(&a, &second, sealed).await;
        assert_eq!(second.sync(Duration::from_secs(1)).await, Ok(Vec::new()));
        let refused = second.accept_provision(from, &read_out(&a).await).await;
        assert_eq!(refused, Err(ClientError::State("no such provision")));
    });
}

#[test]
fn a_provision_that_was_not_confirmed_for_a_day_is_over() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let second = world.another(&a).await;
        a.provision(second.id().client, &read_out(&second).await).await.expect("given");
        let (from, _) = until(&second, offered).await;

        world.clock.forward(2).await;

        let refused = second.accept_provision(from, &read_out(&a).await).await;
        assert_eq!(refused, Err(ClientError::State("no such provision")));
    });
}

fn offered(event: &Event) -> Option<(Uuid, KeyFingerprint)> {
    match event {
        Event::ProvisionOffered { from, fingerprint } => Some((*from, *fingerprint)),
        _ => None,
    }
}

/// What a user reads on a client's screen, and types on another's.
async fn read_out(client: &Client) -> KeyFingerprint {
    client.fingerprint().await.to_string().parse().expect("a fingerprint")
}

/// Adds users that are known like one that is.
fn know_many(session: &mut Session, like: &UserId, count: u8) {
    for number in 0..count {
        let Friend { keys, key, credential, ours, group, .. } = &session.state.friends[like];
        let friend = Friend {
            keys: keys.clone(),
            key: key.clone(),
            credential: *credential,
            ours: ours.clone(),
            is_told: phoenix_core::wire::Flag::No,
            further: Default::default(),
            is_news_due: phoenix_core::wire::Flag::No,
            shown: None,
            is_revoked: false.into(),
            group: group.clone(),
            circuit: 0,
        };
        session.state.friends.insert(UserId { uuid: Uuid([number; 16]), ..like.clone() }, friend);
    }
}

/// A provision from a client to another, signed by that client or someone else, with something else in it.
async fn seal(
    to_package_of: &Client,
    (signer, to): (&Client, &Client),
    change: &dyn Fn(&mut ProvisionTbs),
) -> Opaque<MAX_OFFER> {
    let package = to_package_of.lock().await.package_of(to.id()).await.expect("a package");
    let (key, hash) = (package.payload.package.encryption_key.clone(), sha256(&package.encode()));
    let mut session = signer.lock().await;
    let mut payload = ProvisionTbs {
        credential: session.state.account.credential.clone(),
        target: to.id().clone(),
        package: hash,
        created_at: session.now().as_secs(),
        shared: session.shared().expect("set up"),
        friends_in_all: 0,
        friends: List::default(),
    };
    change(&mut payload);
    let provision = Provision::sign(payload, session.signer.as_ref()).expect("signed");
    DirectMessage::Provision(provision).seal(&key, &hash, &mut session.chance).expect("sealed")
}

async fn enqueue(from: &Client, to: &Client, ciphertext: Opaque<MAX_OFFER>) {
    let mut session = from.lock().await;
    let route = session.fresh_route(&to.user().domain);
    let request = EnqueueOfferRequest { to: to.id().clone(), ciphertext };
    session.call::<EnqueueOffer>(&route, None, &request).await.expect("enqueued");
}

/// The package of a client, in the AS's hand: another key under the same name.
fn swap(
    package: ConnectionPackage,
    victim: &ClientId,
    evil: &Evil,
    key: &SigningKey,
    now: phoenix_core::Timestamp,
) -> ConnectionPackage {
    if package.payload.credential.payload.client != *victim {
        return package;
    }
    let mut payload = package.payload.package;
    let sealing = HpkeSecretKey::generate(Suite::Ed25519, &mut Chance::from_seed([3; 32]));
    payload.encryption_key = sealing.public_key().clone();
    let credential = evil.credential(victim, key, now);
    ConnectionPackage::sign(payload, credential, key).expect("signed")
}
