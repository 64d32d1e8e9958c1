//! T7, a user or a group that tries to get its whole homeserver throttled by another: one that is cruder than Phoenix,
//! and takes nothing of a homeserver for a while that sends more than it said it takes. Told is what of the other users'
//! messages arrives during the flood, with limits and without. The other homeserver takes a fiftieth of what is usual, so
//! that the runs are short.

use std::time::Duration;

use phoenix_client::Event;
use phoenix_conformance::world::VirtualClock;
use phoenix_core::{
    GroupId, LeafIndex, Reject,
    api::{delivery::ReportReason, federation::QsToQsTransaction},
    limit::{LeastTaken, Limits, Rate},
    port::{Clock, Outgoing},
    store::MemoryStore,
    token::Class,
    wire::Wire,
};
use phoenix_homeserver::auth::{self, Allowances};

use crate::{
    site::{Fate, Person, Site, fqdn, origin},
    t01::{prepared, together},
};

#[test]
fn t07_a_user_or_a_group_that_floods_another_homeserver_delays_nobody_else() {
    let nobody = flooded(Attack::Nobody, &holds_back());
    let by_user = flooded(Attack::User, &holds_back());
    let by_group = flooded(Attack::Group, &holds_back());
    let unlimited = flooded(Attack::User, &holds_nobody_back());

    let [user, group, control] =
        [("one user", &by_user), ("one group", &by_group), ("one user that nobody holds back", &unlimited)]
            .map(|(who, outcome)| outcome.goodput(who, &nobody));
    assert!(user > 90 && group > 90, "{user} % and {group} %");
    assert!(control < 90, "{control} %: the flood is one that costs others, where nobody holds it back");
    for outcome in [&by_user, &by_group] {
        assert!(outcome.taken < outcome.flood / 2, "it is told to stop");
        assert_eq!(outcome.set_aside, 1, "the poisoned message gets no further");
    }
    assert_eq!((by_user.throttled, by_group.throttled), (0, 0), "alpha keeps to what beta said");
    assert_eq!(by_user.beside, OBJECTIONS, "of others in the group that it floods");
}

/// Who floods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attack {
    Nobody,
    User,
    Group,
}

/// What came of it.
struct Outcome {
    /// Messages of the flood.
    flood: usize,
    /// Those of them that were taken.
    taken: usize,
    /// Messages of other groups that were delivered.
    delivered: usize,
    /// Messages of an honest member of the group that floods that were taken.
    beside: usize,
    /// Messages that were set aside.
    set_aside: u32,
    /// Transactions that were refused because too much came before.
    throttled: usize,
}

