//! `publish_add_packages` and `get_add_packages`.

use phoenix_core::{
    QsUserId, Reject,
    api::queue::{
        AddPackage, AddPackages, ClientQueueConfig, EntryKind, FriendshipToken, GetAddPackagesRequest,
        PublishAddPackagesRequest, Route,
    },
    crypto::{Chance, sha256},
    time::{DAY, Month},
    token::Class,
    wire::{Flag, List, Opaque, Secret, Wire},
};

use super::{client::Client, world::Home};
use crate::{
    friendship,
    key_package::{KeyPackage, Lifetime, tests::example},
    kinds::PACKAGES,
    op::{get_add_packages::GetAddPackages, publish_add_packages::PublishAddPackages},
};

#[test]
fn packages_are_served_once_each_with_the_servers_word_for_it() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 12, 1);
    client.publish(&home, &request).unwrap();

    let served: Vec<AddPackages> = (0..2).map(|_| client.fetch(&home, 1).unwrap()).collect();

    assert_eq!(served[0].packages.to_vec(), request.packages[..1]);
    assert_eq!(served[1].packages.to_vec(), request.packages[1..2]);
    let batch = &served[0].batch;
    let reference = KeyPackage::reference(&request.packages[0].key_package);
    assert_eq!(batch.payload.packages.to_vec(), [reference]);
    assert_eq!((&batch.payload.domain, batch.payload.issued_at), (&home.domain, home.clock_now().as_secs()));
    let keys = home.engine.ring().service.public(home.clock_now());
    assert_eq!(keys.verifying[0].id, batch.payload.key);
    let verified = keys.verifying[0].key.verify("KeyPackageBatch", &batch.payload.encode(), &batch.signature);
    assert_eq!(verified, Ok(()));
}

#[test]
fn last_resort_packages_are_served_in_turn_and_stay_and_the_client_is_told_once() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 11, 2);
    client.publish(&home, &request).unwrap();
    client.fetch(&home, 1).unwrap();
    assert_eq!(client.read(&home), [], "ten are left");

    let rest: Vec<AddPackage> =
        (0..14).map(|_| client.fetch(&home, 1).unwrap().packages[0].clone()).collect();

    assert_eq!(rest[..10], request.packages[1..]);
    let turns = [&rest[10], &rest[11], &rest[12], &rest[13]];
    let [one, two] = [&request.last_resort[0], &request.last_resort[1]];
    assert_eq!(turns, [one, two, one, two]);
    let told = client.read(&home);
    assert_eq!(told.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [EntryKind::PackagesLow]);
}

#[test]
fn a_client_is_told_that_few_packages_of_one_suite_are_left_though_it_has_many_of_another() {
    // given a client with twelve packages of one suite and ten of another
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut request = client.publication(&home, 12, 1);
    let of_suite_2: Vec<_> = (0..10).map(|_| client.package(&home, 2, 12)).collect();
    let last_resort_2 = client.package(&home, 2, 12);
    request.packages = List::new([request.packages.to_vec(), of_suite_2].concat()).unwrap();
    request.last_resort = List::new([request.last_resort.to_vec(), vec![last_resort_2]].concat()).unwrap();
    client.publish(&home, &request).unwrap();

    // when enough are left of the suite that is fetched, nothing is told
    client.fetch(&home, 1).unwrap();
    assert_eq!(client.read(&home), []);

    // when too few are, it is
    client.fetch(&home, 2).unwrap();
    let told = client.read(&home);
    assert_eq!(told.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [EntryKind::PackagesLow]);
}

#[test]
fn a_publication_replaces_or_adds_and_only_as_a_whole() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let first = client.publication(&home, 2, 1);
    client.publish(&home, &first).unwrap();
    let mut more = client.publication(&home, 1, 1);
    more.append = Flag::Yes;
    client.publish(&home, &more).unwrap();
    assert_eq!(home.partitions(PACKAGES)[0].1.rows.len(), 6);

    let mut torn = client.publication(&home, 2, 1);
    let mut packages = torn.packages.to_vec();
    packages[1].key_package = Opaque::new(vec![1; 100]).unwrap();
    torn.packages = List::new(packages).unwrap();
    let before = home.partitions(PACKAGES);
    assert_eq!(client.publish(&home, &torn), Err(Reject::Malformed("key_package")));
    assert_eq!(home.partitions(PACKAGES), before);

    let other = client.publication(&home, 1, 1);
    client.publish(&home, &other).unwrap();
    assert_eq!(home.partitions(PACKAGES)[0].1.rows.len(), 3);
    assert_eq!(client.fetch(&home, 1).unwrap().packages[0], other.packages[0]);
}

