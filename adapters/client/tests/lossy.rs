//! The client on a network that loses much.

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

use std::{collections::BTreeMap, time::Duration};

use phoenix_client::{Client, Event};
use phoenix_core::{GroupId, UserId};

use support::{World, befriend, play, until};

#[test]
fn on_a_network_that_loses_one_message_in_eight_everything_arrives_once_and_in_order() {
    for seed in 1..=2 {
        play(&["alpha.test", "beta.test"], async |world| storm(&world, seed).await);
    }
}

async fn storm(world: &World, seed: u8) {
    let clients =
        [world.user("alpha.test").await, world.user("beta.test").await, world.user("beta.test").await];
    befriend(&clients[0], &clients[1]).await;
    befriend(&clients[0], &clients[2]).await;
    world.net.lose(seed, 8);
    let group = clients[0].create_group().await.expect("created");
    for other in &clients[1..] {
        retry(async || clients[0].invite(&group, &[other.user().clone()]).await).await;
        until(other, |event| matches!(event, Event::Joined { .. }).then_some(())).await;
    }

    let play = |client| act(client, &group);
    futures::future::join3(play(&clients[0]), play(&clients[1]), play(&clients[2])).await;

    for client in &clients {
        let texts = read(client, 2 * ROUNDS).await;
        for other in clients.iter().filter(|other| other.user() != client.user()) {
            let expected: Vec<_> = (0..ROUNDS).map(|round| round.to_string()).collect();
            assert_eq!(texts.get(other.user()), Some(&expected), "seed {seed}");
        }
    }
}

async fn act(client: &Client, group: &GroupId) {
    for round in 0..ROUNDS {
        if round % 3 == 0 {
            retry(async || client.update(group).await).await;
        }
        retry(async || client.send(group, round.to_string()).await).await;
    }
}

async fn retry<T>(act: impl AsyncFn() -> Result<T, phoenix_client::ClientError>) -> T {
    for _ in 0..10 {
        match act().await {
            Ok(done) => return done,
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("too often");
}

async fn read(client: &Client, count: usize) -> BTreeMap<UserId, Vec<String>> {
    let mut texts: BTreeMap<UserId, Vec<String>> = BTreeMap::new();
    let mut rounds = 0;
    while texts.values().map(Vec::len).sum::<usize>() < count {
        rounds += 1;
        assert!(rounds < 60, "only {texts:?} came");
        let Ok(events) = client.sync(Duration::from_secs(1)).await else { continue };
        for event in events {
            match event {
                Event::Message(it) => {
                    let text = String::from_utf8_lossy(&it.text).into_owned();
                    texts.entry(it.sender).or_default().push(text);
                }
                Event::Undecryptable { .. } | Event::Unverified { .. } | Event::Gap => panic!("{event:?}"),
                _ => {}
            }
        }
    }
    texts
}

const ROUNDS: usize = 9;
