//! Where the stories take place: a group, and those who do something with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use phoenix_client::{Client, Event};
use phoenix_conformance::world::VirtualClock;
use phoenix_core::{
    GroupId, UserId,
    crypto::Suite,
    time::{DAY, MINUTE},
};

use crate::{
    player::{ALPHA, BETA, Player, Who, until},
    second_client::{Heard, Known, SecondClient},
    site::Site,
};

/// Who plays, and the group that it is about.
pub(crate) struct Stage {
    players: BTreeMap<Who, Player>,
    friends: BTreeSet<(Who, Who)>,
    group: Option<GroupId>,
    clock: VirtualClock,
}

/// Tells a story once in each suite: of all keys, and of the groups.
pub(crate) fn in_both_suites<F>(cast: &[Who], story: impl Fn(Stage) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for suite in [Suite::Ed25519, Suite::P256] {
        println!("in suite {suite:?}");
        let mut site = Site::new(&[ALPHA, BETA], 1);
        let players = cast.iter().map(|who| (*who, Player::register(*who, &mut site, suite))).collect();
        let clock = site.clock.clone();
        site.run(story(Stage { players, friends: BTreeSet::new(), group: None, clock }));
    }
}

impl Stage {
    /// A group of friends: the host makes it and adds the guests, who all join.
    pub(crate) async fn gather(&mut self, host: Who, guests: &[Who]) {
        for guest in guests {
            self.befriend(host, *guest).await;
        }
        let group = self.player(host).create_group().await;
        self.go_to(group);
        self.invite(host, guests).await;
    }

    /// Adds friends to the group, who all join.
    pub(crate) async fn invite(&mut self, host: Who, guests: &[Who]) {
        let (group, users) = (self.group(), self.users(guests));
        self.player(host).invite(&group, &users).await;
        let host = self.user(host);
        for guest in guests {
            self.player(*guest).join(&group, &host).await;
        }
    }

    /// Lets two users connect, if they are not yet.
    pub(crate) async fn befriend(&mut self, one: Who, other: Who) {
        if self.friends.insert((one, other)) {
            self.friends.insert((other, one));
            self.connect(one, other).await;
        }
    }

    /// Lets two users connect, and answers their group. Who is on mls-rs offers; two of them have no way to.
    pub(crate) async fn connect(&mut self, one: Who, other: Who) -> GroupId {
        let is_on_mls_rs = matches!(self.player(other), Player::Second(_));
        let (offers, accepts) = if is_on_mls_rs { (other, one) } else { (one, other) };
        let friend = self.on_openmls(accepts);
        let group = self.player(offers).offer_connection(friend.user()).await;
        let offer = until(&friend, |event| match event {
            Event::Offer { offer, .. } => Some(*offer),
            _ => None,
        });
        friend.accept(offer.await).await.unwrap();
        self.player(offers).is_told_to_be_connected(&group).await;
        group
    }

    /// From now on it is about this group.
    pub(crate) fn go_to(&mut self, group: GroupId) {
        self.group = Some(group);
    }

    /// The group that it is about.
    pub(crate) fn group(&self) -> GroupId {
        self.group.clone().unwrap()
    }

    pub(crate) async fn update(&mut self, who: Who) {
        let group = self.group();
        self.player(who).update(&group).await;
    }

    pub(crate) async fn remove(&mut self, who: Who, whom: Who) {
        let (group, whom) = (self.group(), self.user(whom));
        self.player(who).remove(&group, &whom).await;
    }

    /// Makes these members admins, and nobody else.
    pub(crate) async fn appoint(&mut self, who: Who, admins: &[Who]) {
        let (group, admins) = (self.group(), self.users(admins));
        self.player(who).appoint(&group, &admins).await;
    }

    pub(crate) async fn leave(&mut self, who: Who) {
        let group = self.group();
        self.player(who).leave(&group).await;
    }

    pub(crate) async fn send(&mut self, who: Who, text: &str) {
        let group = self.group();
        self.player(who).send(&group, text).await;
    }