#[test]
fn each_suite_offered_has_last_resort_packages_and_no_more_than_eight() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    for (ordinary, last_resort) in [(1, 0), (1, 9)] {
        let request = client.publication(&home, ordinary, last_resort);
        assert_eq!(client.publish(&home, &request), Err(Reject::Malformed("last_resort")));
    }
    let mut two_suites = client.publication(&home, 1, 1);
    let of_suite_2 = client.package(&home, 2, 12);
    two_suites.packages = List::new([two_suites.packages.to_vec(), vec![of_suite_2]].concat()).unwrap();
    assert_eq!(client.publish(&home, &two_suites), Err(Reject::Malformed("last_resort")));
    let none = client.publication(&home, 0, 1);
    assert_eq!(client.publish(&home, &none), Err(Reject::Malformed("packages")));

    let last_resort_2 = client.package(&home, 2, 12);
    two_suites.last_resort =
        List::new([two_suites.last_resort.to_vec(), vec![last_resort_2]].concat()).unwrap();
    client.publish(&home, &two_suites).unwrap();
    assert_eq!(client.fetch(&home, 2).unwrap().packages[0], two_suites.packages[1]);
}

#[test]
fn a_key_that_stands_twice_in_a_batch_is_refused() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut request = client.publication(&home, 2, 1);
    request.last_resort = List::new(vec![request.packages[0].clone()]).unwrap();

    assert_eq!(client.publish(&home, &request), Err(Reject::DuplicateKey));
}

#[test]
fn a_config_that_is_not_the_clients_own_for_any_ds_until_the_package_ends_is_refused() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut other = Client::at(&home, 2);
    let foreign = other.config(&home, None);
    let narrow = client.config(&home, Some("alpha.test"));
    let mut tbs = client.config_tbs(None);
    tbs.expires = Month::of(home.clock_now());
    let short = client.sealed(&home, tbs);
    let elsewhere = ClientQueueConfig { domain: "beta.test".parse().unwrap(), ..client.config(&home, None) };

    for config in [foreign, narrow, short, elsewhere] {
        let hash = sha256(&config.encode());
        let request = client.with_package(&home, 12, config, hash);
        assert_eq!(client.publish(&home, &request), Err(Reject::Malformed("config")));
    }
    let config = client.config(&home, None);
    let request = client.with_package(&home, 12, config, [1; 32]);
    assert_eq!(client.publish(&home, &request), Err(Reject::Malformed("config")));
}

#[test]
fn lifetimes_of_more_than_a_year_or_not_of_whole_months_or_that_are_over_are_refused() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let month = Month::of(home.clock_now());
    let lifetime = |first: Month, months: u32| Lifetime {
        not_before: first.start().as_secs(),
        not_after: first.plus(months).start().as_secs() - 1,
    };
    let year = lifetime(month, 12);

    for wrong in [
        lifetime(month, 13),
        lifetime(month.plus(1), 6),
        lifetime(Month(month.0 - 3), 3),
        Lifetime { not_before: year.not_before + 60, ..year },
        Lifetime { not_after: year.not_after - 60, ..year },
    ] {
        let package = client.living(&home, wrong);
        let request = PublishAddPackagesRequest {
            packages: List::new(vec![package]).unwrap(),
            ..client.publication(&home, 1, 1)
        };
        assert_eq!(client.publish(&home, &request), Err(Reject::Malformed("lifetime")));
    }
}

#[test]
fn packages_with_too_little_left_are_not_served() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 3, 1);
    client.publish(&home, &request).unwrap();

    home.clock.advance_s(240 * DAY);

    assert_eq!(client.fetch(&home, 1), Err(Reject::NotFound));
}

#[test]
fn packages_that_became_too_old_go_when_the_client_reads_and_it_is_told() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 12, 2);
    client.publish(&home, &request).unwrap();
    let mut told = Vec::new();
    for _ in 0..7 {
        home.clock.advance_s(31 * DAY);
        told.extend(client.read(&home));
        told.extend(client.read(&home));
    }
    assert_eq!((told.len(), home.partitions(PACKAGES)[0].1.rows.len()), (0, 15));

    home.clock.advance_s(31 * DAY);
    for _ in 0..3 {
        told.extend(client.read(&home));
    }

    assert_eq!(told.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [EntryKind::PackagesLow]);
    assert_eq!(home.partitions(PACKAGES)[0].1.rows.len(), 1, "the list is empty");
}

#[test]
fn a_publication_has_one_to_a_hundred_packages_and_a_client_two_hundred_and_thirty_two() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let full = client.publication(&home, 100, 4);
    client.publish(&home, &full).unwrap();
    let mut more = client.publication(&home, 100, 4);
    more.append = Flag::Yes;
    client.publish(&home, &more).unwrap();

    let mut too_many = client.publication(&home, 25, 0);
    too_many.append = Flag::Yes;
    assert_eq!(client.publish(&home, &too_many), Err(Reject::TooLarge("packages")));
    let mut last = client.publication(&home, 24, 0);
    last.append = Flag::Yes;
    client.publish(&home, &last).unwrap();

    assert_eq!(home.partitions(PACKAGES)[0].1.rows.len(), 1 + 232);
    for append in [Flag::Yes, Flag::No] {
        let none = PublishAddPackagesRequest { append, ..client.publication(&home, 0, 1) };
        assert_eq!(client.publish(&home, &none), Err(Reject::Malformed("packages")));
    }
}

