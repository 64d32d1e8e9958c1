//! T7, a user or a group that tries to get its whole homeserver throttled by another. Told is what of the other users'
//! messages is delivered in the minute of the flood, beside the same minute without it. The other homeserver takes a
//! fifth of what is usual, so that the runs are short.

use std::time::Duration;

use phoenix_client::Event;
use phoenix_core::{
    GroupId, LeafIndex,
    api::delivery::ReportReason,
    limit::{Limits, Rate},
    port::Outgoing,
    store::MemoryStore,
};
use phoenix_homeserver::auth::{self, Allowances};

use crate::{
    site::{Person, Site, origin},
    t01::{prepared, together},
};

#[test]
fn t07_a_user_or_a_group_that_floods_another_homeserver_delays_nobody_else() {
    let quiet = minute(Attack::None);

    let by_user = minute(Attack::User);
    let by_group = minute(Attack::Group);

    compare("one user", &quiet, &by_user);
    assert_eq!(
        (by_user.beside, quiet.beside),
        (OBJECTIONS, OBJECTIONS),
        "of others in the group that it floods"
    );
    compare("one group", &quiet, &by_group);
}

fn compare(who: &str, quiet: &Minute, flooded: &Minute) {
    println!(
        "{who} sent {} messages, of which {} were taken; others had {} delivered in the minute, and {} without it",
        flooded.flood, flooded.taken, flooded.delivered, quiet.delivered
    );
    assert_eq!(quiet.delivered, GROUPS * SAID, "the others say no more than is let through");
    assert!(flooded.taken < flooded.flood / 2, "it is told to stop");
    assert!(flooded.delivered * 10 > quiet.delivered * 9, "{} of {}", flooded.delivered, quiet.delivered);
}

/// Who floods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attack {
    None,
    User,
    Group,
}

/// What came of a minute.
struct Minute {
    /// Messages of the flood.
    flood: usize,
    /// Those of them that were taken.
    taken: usize,
    /// Messages of other groups that were delivered.
    delivered: usize,
    /// Messages of an honest member of the group that floods that were taken.
    beside: usize,
}

/// Who is there.
struct Town {
    site: Site,
    alice: Person,
    bob: Person,
    /// Of the two.
    groups: Vec<GroupId>,
    hostile: Vec<Person>,
    /// An honest member of the group that is flooded.
    carol: Person,
    flooded: GroupId,
}

/// Honest users of alpha talk to one of beta, each in a group of its own, while others flood a group with many members
/// at beta, report whom they like, and say what they like.
fn minute(attack: Attack) -> Minute {
    let mut town = town();
    let attackers = match attack {
        Attack::None => 0,
        Attack::User => 1,
        Attack::Group => town.hostile.len(),
    };
    let Town { hostile, flooded, .. } = &town;
    let hostile: Vec<_> = hostile.iter().take(attackers).cloned().collect();
    let flooded = flooded.clone();
    let mut flood = Vec::new();
    for attacker in &hostile {
        flood.push(town.site.run(prepared(attacker.clone(), flooded.clone(), FLOOD / attackers)));
    }
    let clock = town.site.clock.clone();
    // What was said while the groups came to be is over.
    town.site.run(async move { clock.sleep_ms(60_000).await });
    let lies = town.site.run(lying(hostile, flooded));
    assert_eq!(lies, attackers * LIES);
    play(town, flood)
}

fn play(town: Town, flood: Vec<Vec<Outgoing>>) -> Minute {
    let Town { mut site, alice, bob, groups, carol, flooded, .. } = town;
    let (home, clock) = (site.home("alpha.test"), site.clock.clone());
    site.run(async move {
        let flooding = async {
            let mut taken = 0;
            for second in 0..SECONDS {
                for messages in &flood {
                    for Outgoing { service, name, call, .. } in share(messages, second) {
                        taken += usize::from(home.call(*service, name, call.clone(), origin()).await.is_ok());
                    }
                }
                clock.sleep_ms(1_000).await;
            }
            taken
        };
        let talking = async {
            for second in 0..SAID {
                for group in &groups {
                    // Who is refused has lost a message.
                    let _ = alice.client.send(group, format!("honest {second}")).await;
                }
                clock.sleep_ms(2_000).await;
            }
        };
        let objecting = async {
            let mut beside = 0;
            for _ in 0..OBJECTIONS {
                beside += usize::from(carol.client.send(&flooded, "stop it").await.is_ok());
                clock.sleep_ms(30_000).await;
            }
            beside
        };
        let reading = async {
            let mut delivered = 0;
            for _ in 0..SECONDS + 1 {
                for event in bob.client.sync(Duration::ZERO).await.unwrap() {
                    let Event::Message(message) = event else { continue };
                    delivered += usize::from(groups.contains(&message.group));
                }
                clock.sleep_ms(1_000).await;
            }
            delivered
        };
        let (taken, (), beside, delivered) = futures::join!(flooding, talking, objecting, reading);
        Minute { flood: flood.iter().map(Vec::len).sum(), taken, delivered, beside }
    })
}

