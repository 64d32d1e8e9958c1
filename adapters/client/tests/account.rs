//! The account: further clients, the credential, the password, profiles, the end.

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

use std::time::Duration;

use phoenix_client::{Client, ClientError, Event, ProfileKey, Settings};
use phoenix_core::{
    ErrorCode, UserId, Uuid,
    port::{PartitionKey, Space},
    store::MemoryStore,
    token::Class,
    wire::Secret,
};
use phoenix_homeserver::Builder;

use support::{again, befriend, connected, offer, play, play_with, settings, text, until};

#[test]
fn a_further_client_of_a_user_is_reached_as_the_first_is() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let second = world.another(&b).await;
        assert_eq!(second.user(), b.user());
        assert_ne!(second.id(), b.id());

        a.connect(b.user()).await.expect("offered");

        until(&b, offer).await;
        let offered = until(&second, offer).await;
        second.accept(offered).await.expect("accepted");
        assert_eq!(until(&a, connected).await, *b.user());
    });
}

#[test]
fn who_has_no_password_does_not_learn_whether_the_user_exists() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let wrong = Settings { password: "guess".to_owned().into(), ..again(&a) };
        let nobody = Settings { user: Some(Uuid([7; 16])), ..settings("alpha.test") };

        for settings in [wrong, nobody] {
            let refused = Client::log_in(settings, world.ports()).await;
            assert_eq!(refused.expect_err("no password"), ClientError::WrongPassword);
        }
        let nameless = Client::log_in(settings("alpha.test"), world.ports()).await;
        assert!(matches!(nameless, Err(ClientError::State(_))));
    });
}

#[test]
fn after_many_failed_logins_work_is_asked_for_and_done() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        for _ in 0..10 {
            let wrong = Settings { password: "guess".to_owned().into(), ..again(&a) };
            let refused = Client::log_in(wrong, world.ports()).await;
            assert_eq!(refused.expect_err("no password"), ClientError::WrongPassword);
        }

        let lazy = Client::log_in(Settings { work_bits: 3, ..again(&a) }, world.ports()).await;

        assert!(matches!(lazy, Err(ClientError::TooMuchWork(_))), "{lazy:?}");
        Client::log_in(again(&a), world.ports()).await.expect("logged in");
        // Its own clients are not locked out.
        a.change_password("password", "another").await.expect("changed");
    });
}

#[test]
fn a_client_that_was_removed_is_told_to_its_friends_and_not_believed_any_more() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let stolen = world.another(&b).await;
        let group = a.connect(b.user()).await.expect("offered");
        let offered = until(&stolen, offer).await;
        stolen.accept(offered).await.expect("accepted");
        until(&a, connected).await;
        stolen.send(&group, "before").await.expect("sent");
        assert_eq!(until(&a, text).await, "before");

        let refused = b.remove_client(stolen.id().client, "guess").await;
        assert_eq!(refused, Err(ClientError::WrongPassword));
        b.remove_client(stolen.id().client, "password").await.expect("removed");

        let again = b.remove_client(stolen.id().client, "password").await;
        assert_eq!(again.expect_err("gone").code(), Some(ErrorCode::NotFound));
        let refused = stolen.fetch_tokens(&b.user().domain, Class::Standard).await;
        assert_eq!(refused.expect_err("revoked").code(), Some(ErrorCode::Unauthenticated));
        stolen.send(&group, "after").await.expect("its leaf stands still");
        a.check_authority(&b.user().domain).await.expect("checked");
        let mut told = None;
        until(&a, |event| {
            assert_eq!(text(event), None);
            told = told.take().or_else(|| revoked(event));
            matches!(event, Event::Unverified { .. }).then_some(())
        })
        .await;
        assert_eq!(told.as_ref(), Some(b.user()));
        // Whoever is admin removes it at once.
        until(&stolen, |event| matches!(event, Event::Removed { .. }).then_some(())).await;
        stolen.check_authority(&b.user().domain).await.expect("checked");
        assert_eq!(until(&stolen, revoked).await, *b.user());
    });
}

#[test]
fn an_offer_from_a_client_that_was_removed_is_refused() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let stolen = world.another(&b).await;
        // It has all that an offer takes.
        stolen.fetch_tokens(&a.user().domain, Class::Contact).await.expect("fetched");
        b.remove_client(stolen.id().client, "password").await.expect("removed");

        stolen.connect(a.user()).await.expect("nobody asks who offers");

        let events = a.sync(Duration::from_secs(1)).await.expect("synced");
        assert!(events.iter().all(|event| offer(event).is_none()), "{events:?}");
    });
}