#[test]
fn only_the_client_itself_publishes() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 1, 1);
    let mut other = Client::at(&home, 2);

    assert_eq!(other.publish(&home, &request), Err(Reject::Unauthenticated));
    let mut stranger = Client { id: client.id, ..Client::unknown(3) };
    assert_eq!(stranger.publish(&home, &request), Err(Reject::Unauthenticated));

    assert_eq!(home.partitions(PACKAGES).len(), 0);
}

#[test]
fn whoever_has_no_friendship_token_learns_nothing() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 3, 1);
    client.publish(&home, &request).unwrap();
    let good = client.friendship();
    let key = &home.engine.ring().at_rest;
    let nobody = friendship::route(key, &QsUserId([7; 16]), &mut Chance::from_seed([1; 32])).unwrap();

    let cases = [
        FriendshipToken { secret: Secret::new([7; 32]), ..good.clone() },
        FriendshipToken { route: nobody, ..good.clone() },
        FriendshipToken { route: Route(Opaque::new(vec![7; 44]).unwrap()), ..good },
    ];

    for token in cases {
        assert_eq!(fetch(&home, token, 1), Err(Reject::NotFound));
    }
    assert_eq!(client.fetch(&home, 2), Err(Reject::NotFound), "no package of that suite");
    assert_eq!(home.partitions(PACKAGES)[0].1.rows.len(), 5);
}

impl Client {
    pub(super) fn publication(
        &mut self,
        home: &Home,
        ordinary: usize,
        last_resort: usize,
    ) -> PublishAddPackagesRequest {
        let mut some = |count| (0..count).map(|_| self.package(home, 1, 12)).collect::<Vec<_>>();
        let (packages, last) = (some(ordinary), some(last_resort));
        PublishAddPackagesRequest {
            client: self.id,
            packages: List::new(packages).unwrap(),
            last_resort: List::new(last).unwrap(),
            append: Flag::No,
        }
    }

    fn package(&mut self, home: &Home, suite: u16, months: u32) -> AddPackage {
        let config = self.config(home, None);
        let hash = sha256(&config.encode());
        self.packed(home, suite, months, (config, hash))
    }

    fn with_package(
        &mut self,
        home: &Home,
        months: u32,
        config: ClientQueueConfig,
        hash: [u8; 32],
    ) -> PublishAddPackagesRequest {
        let packages = List::new(vec![self.packed(home, 1, months, (config, hash))]).unwrap();
        PublishAddPackagesRequest { packages, ..self.publication(home, 1, 1) }
    }

    fn living(&mut self, home: &Home, lifetime: Lifetime) -> AddPackage {
        let config = self.config(home, None);
        let hash = sha256(&config.encode());
        self.made(1, lifetime, (config, hash))
    }

    fn packed(
        &mut self,
        home: &Home,
        suite: u16,
        months: u32,
        config: (ClientQueueConfig, [u8; 32]),
    ) -> AddPackage {
        let month = Month::of(home.clock_now());
        let not_after = month.plus(months).start().as_secs() - 1;
        self.made(suite, Lifetime { not_before: month.start().as_secs(), not_after }, config)
    }

    fn made(
        &mut self,
        suite: u16,
        lifetime: Lifetime,
        (config, hash): (ClientQueueConfig, [u8; 32]),
    ) -> AddPackage {
        let keys = [self.chance.bytes(), self.chance.bytes(), self.chance.bytes()];
        let key_package = Opaque::new(example(suite, keys, lifetime, hash)).unwrap();
        AddPackage { key_package, config, link_key: Opaque::new(vec![3; 60]).unwrap() }
    }

    pub(super) fn publish(&mut self, home: &Home, request: &PublishAddPackagesRequest) -> Result<(), Reject> {
        let token = home.token(Class::Standard);
        let frame = self.frame::<PublishAddPackages>(home, request, Some(&token));
        home.call::<PublishAddPackages>(request, Some(frame), Some(token)).map(|_| ())
    }

    pub(super) fn fetch(&self, home: &Home, suite: u16) -> Result<AddPackages, Reject> {
        fetch(home, self.friendship(), suite)
    }
}

pub(super) fn fetch(home: &Home, token: FriendshipToken, suite: u16) -> Result<AddPackages, Reject> {
    let request = GetAddPackagesRequest { token, suite };
    home.call::<GetAddPackages>(&request, None, Some(home.token(Class::Standard)))
}
