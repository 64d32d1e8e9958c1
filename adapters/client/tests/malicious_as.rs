//! An AS that lies to a client does not make it believe what is not so.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_client::{Client, ClientError, ClientPorts, Event};
use phoenix_core::{
    AliasHash, ErrorReply, Fqdn, Reject, Uuid,
    api::{
        ServiceName,
        auth::{AliasOfferRequest, ConnectionPackages, RevokedSinceReply},
    },
    credential::{AsIdentity, ClientCredential, ConnectionPackage},
    crypto::{AtRestKey, Chance, HpkeSecretKey, SigningKey, Suite},
    port::{Clock, Outgoing, Transport, TransportError},
    token::Class,
    wire::{List, Opaque, Secret, Wire},
};

use support::{Net, World, befriend, connected, evil::Evil, lie_about, offer, play, until};

#[test]
fn t16_a_second_credential_for_a_friend_is_told_and_nothing_of_it_believed() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        // Nothing but a credential that the AS signed tells it from the friend.
        let impostor = world.another(&b).await;

        impostor.connect(a.user()).await.expect("offered");

        let mut told = Vec::new();
        until(&a, |event| {
            told.push(event.clone());
            matches!(event, Event::KeyChanged { user } if user == b.user()).then_some(())
        })
        .await;
        assert!(told.iter().all(|event| offer(event).is_none()), "{told:?}");
        assert_eq!(a.safety_number(b.user()).await, b.safety_number(a.user()).await);
    });
}

#[test]
fn t16_who_stands_between_two_users_shows_them_two_safety_numbers() {
    play(&["alpha.test"], async |world| {
        let told = Arc::new(Mutex::new(Vec::new()));
        let a = world.user_with("alpha.test", standing_between(&world, &told)).await;
        let b = world.user("alpha.test").await;
        let (as_a, as_b) = (world.another(&a).await, world.another(&b).await);
        told.lock().expect("no panic before").push(as_b.id().client);

        // Alice reaches whoever the AS made Bob, and Bob is reached by whom it made Alice.
        a.connect(b.user()).await.expect("offered");
        let offered = until(&as_b, offer).await;
        as_b.accept(offered).await.expect("accepted");
        assert_eq!(until(&a, connected).await, *b.user());
        as_a.connect(b.user()).await.expect("offered");
        let offered = until(&b, offer).await;
        b.accept(offered).await.expect("accepted");
        until(&as_a, connected).await;

        let (hers, his) = (a.safety_number(b.user()).await, b.safety_number(a.user()).await);
        assert_ne!(hers.expect("connected"), his.expect("connected"));
    });
}

#[test]
fn t16_an_offer_by_a_swapped_package_of_an_alias_is_shown_to_nobody() {
    play(&["alpha.test"], async |world| {
        // given an AS that shows Mallory's package to whoever asks for Bob's, and hands her the offers to him
        let (b, mallory) = (world.user("alpha.test").await, world.user("alpha.test").await);
        let to_b = b.register_alias("Bob").await.expect("registered");
        let to_mallory = mallory.register_alias("Mallory").await.expect("registered");
        let swapped = Swapped { net: world.net.clone(), asked: to_b, instead: to_mallory, is_handed: true };
        let a = world.user_with("alpha.test", world.ports_over(swapped.clone())).await;

        // when an offer is made to Bob; and when it comes to him after all, by the package that is not his
        let group = a.connect_alias("Bob", &b.user().domain).await.expect("offered");
        let swapped = Swapped { is_handed: false, ..swapped };
        let c = world.user_with("alpha.test", world.ports_over(swapped)).await;
        c.connect_alias("Bob", &b.user().domain).await.expect("offered");

        // then it is shown to neither, since it names Bob's alias and is sealed to Mallory's package
        for client in [&b, &mallory] {
            let events = client.sync(Duration::from_secs(1)).await.expect("synced");
            assert_eq!(events.iter().find_map(offer), None, "{events:?}");
        }
        assert_eq!(a.members(&group).await.expect("members").len(), 1);
        assert!(a.connections().await.is_empty());
    });
}

