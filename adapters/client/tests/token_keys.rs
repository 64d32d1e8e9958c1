//! An AS that issues tokens of a key made for one client, to tell it apart (T17).

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
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_client::{Client, ClientError, ClientPorts, Event};
use phoenix_core::{
    ErrorReply, Fqdn, Reject,
    api::{
        ServiceName,
        tokens::{IssueReply, IssueRequest},
    },
    crypto::{AtRestKey, Chance},
    port::{Clock, Outgoing, Transport, TransportError},
    token::{Class, TokenSecretKey, TokenType},
    wire::{Opaque, Secret, Wire},
};

use support::{Net, World, befriend, evil::Evil, play};

#[test]
fn t17_tokens_of_a_key_that_is_not_in_the_list_are_refused() {
    play(&["alpha.test"], async |world| {
        let a = Client::register(support::settings("alpha.test"), issuing_for_one(&world, false)).await;
        let a = a.expect("registered");

        let refused = a.fetch_tokens(&a.user().domain, Class::Standard).await;

        assert_eq!(refused.expect_err("of another key"), ClientError::Unverified(Reject::TokenInvalid));
        assert_eq!(a.tokens_left(&a.user().domain, Class::Standard).await, 0);
    });
}

#[test]
fn t17_a_key_list_made_for_one_client_is_found_out_over_a_second_path() {
    play(&["alpha.test"], async |world| {
        let honest = world.user("alpha.test").await;
        let domain = honest.user().domain.clone();
        let mut ports = issuing_for_one(&world, true);
        let witness = world.lied_to(listing_evil(&world)).transport;
        let a = Client::register(support::settings("alpha.test"), ports.clone()).await.expect("registered");
        // By itself it looks as it should: signed, and with tokens that verify.
        a.fetch_tokens(&domain, Class::Standard).await.expect("fetched");
        assert_eq!(a.tokens_left(&domain, Class::Standard).await, 20);
        let key = AtRestKey::new(Secret::new([7; 32]));
        let saved = a.export(&key).await;
        ports.witness = Some(witness);
        let a = Client::import(&saved, &key, ports, support::settings("alpha.test").habits, None);
        let a = a.expect("imported");

        let found = a.check_token_keys(&domain).await;

        assert_eq!(found, Err(ClientError::TokenKeysDiffer));
        let told = a.sync(Duration::ZERO).await.expect("synced");
        assert!(told.contains(&Event::TokenKeysDiffer { domain: domain.clone() }), "{told:?}");
        // None of them tells who it is.
        assert_eq!(a.tokens_left(&domain, Class::Standard).await, 0);
        assert_eq!(a.take_token(&domain, Class::Standard).await, Err(ClientError::TokenKeysDiffer));
        assert_eq!(a.fetch_tokens(&domain, Class::Standard).await, Err(ClientError::TokenKeysDiffer));
    });
}

#[test]
fn t17_where_there_is_a_second_path_no_token_is_fetched_by_a_list_that_was_not_compared() {
    play(&["alpha.test"], async |world| {
        let mut ports = issuing_for_one(&world, true);
        ports.witness = Some(world.lied_to(listing_evil(&world)).transport);
        let a = Client::register(support::settings("alpha.test"), ports).await.expect("registered");

        let found = a.fetch_tokens(&a.user().domain, Class::Standard).await;

        assert_eq!(found, Err(ClientError::TokenKeysDiffer));
        assert_eq!(a.tokens_left(&a.user().domain, Class::Standard).await, 0);
    });
}

#[test]
fn tokens_are_fetched_ahead_though_another_homeserver_is_dead() {
    play(&["alpha.test", "beta.test", "gamma.test"], async |world| {
        let dead = Arc::new(AtomicBool::new(false));
        let ports = world.ports_over(Mortal { net: world.net.clone(), is_dead: dead.clone() });
        let a = world.user_with("alpha.test", ports).await;
        let (b, c) = (world.user("beta.test").await, world.user("gamma.test").await);
        befriend(&a, &b).await;
        befriend(&a, &c).await;
        for domain in [&b.user().domain, &c.user().domain] {
            a.take_token(domain, Class::Standard).await.expect("taken");
            while a.tokens_left(domain, Class::Standard).await > 0 {
                a.take_token(domain, Class::Standard).await.expect("taken");
            }
        }

        dead.store(true, Ordering::SeqCst);
        let maintained = a.maintain().await;

        assert!(maintained.is_err_and(|error| error.is_transient()));
        assert_eq!(a.tokens_left(&b.user().domain, Class::Standard).await, 0);
        assert_eq!(a.tokens_left(&c.user().domain, Class::Standard).await, 20);
    });
}

