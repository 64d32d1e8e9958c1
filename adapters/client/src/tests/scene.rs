//! Where members are lied to, and what their tests have in common.

use std::time::Duration;

use phoenix_core::{
    Epoch, GroupId,
    api::{delivery::ContentKind, queue::Entry},
    port::Clock,
};

use super::{
    between::{Between, TrueQueue, open},
    support::{World, befriend, joined, until},
};
use crate::{Client, Distrust, Event, group::Health};

/// Alice is admin of a group with Bob and Carol, and Bob's queue was taken over.
pub(crate) struct Scene {
    pub(crate) a: Client,
    pub(crate) b: Client,
    pub(crate) c: Client,
    pub(crate) group: GroupId,
    pub(crate) between: Between,
    pub(crate) queue: TrueQueue,
}

pub(crate) async fn scene(world: &World) -> Scene {
    let (a, c) = (world.user("alpha.test").await, world.user("alpha.test").await);
    let (b, between) = Between::user(world, "alpha.test").await;
    befriend(&a, &b).await;
    befriend(&a, &c).await;
    let group = a.create_group().await.expect("created");
    a.invite(&group, &[b.user().clone(), c.user().clone()]).await.expect("invited");
    until(&b, joined).await;
    until(&c, joined).await;
    // Whatever they were added by, they have leaves and configs of their own then.
    b.update(&group).await.expect("updated");
    c.update(&group).await.expect("updated");
    a.update(&group).await.expect("updated");
    reach(&[&b, &c], &group, a.epoch(&group).await.expect("a group")).await;
    let queue = between.take_over(&b).await;
    drain(&b).await;
    Scene { a, b, c, group, between, queue }
}

/// Syncs until clients are in an epoch.
pub(crate) async fn reach(clients: &[&Client], group: &GroupId, epoch: Epoch) {
    for client in clients {
        let mut rounds = 0;
        while client.epoch(group).await.expect("a group") < epoch {
            client.sync(Duration::from_secs(1)).await.expect("synced");
            rounds += 1;
            assert!(rounds < 30, "it did not come");
        }
    }
}

/// Hands out what truly came.
pub(crate) async fn pass(
    world: &World,
    client: &Client,
    between: &Between,
    queue: &mut TrueQueue,
    least: usize,
) {
    for entry in queue.harvest(client, world, least).await {
        between.push(&entry, world.clock.now());
    }
}

/// Hands out what truly comes, until something happens.
pub(crate) async fn relay<T>(
    world: &World,
    (client, between, queue): (&Client, &Between, &mut TrueQueue),
    wanted: impl Fn(&Event) -> Option<T>,
) -> T {
    for _ in 0..20 {
        pass(world, client, between, queue, 0).await;
        if let Some(found) = client.sync(Duration::ZERO).await.expect("synced").iter().find_map(&wanted) {
            return found;
        }
    }
    panic!("it did not happen");
}

/// All that happens until nothing does.
pub(crate) async fn drain(client: &Client) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..10 {
        let synced = client.sync(Duration::ZERO).await.expect("synced");
        if synced.is_empty() && !events.is_empty() {
            break;
        }
        events.extend(synced);
    }
    events
}

pub(crate) async fn kind(client: &Client, group: &GroupId, entry: &Entry) -> Option<ContentKind> {
    open(client, group, entry).await.map(|content| content.kind)
}

pub(crate) async fn health(client: &Client, group: &GroupId) -> Health {
    client.lock().await.group(group).expect("a group").health
}

pub(crate) fn resynced(event: &Event) -> Option<()> {
    matches!(event, Event::Resynced { .. }).then_some(())
}

pub(crate) fn given_up(event: &Event) -> Option<Distrust> {
    match event {
        Event::GivenUp { cause, .. } => Some(*cause),
        _ => None,
    }
}
