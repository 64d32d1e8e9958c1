//! Federation as it is run in earnest: three processes of the binary, over HTTPS on three addresses, with an authority
//! of their own. With `PHOENIX_LONG` set, one of them is cut off for a minute, and the one that has the group is killed,
//! too; that takes some minutes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and reports"
)]

#[path = "../certifier/mod.rs"]
mod certifier;
mod person;
mod site;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::future::join_all;
use phoenix_core::GroupId;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use self::{
    person::{Book, Person},
    site::Site,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_arrives_once_and_in_order_though_one_is_killed_and_one_is_cut_off() {
    // given a group of alpha's with members on all three
    let mut site = Site::start().await;
    let people = people(&site).await;
    let group = group_of(&people).await;
    let before: Vec<(usize, u64)> = standing(&people, &group).await;
    let listening: Vec<JoinHandle<()>> = people.iter().map(|person| listen(person, &group)).collect();

    // when one talks while all others are there, and while none is; then all do, while beta is killed and gamma is cut off
    let near = &people[TIMED];
    say(near, &group, TIMED_TEXTS).await;
    [BETA, GAMMA].iter().for_each(|home| site.cut(*home));
    say(near, &group, TIMED_TEXTS).await;
    [BETA, GAMMA].iter().for_each(|home| site.mend(*home));
    let (all_up, all_down) = medians(&near.book().took);
    println!("median of a send at alpha: {all_up:?} with both peers up, {all_down:?} with both unreachable");
    let talking = people.iter().map(|person| {
        let (person, group) = (person.clone(), group.clone());
        let (texts, pause) = share(&person);
        tokio::spawn(async move { person.talk(&group, texts, pause).await })
    });
    let talking: Vec<JoinHandle<()>> = talking.collect();
    let afterwards = strike(&mut site, &people).await;
    let all_said = within("somebody cannot say everything", join_all(talking)).await;
    assert!(all_said.iter().all(Result::is_ok));
    for caught_up in within("what was acknowledged does not arrive", join_all(afterwards)).await {
        let (what, took) = caught_up.unwrap();
        println!("{what}: all that was acknowledged before was received {took:.1?} later");
    }
    within("what was acknowledged does not arrive", caught_up(&people, &acknowledged(&people))).await;
    // A second copy would come with the next transaction.
    sleep(SECOND_COPIES).await;
    for listener in listening {
        assert!(!listener.is_finished());
        listener.abort();
    }

    // then nothing was lost, nothing came twice, and everybody was shown the same order
    let after = standing(&people, &group).await;
    let books: BTreeMap<&str, Book> = people.iter().map(|it| (it.name, it.book().clone())).collect();
    report(&books);
    let epochs: BTreeSet<u64> = after.iter().map(|(_, epoch)| *epoch).collect();
    assert_eq!(epochs.len(), 1, "in the end all are in one epoch");
    for (person, (before, after)) in people.iter().zip(before.iter().zip(&after)) {
        judge(person.name, &books);
        // A message or commit that is in a queue twice is not shown twice: its entries are counted, too.
        let commits = after.1 - before.1;
        let entries = books[person.name].heard.len() + usize::try_from(commits).unwrap();
        assert_eq!(after.0 - before.0, entries, "in the queue of {}", person.name);
    }
    let kept = books.values().map(|book| book.acknowledged.len()).sum::<usize>();
    assert_eq!(kept, TEXTS);
}

/// Cuts gamma off, and kills beta meanwhile, and alpha after it in the long form. What is given is done when those whom
/// it concerned have caught up.
async fn strike(site: &mut Site, people: &[Person]) -> Vec<JoinHandle<(&'static str, Duration)>> {
    acknowledgements(people, TEXTS * 3 / 10).await;
    site.cut(GAMMA);
    let cut = Instant::now();
    let of = |is_one: fn(&Person) -> bool| people.iter().filter(|it| is_one(it)).cloned().collect();
    acknowledgements(people, TEXTS * 4 / 10).await;
    let mut afterwards = vec![kill(site, BETA, people, ("beta, killed", of(|it| it.home == BETA))).await];
    if is_long() {
        acknowledgements(people, TEXTS * 6 / 10).await;
        let concerned = ("beta, after alpha was killed", of(|it| it.home == BETA));
        afterwards.push(kill(site, ALPHA, people, concerned).await);
    }
    sleep(cut_time().saturating_sub(cut.elapsed())).await;
    site.mend(GAMMA);
    println!("gamma was cut off for {:.1?}", cut.elapsed());
    afterwards.push(timed(("gamma, mended", of(|it| it.home == GAMMA)), acknowledged(people)));
    afterwards
}

/// Kills a homeserver and starts it again.
async fn kill(
    site: &mut Site,
    home: usize,
    people: &[Person],
    concerned: (&'static str, Vec<Person>),
) -> JoinHandle<(&'static str, Duration)> {
    site.kill(home);
    sleep(DEAD).await;
    site.revive(home).await;
    timed(concerned, acknowledged(people))
}

/// How long it takes until these have heard all of this; begins at once.
fn timed(
    (what, people): (&'static str, Vec<Person>),
    texts: BTreeSet<String>,
) -> JoinHandle<(&'static str, Duration)> {
    let began = Instant::now();
    tokio::spawn(async move {
        caught_up(&people, &texts).await;
        (what, began.elapsed())
    })
}

/// Waits until so many texts were acknowledged.
async fn acknowledgements(people: &[Person], count: usize) {
    let enough = async {
        while acknowledged(people).len() < count {
            sleep(A_MOMENT).await;
        }
    };
    within("too little is acknowledged", enough).await;
}

/// What was acknowledged so far.
fn acknowledged(people: &[Person]) -> BTreeSet<String> {
    people.iter().flat_map(|person| person.book().acknowledged.clone()).collect()
}

async fn caught_up(people: &[Person], texts: &BTreeSet<String>) {
    join_all(people.iter().map(|person| person.has_heard(texts))).await;
}

async fn within<T>(otherwise: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE + 4 * cut_time(), work).await.unwrap_or_else(|_| panic!("{otherwise}"))
}

/// Nobody was shown anything twice or in an order of their own, or that nobody said, and everybody was shown what was
/// acknowledged.
fn judge(name: &str, books: &BTreeMap<&str, Book>) {
    let Book { heard, wrong, commits, .. } = &books[name];
    assert!(*commits > 0, "{name} never committed");
    assert!(wrong.is_empty(), "{name}: {wrong:?}");
    let once: BTreeSet<&String> = heard.iter().collect();
    assert_eq!(once.len(), heard.len(), "{name} was shown something twice");
    for (other, book) in books.iter().filter(|(other, _)| **other != name) {
        let lost: Vec<_> = book.acknowledged.iter().filter(|text| !once.contains(text)).collect();
        assert!(lost.is_empty(), "{name} was never shown {lost:?}");
        let theirs: Vec<_> = heard.iter().filter(|text| text.split(' ').next() == Some(other)).collect();
        assert!(theirs.is_sorted(), "{name} was shown what {other} said in another order");
        let said = |text: &String| book.acknowledged.contains(text) || book.unsure.contains(text);
        assert!(theirs.into_iter().all(said), "{name} was shown what {other} never said");
        let both = |one: &[String], other: &BTreeSet<String>| -> Vec<String> {
            one.iter().filter(|text| other.contains(*text)).cloned().collect()
        };
        let others = book.heard.iter().cloned().collect();
        assert_eq!(
            both(heard, &others),
            both(&book.heard, &heard.iter().cloned().collect()),
            "{name} and {other} were shown the same in another order"
        );
    }
}

fn report(books: &BTreeMap<&str, Book>) {
    let count = |of: fn(&Book) -> usize| books.values().map(of).sum::<usize>();
    let (acknowledged, unsure) = (count(|it| it.acknowledged.len()), count(|it| it.unsure.len()));
    println!(
        "{} sends, {acknowledged} acknowledged, {unsure} not; {} commits acknowledged",
        acknowledged + unsure,
        count(|it| it.commits),
    );
    let said = |of: fn(&Book) -> &Vec<String>| -> BTreeSet<String> {
        books.values().flat_map(of).cloned().collect()
    };
    let (acknowledged, unsure) = (said(|it| &it.acknowledged), said(|it| &it.unsure));
    for (name, book) in books {
        let once: BTreeSet<&String> = book.heard.iter().collect();
        let own = book.acknowledged.len();
        let of = |texts: &BTreeSet<String>| once.iter().filter(|text| texts.contains(**text)).count();
        println!(
            "{name}: {} received, {} of {} that others had acknowledged, {} of those that were not; {} lost, {} doubled",
            book.heard.len(),
            of(&acknowledged),
            acknowledged.len() - own,
            of(&unsure),
            acknowledged.len() - own - of(&acknowledged),
            book.heard.len() - once.len(),
        );
        if !book.failed.is_empty() {
            println!("{name}: what failed: {:?}", book.failed);
        }
    }
}

/// Of each, how many entries their queue had, and the epoch that they are in.
async fn standing(people: &[Person], group: &GroupId) -> Vec<(usize, u64)> {
    let mut standing = Vec::new();
    for person in people {
        person.client.sync(Duration::ZERO).await.unwrap();
        standing.push((person.entries(), person.client.epoch(group).await.unwrap().0));
    }
    standing
}

fn listen(person: &Person, group: &GroupId) -> JoinHandle<()> {
    let (person, group) = (person.clone(), group.clone());
    tokio::spawn(async move { person.listen(&group).await })
}

async fn say(person: &Person, group: &GroupId, count: usize) {
    for _ in 0..count {
        assert!(person.say(group).await, "a send at home fails");
    }
}

/// Of the first and of the second half.
fn medians(took: &[Duration]) -> (Duration, Duration) {
    let median = |took: &[Duration]| {
        let mut took = took.to_vec();
        took.sort_unstable();
        took[took.len() / 2]
    };
    let (first, second) = took.split_at(took.len() / 2);
    (median(first), median(second))
}

async fn people(site: &Site) -> Vec<Person> {
    let people = PEOPLE.map(|(name, home)| Person::register(name, home, site.domain(home), site.road(home)));
    join_all(people).await
}

/// A group of the first one's with all others.
async fn group_of(people: &[Person]) -> GroupId {
    let (first, others) = people.split_first().unwrap();
    for other in others {
        first.befriend(other).await;
    }
    let group = first.client.create_group().await.unwrap();
    let users: Vec<_> = others.iter().map(|other| other.client.user().clone()).collect();
    first.client.invite(&group, &users).await.unwrap();
    join_all(others.iter().map(|other| other.joins(&group))).await;
    group
}

/// How much somebody says while faults strike, and with which pauses. A client of another homeserver that nobody here
/// knows gets a hundred tokens a day (05).
fn share(person: &Person) -> (usize, Duration) {
    let texts = match person.home {
        ALPHA => TEXTS_NEAR,
        _ => TEXTS_FAR,
    };
    (texts, 2 * cut_time() / u32::try_from(texts).unwrap())
}

/// How long gamma is cut off; all talk for twice as long.
fn cut_time() -> Duration {
    if is_long() { A_MINUTE } else { A_WHILE }
}

fn is_long() -> bool {
    std::env::var_os("PHOENIX_LONG").is_some()
}

const ALPHA: usize = 0;
const BETA: usize = 1;
const GAMMA: usize = 2;
const PEOPLE: [(&str, usize); 5] =
    [("ada", ALPHA), ("ben", ALPHA), ("cleo", BETA), ("dan", BETA), ("eva", GAMMA)];
/// Who measures what a send takes, so often each time.
const TIMED: usize = 1;
const TIMED_TEXTS: usize = 50;
/// What each user of alpha says beside that, and each other one.
const TEXTS_NEAR: usize = 396;
const TEXTS_FAR: usize = 36;
/// What all say together.
const TEXTS: usize = 2 * TIMED_TEXTS + 2 * TEXTS_NEAR + 3 * TEXTS_FAR;
const A_WHILE: Duration = Duration::from_secs(10);
const A_MINUTE: Duration = Duration::from_secs(60);
/// How long a process that was killed is away.
const DEAD: Duration = Duration::from_secs(1);
/// How long something may take that must come to pass, beside four times the cut: what was on its way when a homeserver
/// was killed is sent again after a minute and a half.
const PATIENCE: Duration = Duration::from_secs(120);
const SECOND_COPIES: Duration = Duration::from_secs(2);
const A_MOMENT: Duration = Duration::from_millis(20);