#[test]
fn t17_one_list_for_everyone_is_found_to_be_so() {
    play(&["alpha.test"], async |world| {
        let mut ports = world.ports();
        ports.witness = Some(world.ports().transport);
        let a = world.user_with("alpha.test", ports).await;
        let domain = a.user().domain.clone();
        let left = a.tokens_left(&domain, Class::Standard).await;

        a.check_token_keys(&domain).await.expect("the same");
        a.maintain().await.expect("maintained");

        assert!(a.tokens_left(&domain, Class::Standard).await >= left);
    });
}

#[test]
fn a_list_of_token_keys_that_goes_back_is_refused() {
    play(&["alpha.test"], async |world| {
        let evil = Arc::new(Evil::of("alpha.test", world.clock.now(), 1));
        let serial = Arc::new(Mutex::new(9));
        let lie = {
            let told = serial.clone();
            move |_: &Fqdn, name: &str, reply: Bytes| match name {
                "as_credentials" => evil.beside(&reply),
                "token_keys" => {
                    evil.key_list(&reply, |serial, _| *serial += *told.lock().expect("no panic before"))
                }
                _ => reply,
            }
        };
        let mut ports = world.lied_to(lie);
        ports.witness = Some(ports.transport.clone());
        let a = Client::register(support::settings("alpha.test"), ports).await.expect("registered");
        a.fetch_tokens(&a.user().domain, Class::Standard).await.expect("the first");
        *serial.lock().expect("no panic before") = 8;

        let refused = a.check_token_keys(&a.user().domain).await;

        assert_eq!(refused, Err(ClientError::TokenKeysDiffer));
        let spent = a.take_token(&a.user().domain, Class::Standard).await;
        assert_eq!(spent, Err(ClientError::TokenKeysDiffer));
    });
}

/// A way to homeservers of which beta can die.
struct Mortal {
    net: Net,
    is_dead: Arc<AtomicBool>,
}

#[async_trait]
impl Transport for Mortal {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        if to.as_str() == "beta.test" && self.is_dead.load(Ordering::SeqCst) {
            return Err(TransportError::Unreachable);
        }
        self.net.send(to, outgoing).await
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.net.fetch(from, service).await
    }
}

/// Ports to an AS that gives a client a key of its own, in a list of its own or not, and issues with it.
fn issuing_for_one(world: &World, is_listed: bool) -> ClientPorts {
    let evil = Arc::new(Evil::of("alpha.test", world.clock.now(), 1));
    let key = TokenSecretKey::generate(TokenType::Ristretto255, &mut Chance::from_seed([9; 32]));
    let net = world.net.clone();
    let listed = key.public_key().to_vec();
    net.answer("issue_tokens", move |call| {
        let request = IssueRequest::decode(&call.body).expect("a request");
        let reply: IssueReply =
            key.evaluate(&request.blinded, &mut Chance::from_seed([3; 32])).expect("evaluated");
        reply.encode()
    });
    world.lied_to(move |_, name, reply| match name {
        "as_credentials" => evil.beside(&reply),
        "token_keys" if is_listed => evil.key_list(&reply, |_, keys| {
            for key in keys.iter_mut().filter(|key| key.token_type == TokenType::Ristretto255.number()) {
                key.public_key = Opaque::new(listed.clone()).expect("a key");
            }
        }),
        _ => reply,
    })
}

/// What the same AS says to everyone else.
fn listing_evil(world: &World) -> impl Fn(&Fqdn, &str, Bytes) -> Bytes + Send + Sync + 'static {
    let evil = Evil::of("alpha.test", world.clock.now(), 1);
    move |_, name, reply| match name {
        "as_credentials" => evil.beside(&reply),
        "token_keys" => evil.key_list(&reply, |_, _| {}),
        _ => reply,
    }
}