impl Outcome {
    /// Percent of what arrives of others' messages where nobody floods.
    fn goodput(&self, who: &str, without: &Self) -> usize {
        let Self { flood, taken, delivered, .. } = self;
        println!(
            "{who} sent {flood} messages, of which {taken} were taken; of {} of others {delivered} arrived, and {} \
             without the flood",
            GROUPS * SAID,
            without.delivered
        );
        delivered * 100 / without.delivered
    }
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
/// at beta, report whom they like, and begin with what beta does not understand.
fn flooded(attack: Attack, alpha: &Limits) -> Outcome {
    let mut town = town(alpha);
    let attackers = match attack {
        Attack::Nobody => 0,
        Attack::User => 1,
        Attack::Group => town.hostile.len(),
    };
    let (hostile, group) = (town.hostile[..attackers].to_vec(), town.flooded.clone());
    let mut flood = Vec::new();
    for attacker in &hostile {
        flood.push(town.site.run(prepared(attacker.clone(), group.clone(), FLOOD / attackers)));
    }
    let clock = town.site.clock.clone();
    // What was said while the groups came to be is over.
    town.site.run(async move { clock.sleep_ms(60_000).await });
    let (poisoner, told) = (hostile.first().cloned(), town.site.posted().len());
    let lies = town.site.run(lying(hostile, group.clone()));
    assert_eq!(
        (lies, town.site.posted().len()),
        (attackers * LIES, told),
        "reports are told to no other homeserver"
    );
    if let Some(poisoner) = poisoner {
        flood[0].insert(0, town.site.run(poison(poisoner, group)));
    }
    play(town, flood)
}

fn play(town: Town, flood: Vec<Vec<Outgoing>>) -> Outcome {
    let Town { mut site, alice, bob, groups, carol, flooded, .. } = town;
    let (home, clock) = (site.home("alpha.test"), site.clock.clone());
    let mut beta = Crude { clock: clock.clone(), busy_until_ms: 0 };
    site.intercept(move |_, sent| beta.answer(sent));
    let mut outcome = site.run(async move {
        let flooding = async {
            let mut taken = 0;
            for turn in 0..TURNS {
                for messages in &flood {
                    for Outgoing { service, name, call, .. } in share(messages, turn) {
                        taken += usize::from(home.call(*service, name, call.clone(), origin()).await.is_ok());
                    }
                }
                clock.sleep_ms(TURN_MS).await;
            }
            taken
        };
        let talking = async {
            for said in 0..SAID {
                for group in &groups {
                    // Who is refused has lost a message.
                    let _ = alice.client.send(group, format!("honest {said}")).await;
                    clock.sleep_ms(ROUND_MS / GROUPS as u64).await;
                }
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
        let set_aside = home.admin().survey_of(&fqdn("beta.test")).await.unwrap().set_aside;
        Outcome { flood: flood.iter().map(Vec::len).sum(), taken, delivered, beside, set_aside, throttled: 0 }
    });
    let throttled = |fate: &&Fate| matches!(fate, Fate::IsRefused(Reject::RateLimited(_)));
    outcome.throttled = site.calm().iter().filter(throttled).count();
    outcome
}

/// Limits of a homeserver whose users could say much, were it not for others that they say it to.
fn holds_back() -> Limits {
    let least_taken = LeastTaken { deliveries_per_s: TAKEN_PER_S, ..LeastTaken::DEFAULT };
    Limits { leaf_messages: Some(Rate::new(50, 1_500)), least_taken, ..Limits::default() }
}

/// The same of one that does not care what others say that they take.
fn holds_nobody_back() -> Limits {
    Limits { leaf_destination: None, group_destination: None, mailbox: None, ..holds_back() }
}

fn town(alpha: &Limits) -> Town {
    let taken = Rate::new(TAKEN_PER_S, TAKEN_PER_S * AT_ONCE_S);
    let beta = Limits { source_deliveries: Some(taken), ..Limits::default() };
    let limits = |domain: &str| if domain == "alpha.test" { alpha } else { &beta }.clone();
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

/// A message that beta does not understand.
async fn poison(person: Person, group: GroupId) -> Outgoing {
    let token = person.client.take_token(&group.domain, Class::Standard).await.unwrap();
    person.client.prepare_message(&group, vec![b'x'; POISON_BYTES], Some(token)).await.unwrap()
}

/// A homeserver that understands no message of one size, and counts what came: once that is more than it said, it takes
/// nothing until that is over.
struct Crude {
    clock: VirtualClock,
    busy_until_ms: u64,
}

impl Crude {
    fn answer(&mut self, sent: &Outgoing) -> Fate {
        let Ok(QsToQsTransaction { payload, .. }) = QsToQsTransaction::decode(sent.call.body.as_slice())
        else {
            return Fate::Passes;
        };
        if payload.destination != fqdn("beta.test") {
            return Fate::Passes;
        }
        let sizes = payload.deliveries.iter().map(|delivery| delivery.sealed.ciphertext.len());
        if sizes.clone().any(|size| size > POISON_BYTES) {
            return Fate::IsRefused(Reject::Malformed("transaction"));
        }
        let now_ms = self.clock.now().0;
        if self.busy_until_ms > now_ms + u64::from(AT_ONCE_S) * 1_000 {
            return Fate::IsRefused(Reject::RateLimited(1));
        }
        // What goes to the crowd names all of its queues.
        let recipients: usize = sizes.map(|size| if size > CROWD_BYTES { CROWD } else { 1 }).sum();
        let busy_ms = recipients as u64 * 1_000 / u64::from(TAKEN_PER_S);
        self.busy_until_ms = self.busy_until_ms.max(now_ms) + busy_ms;
        Fate::Passes
    }
}

/// What is sent of a flood at a time.
fn share(messages: &[Outgoing], turn: usize) -> &[Outgoing] {
    messages.chunks(messages.len().div_ceil(TURNS)).nth(turn).unwrap_or_default()
}

/// Deliveries a second that beta takes of alpha, and for how many seconds it takes them at once.
const TAKEN_PER_S: u32 = 40;
const AT_ONCE_S: u32 = 25;
/// Messages of a flood: all along more than twice as many deliveries as beta takes.
const FLOOD: usize = 12 * SECONDS;
const SECONDS: usize = 60;
const TURN_MS: u64 = 100;
const TURNS: usize = SECONDS * 1_000 / TURN_MS as usize;
const GROUPS: usize = 6;
const CROWD: usize = 8;
/// A delivery to one has fewer bytes, and one to the crowd more.
const CROWD_BYTES: usize = 1_500;
/// More than any other delivery has.
const POISON_BYTES: usize = 16 << 10;
const PLENTY: u32 = 100_000;
const LIES: usize = 4;
/// What is said in each of the other groups meanwhile.
const SAID: usize = 30;
const ROUND_MS: u64 = SECONDS as u64 * 1_000 / SAID as u64;
const OBJECTIONS: usize = 2;
const PATIENCE: usize = 5;
