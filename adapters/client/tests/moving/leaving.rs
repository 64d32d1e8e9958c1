//! When a queue that was left ends, and what goes with it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_client::{Client, ClientError, Event, Pace};
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn,
    api::ServiceName,
    crypto::AtRestKey,
    port::{Outgoing, Transport, TransportError},
    token::Class,
    wire::Secret,
};

use super::{
    HOMES, Watch, fetch_ahead, gamma, guests, say,
    support::{self, Later, Net, befriend, group_of, play_with, texts, until},
    until_moved,
};

#[test]
fn what_a_ds_holds_for_the_former_queue_for_longer_than_an_hour_is_not_lost() {
    play_with(&HOMES, guests, async |world| {
        // given a message that its DS cannot bring to the former queue, which the client reaches
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        let groups = [group_of(&b, &a).await];
        world.net.sever("alpha.test", "federated_enqueue", true);
        let mut sent = 0;
        say(&b, &groups, &mut sent).await;

        // when the queue moves, and the next message was waited with for an hour
        a.move_queue(&gamma(), Pace::AtOnce).await.expect("moved");
        say(&b, &groups, &mut sent).await;
        world.clock.pass(7_200).await;
        assert_eq!(texts(&a, 1).await, ["0:1"]);
        for _ in 0..3 {
            a.sync(Duration::ZERO).await.expect("synced");
        }

        // then the former queue is there still when the way to it is
        assert_eq!(a.queues().await, [a.user().domain.clone(), gamma()]);
        world.net.sever("alpha.test", "federated_enqueue", false);
        world.clock.pass(7_200).await;
        assert_eq!(texts(&a, 1).await, ["0:0"]);
        until_moved(&a).await;
    });
}

#[test]
fn a_former_queue_whose_end_never_comes_is_left_after_eight_days() {
    play_with(&HOMES, guests, async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        group_of(&b, &a).await;
        world.net.sever("alpha.test", "federated_enqueue", true);
        a.move_queue(&gamma(), Pace::AtOnce).await.expect("moved");

        world.clock.forward(7).await;
        a.sync(Duration::ZERO).await.expect("synced");
        assert_eq!(a.queues().await.len(), 2);

        world.clock.forward(1).await;
        until_moved(&a).await;
    });
}

#[test]
fn a_former_queue_that_does_not_answer_is_tried_once_and_rests() {
    play_with(&HOMES, guests, async |world| {
        let watch = Watch { net: world.net.clone(), seen: Arc::default() };
        let a = world.user_with("alpha.test", world.ports_over(watch.clone())).await;
        let b = world.user("beta.test").await;
        befriend(&a, &b).await;
        let group = group_of(&b, &a).await;
        a.update(&group).await.expect("a leaf of its own");
        fetch_ahead(&a).await;
        a.move_queue(&gamma(), Pace::Gradual).await.expect("moved");
        let alpha = world.net.take_away("alpha.test");
        let reads = || {
            let seen = watch.seen.lock().expect("no panic before");
            seen.iter().filter(|it| it.to == a.user().domain && it.name == "dequeue").count()
        };
        let before = reads();

        // when the queues are read for a commit whose answer was lost
        world.net.lose_answer("update_client");
        a.update(&group).await.expect_err("what became of it comes by the queue that does not answer");

        // then it holds up none of the ten rounds for long
        let since = reads() - before;
        assert!(since < 10, "{since} reads");
        world.net.add(alpha);
        until(&a, |event| matches!(event, Event::EpochChanged { .. }).then_some(())).await;
    });
}

#[test]
fn no_more_than_four_queues_are_left_at_once_also_where_another_client_gives_the_next() {
    play_with(&HOMES, guests, async |world| {
        let a = world.user("alpha.test").await;
        let second = world.another(&a).await;
        let (alpha, gamma) = (a.user().domain.clone(), gamma());
        for to in [&gamma, &alpha, &gamma, &alpha] {
            second.move_queue(to, Pace::Gradual).await.expect("moved");
        }
        a.provision(second.id().client, &second.fingerprint().await).await.expect("given");
        until(&second, |event| matches!(event, Event::ProvisionOffered { .. }).then_some(())).await;

        let accepted = second.accept_provision(a.id().client, &a.fingerprint().await).await;

        let refused = ClientError::State("too many queues are being left");
        assert_eq!(accepted, Err(refused.clone()));
        assert_eq!(second.move_queue(&gamma, Pace::AtOnce).await, Err(refused));
        assert_eq!(second.queues().await.len(), 5);
        assert_eq!(a.queue_record().await.expect("there").clients.len(), 1);
        // It follows when there is room again.
        world.clock.forward(9).await;
        for _ in 0..5 {
            let _ = second.sync(Duration::ZERO).await;
        }
        second.maintain().await.expect("maintained");
        assert_eq!(a.queue_record().await.expect("there").clients.len(), 2);
    });
}

#[test]
fn a_user_is_deleted_whose_queuing_services_take_longer_than_a_login_lasts() {
    play_with(&HOMES, guests, async |world| {
        let a = world
            .user_with(
                "alpha.test",
                world.ports_over(Slow { clock: world.clock.clone(), net: world.net.clone() }),
            )
            .await;
        a.move_queue(&gamma(), Pace::Gradual).await.expect("moved");

        a.delete_user("password").await.expect("deleted");

        let refused = a.fetch_tokens(&a.user().domain, Class::Standard).await;
        assert_eq!(refused.expect_err("gone").code(), Some(ErrorCode::Unauthenticated));
    });
}

#[test]
fn queues_are_deleted_one_by_one_also_where_one_of_them_does_not_answer() {
    play_with(&HOMES, guests, async |world| {
        for silent in ["alpha.test", "gamma.test"] {
            let a = world.user("alpha.test").await;
            a.move_queue(&gamma(), Pace::Gradual).await.expect("moved");
            let key = AtRestKey::new(Secret::new([7; 32]));
            let before = a.export(&key).await;
            let home = world.net.take_away(silent);

            let deleted = a.delete_queue().await;

            assert!(deleted.expect_err("one is left").is_transient());
            assert_eq!(a.queues().await, [silent.parse().expect("domain")]);
            world.net.add(home);
            a.delete_queue().await.expect("deleted");
            assert!(a.queues().await.is_empty());
            // and a state from before finds that they are gone
            let habits = support::settings("alpha.test").habits;
            let a = Client::import(&before, &key, world.ports(), habits, None).expect("imported");
            a.delete_queue().await.expect("they are gone");
            assert!(a.queues().await.is_empty());
        }
    });
}

#[test]
fn a_user_whose_queue_is_elsewhere_is_deleted_also_where_that_homeserver_does_not_answer() {
    play_with(&HOMES, guests, async |world| {
        let a = world.user("alpha.test").await;
        a.move_queue(&gamma(), Pace::AtOnce).await.expect("moved");
        world.net.take_away("gamma.test");

        a.delete_user("password").await.expect("deleted");

        let refused = a.fetch_tokens(&a.user().domain, Class::Standard).await;
        assert_eq!(refused.expect_err("gone").code(), Some(ErrorCode::Unauthenticated));
    });
}

/// A way to homeservers whose queuing services hang when a user is to be deleted.
#[derive(Clone)]
struct Slow {
    clock: Later,
    net: Net,
}

#[async_trait]
impl Transport for Slow {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        if outgoing.service == ServiceName::Qs && outgoing.name == "delete_user" {
            self.clock.pass(400).await;
            return Err(TransportError::Unreachable);
        }
        self.net.send(to, outgoing).await
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.net.fetch(from, service).await
    }
}