#[test]
fn a_renewed_credential_is_of_the_same_key_and_friends_notice_nothing() {
    play(&["alpha.test"], async |world| {
        let (a, b, c) =
            (world.user("alpha.test").await, world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        let number = a.safety_number(b.user()).await.expect("friends");

        b.renew_credential().await.expect("renewed");

        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited");
        until(&b, support::joined).await;
        b.send(&group, "the same").await.expect("sent");
        until(&a, |event| {
            assert!(!matches!(event, Event::KeyChanged { .. } | Event::Unverified { .. }), "{event:?}");
            text(event)
        })
        .await;
        assert_eq!(a.safety_number(b.user()).await.expect("friends"), number);
        befriend(&c, &b).await;
    });
}

#[test]
fn maintenance_renews_the_credential_when_a_third_of_its_time_is_left() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        a.maintain().await.expect("maintained");
        let before = a.valid_until().await;

        world.clock.forward(58).await;
        a.maintain().await.expect("maintained");
        assert_eq!(a.valid_until().await, before);

        world.clock.forward(4).await;
        a.maintain().await.expect("maintained");
        assert!(a.valid_until().await > before);

        // The first has ended, and whoever looks for it finds the second.
        world.clock.forward(29).await;
        let refused = b.fetch_tokens(&b.user().domain, Class::Standard).await;
        assert_eq!(refused.expect_err("ended").code(), Some(ErrorCode::Unauthenticated));
        a.fetch_tokens(&a.user().domain, Class::Standard).await.expect("fetched");
    });
}

#[test]
fn after_a_change_of_password_only_the_new_one_logs_in() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let refused = a.change_password("guess", "another").await;
        assert_eq!(refused, Err(ClientError::WrongPassword));

        a.change_password("password", "another").await.expect("changed");

        let old = Client::log_in(again(&a), world.ports()).await;
        assert_eq!(old.expect_err("changed"), ClientError::WrongPassword);
        let new = Settings { password: "another".to_owned().into(), ..again(&a) };
        Client::log_in(new, world.ports()).await.expect("logged in");
    });
}

#[test]
fn a_user_that_deleted_itself_is_gone() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        assert_eq!(b.delete_user("guess").await, Err(ClientError::WrongPassword));

        b.delete_user("password").await.expect("deleted");

        let refused = b.fetch_tokens(&b.user().domain, Class::Standard).await;
        assert_eq!(refused.expect_err("gone").code(), Some(ErrorCode::Unauthenticated));
        a.check_authority(&b.user().domain).await.expect("checked");
        assert_eq!(until(&a, revoked).await, *b.user());
        let c = world.user("alpha.test").await;
        assert_eq!(c.connect(b.user()).await.expect_err("gone").code(), Some(ErrorCode::NotFound));
        let back = Client::log_in(again(&b), world.ports()).await;
        assert_eq!(back.expect_err("gone"), ClientError::WrongPassword);
    });
}

#[test]
fn a_user_that_deleted_itself_leaves_nothing_at_the_queuing_service_whatever_clients_it_had() {
    let store = MemoryStore::new();
    let set_up = |builder: Builder| builder.store(store.clone());
    play_with(&["alpha.test"], set_up, async |world| {
        // given a user whose two clients share its record, the second by another client's word
        let before = kept_by_the_queuing_service(&store);
        let a = world.user("alpha.test").await;
        let second = world.another(&a).await;
        a.provision(second.id().client, &second.fingerprint().await).await.expect("given");
        let from = until(&second, |event| match event {
            Event::ProvisionOffered { from, .. } => Some(*from),
            _ => None,
        });
        let from = from.await;
        second.accept_provision(from, &a.fingerprint().await).await.expect("accepted");
        assert_eq!(a.queue_record().await.expect("read").clients.len(), 2);
        assert_eq!(a.delete_user("guess").await, Err(ClientError::WrongPassword));
        assert_eq!(a.queue_record().await.expect("still there").clients.len(), 2);

        // when one of them deletes the user, and does not hear that the record is gone
        world.net.lose_answer("delete_user");
        second.delete_user("password").await.expect("deleted");

        // then there is neither record, nor queue, nor package of either
        assert_eq!(kept_by_the_queuing_service(&store), before);
        let refused = a.fetch_tokens(&a.user().domain, Class::Standard).await;
        assert_eq!(refused.expect_err("gone").code(), Some(ErrorCode::Unauthenticated));
    });
}