#[test]
fn t16_another_user_who_answers_for_an_alias_is_no_connection_by_itself() {
    play(&["alpha.test"], async |world| {
        // given an AS that has given Bob's alias to Mallory
        let (a, mallory) = (world.user("alpha.test").await, world.user("alpha.test").await);
        mallory.register_alias("Bob").await.expect("registered");
        let group = a.connect_alias("Bob", &a.user().domain).await.expect("offered");
        let offered = until(&mallory, offer).await;
        mallory.accept(offered).await.expect("accepted");

        // when she answers
        let answered = until(&a, |event| match event {
            Event::AliasAnswered { group, user } => Some((group.clone(), user.clone())),
            _ => None,
        });

        // then it is told who that is, and nothing is hers before it is confirmed
        assert_eq!(answered.await, (group.clone(), mallory.user().clone()));
        assert!(a.connections().await.is_empty());
        a.safety_number(mallory.user()).await.expect_err("not connected");
        let other = a.create_group().await.expect("created");
        let refused = a.invite(&other, &[mallory.user().clone()]).await;
        assert_eq!(refused, Err(ClientError::State("not connected")));
    });
}

#[test]
fn the_safety_number_is_the_same_for_both_where_nobody_stands_between() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;

        assert_eq!(a.safety_number(b.user()).await, b.safety_number(a.user()).await);
    });
}

#[test]
fn t16_another_credential_than_was_asked_for_is_refused() {
    play(&["alpha.test"], async |world| {
        let now = world.clock.now();
        let evil = Arc::new(Evil::of("alpha.test", now, 1));
        let taken = Arc::new(Mutex::new(None::<ClientCredential>));
        let another = lie_about("register_finish", {
            let taken = taken.clone();
            move |reply| {
                // The last user's, who has another key and id.
                let credential = ClientCredential::decode(reply).expect("a credential");
                let before = taken.lock().expect("no panic before").replace(credential);
                before.map_or(Bytes::copy_from_slice(reply), |it| it.encode())
            }
        });
        Client::register(support::settings("alpha.test"), world.lied_to(another.clone()))
            .await
            .expect("the first");

        let same_id = lie_about("register_finish", {
            move |reply| {
                let client = ClientCredential::decode(reply).expect("a credential").payload.client;
                let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([2; 32]));
                evil.credential(&client, &key, now).encode()
            }
        });

        for lie in [Arc::new(another) as Arc<support::Lie>, Arc::new(same_id)] {
            let ports = world.lied_to(move |domain: &Fqdn, name: &str, reply| lie(domain, name, reply));
            let refused = Client::register(support::settings("alpha.test"), ports).await;
            let refused = refused.expect_err("another credential");
            assert!(
                matches!(refused, ClientError::Unexpected(_) | ClientError::Unverified(_)),
                "{refused:?}"
            );
        }
    });
}

#[test]
fn keys_of_another_domain_are_refused() {
    play(&["alpha.test", "beta.test"], async |world| {
        let beta = Arc::new(Mutex::new(Bytes::new()));
        let lie = {
            let beta = beta.clone();
            move |domain: &Fqdn, name: &str, reply: Bytes| match (domain.as_str(), name) {
                ("beta.test", "as_credentials") => {
                    *beta.lock().expect("no panic before") = reply.clone();
                    reply
                }
                ("alpha.test", "as_credentials") => {
                    let other = beta.lock().expect("no panic before").clone();
                    if other.is_empty() { reply } else { other }
                }
                _ => reply,
            }
        };
        let ports = world.lied_to(lie);
        Client::register(support::settings("beta.test"), ports.clone()).await.expect("registered");

        let refused = Client::register(support::settings("alpha.test"), ports).await;

        assert_eq!(refused.expect_err("of beta"), ClientError::Unverified(Reject::Unauthenticated));
    });
}

#[test]
fn a_swapped_connection_package_is_refused() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (b, c) = (world.user("beta.test").await, world.user("beta.test").await);
        let of_c = Arc::new(Mutex::new(None::<Bytes>));
        // Of another user; of another key; of another user with this one's credential.
        let of_another = {
            let of_c = of_c.clone();
            lie_about("get_connection_package", move |reply| {
                let mut of_c = of_c.lock().expect("no panic before");
                of_c.get_or_insert_with(|| Bytes::copy_from_slice(reply)).clone()
            })
        };
        let a = world.user_with("alpha.test", world.lied_to(of_another)).await;
        a.connect(c.user()).await.expect("the truth so far");
        let refused = a.connect(b.user()).await;
        assert_eq!(refused.expect_err("of c"), ClientError::Unexpected("another user's connection package"));

        let of_another_key = lie_about("get_connection_package", |reply| {
            let key = HpkeSecretKey::generate(Suite::Ed25519, &mut Chance::from_seed([2; 32]));
            change_packages(reply, |it| {
                it.payload.package.encryption_key = key.public_key().clone();
            })
        });
        let a = world.user_with("alpha.test", world.lied_to(of_another_key)).await;
        let refused = a.connect(b.user()).await;
        assert_eq!(refused.expect_err("unsigned"), ClientError::Unverified(Reject::Unauthenticated));
    });
}