    pub(crate) async fn end_queue(&mut self, who: Who) {
        self.player(who).end_queue().await;
    }

    /// What all must do every few weeks to stay registered: renew credentials, and look at their queues.
    pub(crate) async fn stay_registered(&mut self) {
        for player in self.players.values_mut() {
            player.catch_up().await;
            player.account().sync(Duration::ZERO).await.unwrap();
            player.account().renew_credential().await.unwrap();
        }
    }

    /// Reads all that has come.
    pub(crate) async fn catch_up(&mut self, who: Who) {
        self.player(who).catch_up().await;
    }

    /// What somebody on mls-rs hears next.
    pub(crate) async fn hears(&mut self, who: Who) -> Vec<Heard> {
        self.on_mls_rs(who).read().await
    }

    pub(crate) async fn epoch(&mut self, who: Who) -> u64 {
        let group = self.group();
        self.player(who).epoch(&group).await
    }

    /// Who is admin, as somebody sees it.
    pub(crate) async fn admins(&mut self, who: Who) -> Vec<UserId> {
        let group = self.group();
        let members = self.player(who).members(&group).await.into_iter();
        members.filter(|it| it.is_admin).map(|it| it.user).collect()
    }

    /// A member of the group, as somebody on mls-rs sees it.
    pub(crate) async fn member(&mut self, who: Who, whom: Who) -> Known {
        let (group, whom) = (self.group(), self.user(whom));
        let members = self.on_mls_rs(who).members(&group).await;
        members.into_iter().find(|it| it.user == whom).unwrap()
    }

    /// Lets days pass in which nothing happens, and then a minute in which the homeservers do what has become due.
    pub(crate) async fn sleep(&self, days: u64) {
        self.clock.leap_ms(days * DAY * 1_000);
        self.wait(MINUTE).await;
    }

    /// Lets so many seconds pass.
    pub(crate) async fn wait(&self, seconds: u64) {
        self.clock.sleep_ms(seconds * 1_000).await;
    }

    /// Waits until somebody learns to be no member any more.
    pub(crate) async fn assert_out(&mut self, who: Who) {
        let group = self.group();
        self.player(who).is_told_to_be_out(&group).await;
    }

    /// Checks that these are the members, that all of them are in one epoch and see the same, and that each reads what
    /// the others write.
    pub(crate) async fn assert_in_step(&mut self, members: &[Who]) {
        let (group, mut seen) = (self.group(), Vec::new());
        for who in members {
            self.catch_up(*who).await;
        }
        for who in members {
            let player = self.player(*who);
            seen.push((player.epoch(&group).await, player.members(&group).await));
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
        let users: BTreeSet<_> = seen.swap_remove(0).1.into_iter().map(|it| it.user).collect();
        assert_eq!(users, self.users(members).into_iter().collect());
        for writer in members {
            let text = format!("{writer:?} writes");
            self.send(*writer, &text).await;
            let expected = vec![(self.user(*writer), text)];
            for reader in members.iter().filter(|reader| *reader != writer) {
                assert_eq!(self.player(*reader).texts(&group).await, expected);
            }
        }
    }

    pub(crate) fn user(&mut self, who: Who) -> UserId {
        self.player(who).user().clone()
    }

    pub(crate) fn users(&mut self, of: &[Who]) -> Vec<UserId> {
        of.iter().map(|who| self.user(*who)).collect()
    }

    /// The reference client of somebody who has it.
    pub(crate) fn on_openmls(&mut self, who: Who) -> Arc<Client> {
        match self.player(who) {
            Player::First(client) => client.clone(),
            Player::Second(_) => panic!("{who:?} is on mls-rs"),
        }
    }

    /// The second client of somebody who has it.
    pub(crate) fn on_mls_rs(&mut self, who: Who) -> &mut SecondClient {
        match self.player(who) {
            Player::First(_) => panic!("{who:?} is on OpenMLS"),
            Player::Second(client) => client,
        }
    }

    fn player(&mut self, who: Who) -> &mut Player {
        self.players.get_mut(&who).unwrap()
    }
}
