//! What clients do over weeks and months, without being asked.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use openmls::prelude::ExternalSender;
use phoenix_core::{
    ConfigId, GroupId,
    api::{
        Empty,
        queue::{ConfigRule, UpdateBlocklistRequest},
    },
    wire::Wire as _,
};

use super::support::{World, befriend, group_of, play, until};
use crate::Client;

#[test]
fn a_config_that_was_replaced_is_blocked_eight_days_later_until_it_expires_and_not_before() {
    play(&["alpha.test"], async |world| {
        let (a, b, group) = pair(&world).await;
        let (former, expires) = {
            let session = b.lock().await;
            let (config, retired) = session.state.retired.iter().next().expect("it was replaced");
            assert_ne!(session.group(&group).expect("a group").config, *config);
            (*config, retired.expires)
        };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        world.net.answer("update_blocklist", move |call| {
            let request = UpdateBlocklistRequest::decode(&call.body).expect("a request");
            heard.lock().expect("no panic before").extend(request.changes);
            Empty {}.encode()
        });

        for _ in 0..7 {
            world.clock.forward(1).await;
            b.maintain().await.expect("maintained");
        }
        assert!(asked.lock().expect("no panic before").is_empty());
        assert!(retired(&b).await.contains(&former));
        world.clock.forward(1).await;
        b.maintain().await.expect("maintained");
        b.maintain().await.expect("maintained");

        let asked = asked.lock().expect("no panic before").clone();
        let asked: Vec<_> = asked.iter().filter(|it| it.config == former).collect();
        assert_eq!(asked.len(), 1, "once");
        assert_eq!((asked[0].rule, asked[0].expires), (ConfigRule::Blocked, expires));
        assert!(!retired(&b).await.contains(&former));
        assert_eq!(b.lock().await.group_of_config(&former), None);
        // What replaced it goes on.
        a.send(&group, "hello").await.expect("sent");
        assert_eq!(until(&b, super::support::text).await, "hello");
    });
}

#[test]
fn an_admins_client_brings_the_next_key_of_the_ds_into_its_group_before_the_last_one_ends() {
    play(&["alpha.test"], async |world| {
        let (a, b, group) = pair(&world).await;
        let before = listed(&a, &group).await;

        // For eleven months the next key is not there yet.
        live(&world, &[&a, &b], 15, 22).await;
        assert_eq!(listed(&a, &group).await, before);
        // It is published thirty days before the end of the year.
        live(&world, &[&a, &b], 1, 10).await;
        let meanwhile = changed(&world, (&a, &b), &group, &before).await;
        assert!(meanwhile.len() > before.len() && before.iter().all(|key| meanwhile.contains(key)));
    });
}

/// What an admin's client lists once that has changed, and a plain member follows. Each time it looks after one of its
/// groups, which it draws.
async fn changed(
    world: &World,
    (admin, member): (&Client, &Client),
    group: &GroupId,
    before: &[ExternalSender],
) -> Vec<ExternalSender> {
    for _ in 0..60 {
        let now = listed(admin, group).await;
        if now != before {
            if listed(member, group).await != now {
                // What changed it is on its way still.
                member.sync(Duration::from_secs(5)).await.expect("synced");
            }
            assert_eq!(listed(member, group).await, now);
            return now;
        }
        live(world, &[admin, member], 1, 0).await;
    }
    panic!("it did not change");
}

/// An admin and a member of one group.
async fn pair(world: &World) -> (Client, Client, GroupId) {
    let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
    befriend(&a, &b).await;
    let group = group_of(&a, &b).await;
    (a, b, group)
}

/// Rounds of so many days, in which clients do what they do now and then.
async fn live(world: &World, clients: &[&Client], rounds: usize, days: u64) {
    for _ in 0..rounds {
        world.clock.forward(days).await;
        for client in clients {
            client.sync(Duration::ZERO).await.expect("synced");
            client.maintain().await.expect("maintained");
        }
        for client in clients {
            client.sync(Duration::ZERO).await.expect("synced");
        }
    }
}

/// The keys of external senders that a client's group lists.
async fn listed(client: &Client, group: &GroupId) -> Vec<ExternalSender> {
    let mut session = client.lock().await;
    let (mls, _) = session.mls(group).expect("a group");
    mls.extensions().external_senders().expect("senders").clone()
}

async fn retired(client: &Client) -> Vec<ConfigId> {
    client.lock().await.state.retired.keys().copied().collect()
}