#[test]
fn the_last_two_versions_of_a_profile_can_be_read_by_who_has_their_keys() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let mut keys = Vec::new();
        for content in ["Bob", "Bob!", "Bob!!"] {
            keys.push(b.update_profile(content.as_bytes()).await.expect("published"));
        }
        // Another client of the user goes on from there.
        let second = world.another(&b).await;
        keys.push(second.update_profile(b"Robert").await.expect("published"));

        let read = async |key: &ProfileKey| a.profile(b.user(), key).await;

        assert_eq!(read(&keys[3]).await, Ok(b"Robert".to_vec()));
        assert_eq!(read(&keys[2]).await, Ok(b"Bob!!".to_vec()));
        assert_eq!(read(&keys[1]).await.expect_err("gone").code(), Some(ErrorCode::NotFound));
        let guess = ProfileKey { key: Secret::new([7; 32]), ..keys[3].clone() };
        assert!(matches!(read(&guess).await, Err(ClientError::Unverified(_))));
        let swapped = ProfileKey { key: keys[2].key.clone(), ..keys[3].clone() };
        assert!(matches!(read(&swapped).await, Err(ClientError::Unverified(_))));
    });
}

#[test]
fn an_alias_is_kept_while_it_is_renewed_and_free_once_it_is_given_up() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        let alias = b.register_alias("Carol").await.expect("registered");
        b.renew_alias(&alias).await.expect("renewed");
        assert!(a.register_alias("carol").await.is_err());

        b.delete_alias(&alias).await.expect("deleted");

        assert!(matches!(b.renew_alias(&alias).await, Err(ClientError::State(_))));
        a.register_alias("carol").await.expect("free again");
    });
}

#[test]
fn what_was_done_though_its_answer_was_lost_is_not_reported_as_a_failure() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let second = world.another(&a).await;
        world.net.lose_answer("remove_client");
        a.remove_client(second.id().client, "password").await.expect("removed");
        world.net.lose_answer("renew_credential");
        a.renew_credential().await.expect("renewed");
        world.net.lose_answer("change_password");
        let begun = a.change_password("password", "another").await;
        // A first step that was lost has used up its login.
        let password = if begun.is_ok() { "another" } else { "password" };
        world.net.lose_answer("update_profile");
        let key = a.update_profile(b"Alice").await.expect("published");
        assert_eq!(a.profile(a.user(), &key).await, Ok(b"Alice".to_vec()));
        let alias = a.register_alias("Carol").await.expect("registered");
        world.net.lose_answer("alias_delete");
        a.delete_alias(&alias).await.expect("deleted");
        world.net.lose_answer("add_client_finish");
        let settings = Settings { password: password.to_owned().into(), ..again(&a) };
        Client::log_in(settings, world.ports()).await.expect("logged in");
        world.net.lose_answer("delete_user");

        a.delete_user(password).await.expect("deleted");
    });
}

#[test]
fn a_renewal_whose_answer_was_lost_is_completed_by_the_next() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        world.clock.forward(62).await;
        let before = a.valid_until().await;
        world.net.cut("renew_credential", true);
        a.renew_credential().await.expect_err("no answer");
        world.net.cut("renew_credential", false);
        world.clock.forward(1).await;

        a.renew_credential().await.expect("renewed");

        assert!(a.valid_until().await > before);
    });
}

#[test]
fn a_change_of_the_password_can_be_repeated() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        a.change_password("password", "another").await.expect("changed");

        a.change_password("password", "another").await.expect("changed already");

        assert_eq!(a.change_password("guess", "third").await, Err(ClientError::WrongPassword));
    });
}

#[test]
fn a_profile_whose_answer_was_lost_neither_costs_the_key_before_nor_its_own() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let first = a.update_profile(b"Alice").await.expect("published");
        world.net.cut("update_profile", true);
        a.update_profile(b"Alice!").await.expect_err("no answer");
        world.net.cut("update_profile", false);
        assert_eq!(a.profile_key().await.as_ref(), Some(&first));

        let second = a.update_profile(b"Alice!").await.expect("published");

        assert_eq!(second.version, 2);
        assert_eq!(a.profile(a.user(), &second).await, Ok(b"Alice!".to_vec()));
        assert_eq!(a.profile(a.user(), &first).await, Ok(b"Alice".to_vec()));
    });
}

fn kept_by_the_queuing_service(store: &MemoryStore) -> Vec<PartitionKey> {
    store.dump().into_iter().map(|(at, _)| at).filter(|at| at.space() == Space::Qs).collect()
}

fn revoked(event: &Event) -> Option<UserId> {
    match event {
        Event::Revoked { user } => Some(user.clone()),
        _ => None,
    }
}