fn town() -> Town {
    let alpha = Limits { leaf_messages: Some(Rate::new(50, 1_500)), ..Limits::default() };
    let beta = Limits {
        source_deliveries: Some(Rate::new(400, 2_000)),
        source_queue_deliveries: None,
        queue_deliveries: None,
        config: None,
        ..Limits::default()
    };
    let limits = |domain: &str| if domain == "alpha.test" { alpha.clone() } else { beta.clone() };
    // A flood is to be held back by limits, not by what tokens there are.
    let mut auth = auth::Settings::default();
    auth.allowances = Allowances { standard: PLENTY, contact: PLENTY, ..auth.allowances };
    auth.remote.floor = PLENTY.into();
    let mut site = Site::with(&["alpha.test", "beta.test"], 7, |domain, builder| {
        builder.store(MemoryStore::new()).limits(limits(domain)).auth_settings(auth.clone())
    });
    let (alice, bob) = (site.register("alice", "alpha.test"), site.register("bob", "beta.test"));
    let mut groups = vec![site.run(together(alice.clone(), vec![bob.clone()]))];
    for _ in 1..GROUPS {
        groups.push(site.run(another(alice.clone(), bob.clone())));
    }
    let hostile = ["mallory", "mallet", "marvin"].map(|name| site.register(name, "alpha.test"));
    let carol = site.register("carol", "alpha.test");
    let crowd: Vec<_> = (0..CROWD).map(|it| site.register(&format!("sybil{it}"), "beta.test")).collect();
    let [mallory, mallet, marvin] = hostile.clone();
    let others = [vec![mallet, marvin, carol.clone()], crowd].concat();
    let flooded = site.run(together(mallory, others));
    Town { site, alice, bob, groups, hostile: hostile.to_vec(), carol, flooded }
}

/// A further group of two who are connected.
async fn another(one: Person, other: Person) -> GroupId {
    let group = one.client.create_group().await.unwrap();
    one.client.invite(&group, &[other.client.user().clone()]).await.unwrap();
    for _ in 0..PATIENCE {
        other.client.sync(Duration::from_secs(1)).await.unwrap();
    }
    other.client.send(&group, b"here").await.unwrap();
    for person in [&other, &one].repeat(PATIENCE) {
        person.client.sync(Duration::from_secs(1)).await.unwrap();
    }
    group
}

/// Reports about members who have done nothing. How many were taken.
async fn lying(liars: Vec<Person>, group: GroupId) -> usize {
    let mut taken = 0;
    for liar in liars {
        for member in 0..LIES {
            let accused = LeafIndex(3 + member as u32);
            let reported = liar.client.report(&group, accused, ReportReason::Spam, b"made up").await;
            taken += usize::from(reported.is_ok());
        }
    }
    taken
}

/// What is sent of a flood in one second.
fn share(messages: &[Outgoing], second: usize) -> &[Outgoing] {
    messages.chunks(messages.len() / SECONDS).nth(second).unwrap_or_default()
}

/// Messages of a flood: each second twice as many deliveries as are let through of the whole homeserver.
const FLOOD: usize = 42 * SECONDS;
const SECONDS: usize = 60;
const GROUPS: usize = 6;
const CROWD: usize = 20;
const PLENTY: u32 = 100_000;
const LIES: usize = 5;
/// What is said in each of the other groups in the minute.
const SAID: usize = SECONDS / 2;
const OBJECTIONS: usize = 2;
const PATIENCE: usize = 5;
