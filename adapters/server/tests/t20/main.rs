//! T20 against the real binary: a thousand connections that want to use it up, while an honest client goes on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and reports"
)]

mod attack;
mod booty;
#[path = "../certifier/mod.rs"]
mod certifier;
mod http;
mod site;
mod talk;

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{
    attack::{Attack, Attackers},
    booty::Booty,
    site::Site,
    talk::Talk,
};

#[tokio::test(flavor = "multi_thread")]
async fn t20_a_thousand_hostile_connections_take_bounded_memory_and_an_honest_client_goes_on() {
    // given an honest talk, and those who attack, who are users of the homeserver themselves
    let site = Site::start();
    let mut talk = Talk::new(site.client().await, site.client().await).await;
    let booty = Arc::new(Booty::gather(&site).await);
    let attackers = Arc::new(Attackers::new(&site, booty));
    println!("before any attack: {} MiB", site.memory_mib());

    // when they attack, each in its way alone, then the talk goes on
    for attack in Attack::ALL {
        site.forget_peak();
        let before = site.memory_mib();
        let mut few = JoinSet::new();
        for number in 0..FEW {
            few.spawn(Arc::clone(&attackers).go_on(attack, number));
        }
        let until = Instant::now() + ALONE;
        talk.exchange(1).await;
        while Instant::now() < until {
            sleep(A_MOMENT).await;
        }
        let peak = site.peak_mib();
        println!("{attack:?}, by {FEW}: {before} MiB before, peak {peak} MiB; {}", attackers.told(attack));
        assert!(peak < MOST_MIB, "{attack:?}: {peak} MiB");
    }

    // and all at once, a thousand of them connected all along: who is cut off comes again
    site.forget_peak();
    let mut all = JoinSet::new();
    for number in 0..HOSTILE {
        let attack = Attack::ALL[number % Attack::ALL.len()];
        all.spawn(Arc::clone(&attackers).go_on(attack, number));
    }
    let mut fewest = usize::MAX;
    for _ in 0..MESSAGES {
        site.crowded(CROWD).await;
        talk.exchange(1).await;
        fewest = fewest.min(site.hostile_connections());
    }
    site.crowded(CROWD).await;

    // then the memory is bounded, and each got as far as it could
    let peak = site.peak_mib();
    println!(
        "{MESSAGES} messages arrived beside {HOSTILE} who attack: {CROWD} connected when each was sent and at \
         the end, {fewest} at the fewest when one had come; peak {peak} MiB"
    );
    for attack in Attack::ALL {
        println!("{attack:?}: {}", attackers.told(attack));
    }
    assert!(peak < MOST_MIB, "{peak} MiB");
    assert!(fewest >= CROWD / 4 * 3, "{fewest} connections");
    attackers.examine();
}

/// Of those who attack in one way alone, as many as there are of each kind when all attack.
const FEW: usize = HOSTILE / Attack::ALL.len();
/// For how long they do so at least.
const ALONE: Duration = Duration::from_millis(500);
/// Who attack at once.
const HOSTILE: usize = 1_200;
/// How many of them are connected before each message and at the end, at least; while a message travels, a few more may
/// have been cut off just now, and be about to come again.
const CROWD: usize = 1_000;
/// Messages that the honest exchange while all attack.
const MESSAGES: usize = 10;
/// What the server's process may take at its peak.
const MOST_MIB: usize = 256;
const A_MOMENT: Duration = Duration::from_millis(100);