#[test]
fn keys_that_go_back_are_refused_also_after_a_restart() {
    play(&["alpha.test", "beta.test"], async |world| {
        let b = world.user("beta.test").await;
        let tape = Arc::new(Mutex::new(Tape::default()));
        let a = world.user_with("alpha.test", world.lied_to(Tape::lie(&tape))).await;
        let beta = &b.user().domain;
        a.check_authority(beta).await.expect("the first");
        let stolen = world.another(&b).await;
        b.remove_client(stolen.id().client, "password").await.expect("removed");
        a.check_authority(beta).await.expect("the second");

        // From now on it says what it said first, when nobody was revoked.
        tape.lock().expect("no panic before").is_replayed = true;

        let refused = a.check_authority(beta).await;
        assert_eq!(refused.expect_err("back"), ClientError::Unexpected("the AS went back to older keys"));
        let key = AtRestKey::new(Secret::new([7; 32]));
        let saved = a.export(&key).await;
        let habits = support::settings("alpha.test").habits;
        let ports = world.lied_to(Tape::lie(&tape));
        let a = Client::import(&saved, &key, ports, habits, None).expect("imported");
        let refused = a.check_authority(beta).await;
        assert_eq!(refused.expect_err("back"), ClientError::Unexpected("the AS went back to older keys"));
    });
}

#[test]
fn a_stolen_root_that_was_revoked_does_not_take_that_back() {
    play(&["alpha.test", "beta.test"], async |world| {
        let now = world.clock.now();
        let (honest, stolen) = (Evil::of("beta.test", now, 1), Evil::of("beta.test", now, 2));
        let stage = Arc::new(Mutex::new(0));
        let told = stage.clone();
        let lie = move |domain: &Fqdn, name: &str, reply: Bytes| {
            if (domain.as_str(), name) != ("beta.test", "as_credentials") {
                return reply;
            }
            let both = AsIdentity::decode(&honest.beside(&stolen.beside(&reply))).expect("an identity");
            let without = honest.revoke(&both, vec![stolen.root()]);
            match *told.lock().expect("no panic before") {
                0 => both.encode(),
                1 => without.encode(),
                _ => stolen.revoke(&stolen.revoke(&both, Vec::new()), Vec::new()).encode(),
            }
        };
        let a = world.user_with("alpha.test", world.lied_to(lie)).await;
        let beta: Fqdn = "beta.test".parse().expect("domain");
        a.check_authority(&beta).await.expect("both");
        *stage.lock().expect("no panic before") = 1;
        a.check_authority(&beta).await.expect("revoked");

        *stage.lock().expect("no panic before") = 2;

        let refused = a.check_authority(&beta).await;
        assert_eq!(
            refused.expect_err("taken back"),
            ClientError::Unexpected("the AS went back to older keys")
        );
    });
}

#[test]
fn another_revocation_list_or_statement_of_the_same_serial_is_refused() {
    play(&["alpha.test", "beta.test"], async |world| {
        let evil = Arc::new(Evil::of("beta.test", world.clock.now(), 1));
        let asked = Arc::new(Mutex::new(0));
        let lie = {
            let asked = asked.clone();
            move |domain: &Fqdn, name: &str, reply: Bytes| match (domain.as_str(), name) {
                ("beta.test", "as_credentials") => {
                    let mut asked = asked.lock().expect("no panic before");
                    *asked += 1;
                    // The same serials, and more that the statement vouches for.
                    if *asked == 1 { evil.beside(&reply) } else { twice(&evil, &reply) }
                }
                _ => reply,
            }
        };
        let ports = world.lied_to(lie);
        let a = world.user_with("alpha.test", ports).await;
        let beta: Fqdn = "beta.test".parse().expect("domain");
        a.check_authority(&beta).await.expect("the first");
        let b = world.user("beta.test").await;
        let stolen = world.another(&b).await;
        b.remove_client(stolen.id().client, "password").await.expect("removed");

        let refused = a.check_authority(&beta).await;

        assert_eq!(refused.expect_err("differs"), ClientError::Unexpected("the AS went back to older keys"));
    });
}

