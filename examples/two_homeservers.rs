//! Two homeservers of two domains in one process, without a socket and without a runtime: a user of each, a
//! connection, a group, and a message in both directions.
//!
//! `cargo run --example two_homeservers`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use futures::{executor::block_on, future};
use phoenix_client::{Client, ClientPorts, Event, Settings};
use phoenix_conformance::network::Network;
use phoenix_core::{Fqdn, store::MemoryStore};
use phoenix_homeserver::{Homeserver, OsEntropy, SystemClock};

fn main() -> anyhow::Result<()> {
    block_on(async {
        let network = Network::default();
        let alpha = homeserver("alpha.test", &network).await?;
        let beta = homeserver("beta.test", &network).await?;
        // The homeservers' own work runs beside the conversation, and ends with it.
        let working = pin!(future::join(alpha.clone().run(), beta.clone().run()));
        let talking = pin!(talk(&network, alpha.domain(), beta.domain()));
        match future::select(talking, working).await {
            future::Either::Left((talked, _)) => talked,
            future::Either::Right(_) => bail!("the homeservers ended"),
        }
    })
}

async fn homeserver(domain: &str, network: &Network) -> anyhow::Result<Homeserver> {
    let builder =
        Homeserver::builder(domain.parse()?).store(MemoryStore::default()).transport(network.transport());
    let home = builder.build().await?;
    network.join(home.clone());
    Ok(home)
}

async fn talk(network: &Network, alpha: &Fqdn, beta: &Fqdn) -> anyhow::Result<()> {
    let anna = user(network, alpha).await?;
    let bert = user(network, beta).await?;

    anna.connect(bert.user()).await?;
    let offer = wait(&bert, |event| match event {
        Event::Offer { offer, from, .. } if from == anna.user() => Some(*offer),
        _ => None,
    });
    bert.accept(offer.await?).await?;
    wait(&anna, |event| matches!(event, Event::Connected { .. }).then_some(())).await?;
    println!("connected; both see the safety number {}", anna.safety_number(bert.user()).await?);

    let group = anna.create_group().await?;
    anna.invite(&group, &[bert.user().clone()]).await?;
    wait(&bert, |event| matches!(event, Event::Joined { .. }).then_some(())).await?;
    for (from, to, text) in [(&anna, &bert, "Hello, Bert!"), (&bert, &anna, "Hello, Anna!")] {
        from.send(&group, text).await?;
        let heard = wait(to, |event| match event {
            Event::Message(message) => Some(message.text.clone()),
            _ => None,
        });
        println!("{} heard: {}", to.user(), String::from_utf8_lossy(&heard.await?));
    }
    Ok(())
}

/// Registers a user, and does what every client needs once.
async fn user(network: &Network, domain: &Fqdn) -> anyhow::Result<Client> {
    let ports = ClientPorts {
        transport: Arc::new(network.transport()),
        witness: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let client =
        Client::register(Settings::new(domain.clone(), "correct horse battery staple"), ports).await?;
    client.set_up().await?;
    Ok(client)
}

/// Reads until something happens that is waited for.
async fn wait<T>(client: &Client, find: impl Fn(&Event) -> Option<T>) -> anyhow::Result<T> {
    for _ in 0..TRIES {
        let events = client.sync(Duration::from_secs(1)).await.context("reading")?;
        if let Some(found) = events.iter().find_map(&find) {
            return Ok(found);
        }
    }
    bail!("{} waited in vain", client.user())
}

/// Reads of a second each.
const TRIES: usize = 10;
