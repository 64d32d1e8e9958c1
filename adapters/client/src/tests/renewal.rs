//! Leaves follow the credential, and groups the keys of their DS.

use std::time::Duration;

use phoenix_core::{
    GroupId, Pseudonym, UserId,
    crypto::{Chance, Suite},
    port::Clock,
};
use phoenix_homeserver::{
    SystemClock,
    auth::{AuthorityChange, Root, RootKey},
};

use super::scene::reach;
use super::support::{World, befriend, group_of, joined, play, play_with, text, until};
use crate::{Client, Event, group::Trust, mls::extensions};

#[test]
fn leaves_are_renewed_in_the_days_after_the_credential_one_in_a_call() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        let away = world.user("alpha.test").await;
        befriend(&a, &b).await;
        befriend(&a, &away).await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone(), away.user().clone()]).await.expect("invited");
        until(&b, joined).await;
        until(&away, joined).await;
        // Whatever it was added by, it has a leaf of its own then.
        b.send(&group, "hello").await.expect("sent");
        let (name, stale) = (pseudonym(&b, &group).await, stale_groups(&b).await);
        assert_eq!(stale, 0);

        // Who does not read its queue for three months has none, counted from the end of the month.
        world.clock.forward(31).await;
        assert_eq!(until(&away, text).await, "hello");
        world.clock.forward(30).await;
        for client in [&a, &b] {
            client.maintain().await.expect("maintained");
        }
        world.clock.forward(8).await;

        for client in [&a, &b] {
            let mut left = stale_groups(client).await;
            assert!(left >= 1, "{left}");
            while left > 0 {
                client.maintain().await.expect("maintained");
                left -= 1;
                assert_eq!(stale_groups(client).await, left);
            }
            client.sync(Duration::ZERO).await.expect("synced");
        }
        assert_eq!(pseudonym(&b, &group).await, name);
        // All former credentials have ended: who was away meanwhile still believes the others. (It is no newcomer,
        // since OpenMLS measures what joins a group by the system's clock.)
        world.clock.forward(22).await;
        b.send(&group, "still here").await.expect("sent");
        assert_eq!(until(&away, text).await, "still here");
        let verified = verified(&away, &group).await;
        assert!([a.user(), b.user()].iter().all(|user| verified.contains(user)), "{verified:?}");
    });
}

#[test]
fn a_group_outlives_the_keys_of_its_ds_which_goes_on_to_remove_who_is_away() {
    let domain = "alpha.test".parse().expect("domain");
    let chance = &mut Chance::from_seed([1; 32]);
    let root = RootKey::generate(domain, Suite::Ed25519, SystemClock.now(), chance).expect("made").root();
    play_with(
        &["alpha.test"],
        |builder| builder.root(root.clone()),
        async |world| {
            let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
            befriend(&a, &b).await;
            let group = group_of(&a, &b).await;
            assert!(!is_behind(&a, &group).await, "it begins with the published keys");

            for number in 0..12 {
                if number % 6 == 5 {
                    rotate(&world, &root).await;
                }
                let events = weeks(&world, &[&a, &b], &group).await;
                assert!(
                    !events.iter().any(|event| matches!(event, Event::RoleViolated { .. })),
                    "{events:?}"
                );
            }
            // One of the groups that it is admin of in each call.
            let mut calls = 0;
            while is_behind(&a, &group).await {
                a.maintain().await.expect("maintained");
                calls += 1;
                assert!(calls < 50, "the next keys are published, and were put in nowhere");
            }
            reach(&[&b], &group, a.epoch(&group).await.expect("a group")).await;
            assert!(!is_behind(&b, &group).await, "members have them too");

            // Until the first keys are forgotten, on the 485th day; then one stays away.
            rotate(&world, &root).await;
            for _ in 0..6 {
                weeks(&world, &[&a, &b], &group).await;
            }
            assert_eq!(a.members(&group).await.expect("members").len(), 2);
            rotate(&world, &root).await;
            for _ in 0..6 {
                weeks(&world, &[&a], &group).await;
            }
            assert_eq!(a.members(&group).await.expect("members").len(), 1);
        },
    );
}

/// What an operator does twice a year.
async fn rotate(world: &World, root: &Root) {
    let change = AuthorityChange::Rotate(Suite::Ed25519);
    world.admin("alpha.test").change_authority(change, root).await.expect("changed");
}

/// Four weeks, at whose end clients do what they do by themselves.
async fn weeks(world: &World, clients: &[&Client], group: &GroupId) -> Vec<Event> {
    world.clock.forward(28).await;
    let mut events = Vec::new();
    for client in clients {
        // What the others have committed comes first, as where a client is online.
        reach(&[client], group, clients[0].epoch(group).await.expect("a group")).await;
        for _ in 0..4 {
            client.maintain().await.expect("maintained");
            events.extend(client.sync(Duration::ZERO).await.expect("synced"));
        }
    }
    reach(clients, group, clients[clients.len() - 1].epoch(group).await.expect("a group")).await;
    events
}

/// Whether a group lists others than the keys that its DS publishes.
async fn is_behind(client: &Client, group: &GroupId) -> bool {
    let mut session = client.lock().await;
    let keys = session.ds_keys(&group.domain).await.expect("published");
    let (mls_group, _) = session.mls(group).expect("a group");
    extensions::with_senders(mls_group, (&group.domain, &keys)).expect("made").is_some()
}

async fn stale_groups(client: &Client) -> usize {
    client.lock().await.stale_groups().count()
}

async fn pseudonym(client: &Client, group: &GroupId) -> Pseudonym {
    client.lock().await.group(group).expect("a group").leaf.credential.pseudonym
}

/// Who shows a chain that holds now.
async fn verified(client: &Client, group: &GroupId) -> Vec<UserId> {
    let session = client.lock().await;
    let members = session.group(group).expect("a group").members.values();
    let verified = members.filter(|it| it.trust == Trust::Verified);
    verified.filter_map(|it| it.proven.clone()).collect()
}