#[test]
fn what_an_unlisted_intermediate_signed_is_refused() {
    play(&["alpha.test"], async |world| {
        let evil = Arc::new(Evil::of("alpha.test", world.clock.now(), 1));
        let revocations = {
            let evil = evil.clone();
            lie_about("as_credentials", move |reply| {
                let identity = AsIdentity::decode(reply).expect("an identity");
                let revocations = evil.revocations(&identity, 9, Vec::new());
                AsIdentity { revocations, ..identity }.encode()
            })
        };
        let refused = Client::register(support::settings("alpha.test"), world.lied_to(revocations)).await;
        assert_eq!(refused.expect_err("unlisted"), ClientError::Unverified(Reject::Unauthenticated));

        let keys = lie_about("token_keys", move |reply| evil.key_list(reply, |_, _| {}));
        let a =
            Client::register(support::settings("alpha.test"), world.lied_to(keys)).await.expect("registered");
        let refused = a.fetch_tokens(&a.user().domain, Class::Standard).await;
        assert_eq!(refused.expect_err("unlisted"), ClientError::Unverified(Reject::Unauthenticated));
        assert_eq!(a.tokens_left(&a.user().domain, Class::Standard).await, 0);
    });
}

/// Ports of a client whom the AS shows only the packages of chosen clients, if it has chosen any.
fn standing_between(world: &World, chosen: &Arc<Mutex<Vec<Uuid>>>) -> ClientPorts {
    let chosen = chosen.clone();
    world.lied_to(lie_about("get_connection_package", move |reply| {
        let chosen = chosen.lock().expect("no panic before");
        let mut packages = ConnectionPackages::decode(reply).expect("packages").packages.to_vec();
        packages.retain(|it| chosen.contains(&it.payload.credential.payload.client.client));
        ConnectionPackages { packages: List::new(packages).expect("few") }.encode()
    }))
}

fn change_packages(reply: &[u8], change: impl Fn(&mut ConnectionPackage)) -> Bytes {
    let mut packages = ConnectionPackages::decode(reply).expect("packages").packages.to_vec();
    packages.iter_mut().for_each(change);
    ConnectionPackages { packages: List::new(packages).expect("few") }.encode()
}

/// Twice the same serial, and once more of it in the statement.
fn twice(evil: &Evil, reply: &[u8]) -> Bytes {
    let identity = AsIdentity::decode(reply).expect("an identity");
    let serials = (identity.statement.payload.serial + 1, identity.revocations.payload.serial - 1);
    evil.publish(&identity, serials, identity.revocations.payload.entries.to_vec()).encode()
}

/// A way to an AS that shows the packages of another alias than that which is asked for.
#[derive(Clone)]
struct Swapped {
    net: Net,
    asked: AliasHash,
    instead: AliasHash,
    /// Whether it hands that one's owner the offers, too.
    is_handed: bool,
}

#[async_trait]
impl Transport for Swapped {
    async fn send(
        &self,
        to: &Fqdn,
        mut outgoing: Outgoing,
    ) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let body = &mut outgoing.call.body;
        match outgoing.name {
            "alias_get_package" if *body.as_slice() == *self.asked.encode() => {
                *body = Opaque::new(self.instead.encode()).expect("short");
            }
            "alias_enqueue_offer" if self.is_handed => {
                let request = AliasOfferRequest::decode(body.as_slice()).expect("an offer");
                let request = AliasOfferRequest { to: self.instead, ..request };
                *body = Opaque::new(request.encode()).expect("short");
            }
            _ => {}
        }
        self.net.send(to, outgoing).await
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.net.fetch(from, service).await
    }
}

/// What beta's AS said first.
#[derive(Default)]
struct Tape {
    first: BTreeMap<String, Bytes>,
    is_replayed: bool,
}

impl Tape {
    fn lie(tape: &Arc<Mutex<Self>>) -> impl Fn(&Fqdn, &str, Bytes) -> Bytes + Send + Sync + 'static {
        let tape = tape.clone();
        move |domain, name, reply| {
            if domain.as_str() != "beta.test" || !matches!(name, "as_credentials" | "revoked_since") {
                return reply;
            }
            let mut tape = tape.lock().expect("no panic before");
            let first = tape.first.entry(name.to_owned()).or_insert_with(|| reply.clone()).clone();
            match (tape.is_replayed, name) {
                (true, "as_credentials") => first,
                // So that the client asks for all of it.
                (true, _) => {
                    let mut news = RevokedSinceReply::decode(&reply).expect("a delta");
                    news.delta.payload.serial += 1;
                    news.encode()
                }
                (false, _) => reply,
            }
        }
    }
}
