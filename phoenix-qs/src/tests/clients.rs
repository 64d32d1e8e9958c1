//! `create_client` and `delete_client`: several clients of one user.

use phoenix_core::{
    Reject,
    api::{
        Empty,
        federation::RecipientResult::{Delivered, Gone},
        queue::{CreateClientRequest, DeleteClientRequest, MAX_QS_CLIENTS},
    },
    crypto::{HpkePublicKey, Suite},
    time::DAY,
    token::Class,
    wire::{Opaque, Sender},
};

use super::{client::Client, world::Home};
use crate::{
    kinds::{CLIENT, PACKAGES, USER},
    op::{create_client::CreateClient, delete_client::DeleteClient},
};

#[test]
fn a_further_client_has_a_queue_and_packages_of_its_own() {
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);
    let mut sibling = client.sibling(2);

    sibling.join(&home).unwrap();

    let request = sibling.publication(&home, 1, 1);
    sibling.publish(&home, &request).unwrap();
    let config = sibling.config(&home, Some("alpha.test"));
    assert_eq!(home.deliver(home.local(&[&config], "hello")), [Delivered]);
    assert_eq!(sibling.read_texts(&home), ["hello"]);
    assert_eq!(client.read(&home), []);
    let served = client.fetch(&home, 1).unwrap();
    assert_eq!((served.packages.len(), served.batch.payload.packages.len()), (2, 2), "one of each client");
    assert_eq!(served.packages[1], request.packages[0]);
}

#[test]
fn packages_of_a_client_that_has_ended_are_not_served_though_nobody_has_swept_them_away() {
    // given a user with a client that goes on, and one that nobody uses any more
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);
    let mut sibling = client.sibling(2);
    sibling.join(&home).unwrap();
    let request = sibling.publication(&home, 3, 1);
    sibling.publish(&home, &request).unwrap();
    for _ in 0..3 {
        home.clock.advance_s(30 * DAY);
        client.read(&home);
    }
    assert_eq!(client.fetch(&home, 1).unwrap().packages.len(), 2);

    // when 90 days are over after the month in which it was used
    for _ in 0..2 {
        home.clock.advance_s(30 * DAY);
        client.read(&home);
    }

    // then its packages are there, and served no more
    assert_eq!(home.partitions(PACKAGES).len(), 2);
    let served = client.fetch(&home, 1).unwrap();
    assert_eq!(served.packages.len(), 1);
    assert!(!request.last_resort.contains(&served.packages[0]));
}

#[test]
fn a_user_has_ten_clients_and_no_more_of_which_those_that_expired_do_not_count() {
    let home = Home::alone();
    let mut first = Client::at(&home, 1);
    for seed in 2..=10 {
        first.sibling(seed).join(&home).unwrap();
    }
    assert_eq!(first.sibling(11).join(&home), Err(Reject::TooLarge("clients")));
    assert_eq!(home.partitions(CLIENT).len(), MAX_QS_CLIENTS);

    for _ in 0..5 {
        home.clock.advance_s(30 * DAY);
        first.read(&home);
    }
    first.sibling(11).join(&home).unwrap();

    let clients = first.state(&home).unwrap().clients;
    assert_eq!(clients.iter().map(|it| it.client).collect::<Vec<_>>(), [first.id, first.sibling(11).id]);
}

#[test]
fn a_taken_client_id_is_refused_whosever_it_is() {
    let home = Home::alone();
    let client = Client::at(&home, 1);
    let other = Client::at(&home, 2);
    let mut same = Client { id: client.id, ..client.sibling(3) };
    let mut foreign = Client { id: other.id, ..client.sibling(4) };

    assert_eq!(same.join(&home), Err(Reject::AlreadyExists));
    assert_eq!(foreign.join(&home), Err(Reject::AlreadyExists));
}

#[test]
fn a_client_is_made_by_its_user_with_its_own_key_for_a_home_token() {
    let home = Home::alone();
    let client = Client::at(&home, 1);
    let mut new = client.sibling(2);
    let request = CreateClientRequest {
        client: new.id,
        client_key: new.key.verifying_key(),
        queue_key: new.queue_key.public_key().clone(),
    };
    let (user_key, own_key) = (client.user_key.clone(), new.key.clone());

    let alone = new.as_user::<CreateClient>(&home, &request, &[]);
    let other_co_signer = new.as_user::<CreateClient>(&home, &request, &[&client.key]);
    let mut thief = Client { user: client.user, ..Client::unknown(3) };
    let stolen = thief.as_user::<CreateClient>(&home, &request, &[&own_key]);
    let mut nobody = Client::unknown(4);
    let nobodys = nobody.as_user::<CreateClient>(&home, &request, &[&own_key]);
    let token = home.token(Class::Standard);
    let signers = (Sender::QsUser(client.user), &user_key, &[&own_key][..]);
    let frame = new.signed::<CreateClient>(&home, &request, signers, Some(&token));
    let cheap = home.call::<CreateClient>(&request, Some(frame), Some(token));
    let no_key = HpkePublicKey { suite: Suite::Ed25519, key: Opaque::new(vec![0; 32]).unwrap() };
    let wrong = CreateClientRequest { queue_key: no_key, ..request };
    let keyless = new.as_user::<CreateClient>(&home, &wrong, &[&own_key]);

    for refused in [alone, other_co_signer, stolen, nobodys] {
        assert_eq!(refused, Err(Reject::Unauthenticated));
    }
    assert_eq!(cheap, Err(Reject::TokenRequired));
    assert_eq!(keyless, Err(Reject::Malformed("encryption key")));
    assert_eq!(home.partitions(CLIENT).len(), 1);
}

#[test]
fn a_client_ends_with_its_queue_and_packages_and_the_last_one_with_its_user() {
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);
    let mut sibling = client.sibling(2);
    sibling.join(&home).unwrap();
    let request = sibling.publication(&home, 1, 1);
    sibling.publish(&home, &request).unwrap();
    let config = client.config(&home, Some("alpha.test"));

    client.as_client::<DeleteClient>(&home, &client.ending(), &[]).unwrap();

    assert_eq!(home.deliver(home.local(&[&config], "hello?")), [Gone]);
    assert_eq!(home.partitions(PACKAGES).len(), 1);
    assert_eq!(sibling.state(&home).unwrap().clients.len(), 1);
    assert_eq!(sibling.fetch(&home, 1).unwrap().packages.len(), 1);

    sibling.as_client::<DeleteClient>(&home, &sibling.ending(), &[]).unwrap();

    let left = [USER, CLIENT, PACKAGES].map(|kind| home.partitions(kind).len());
    assert_eq!(left, [0, 0, 0]);
}

#[test]
fn a_user_ends_any_of_its_clients_and_goes_with_the_last_though_others_have_expired() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut lost = client.sibling(2);
    lost.join(&home).unwrap();
    let mut expired = client.sibling(3);
    expired.join(&home).unwrap();
    for _ in 0..5 {
        home.clock.advance_s(30 * DAY);
        client.read(&home);
        lost.read(&home);
    }

    client.as_user::<DeleteClient>(&home, &lost.ending(), &[]).unwrap();
    assert_eq!(client.state(&home).unwrap().clients.len(), 1);
    let again = client.as_user::<DeleteClient>(&home, &lost.ending(), &[]);
    let too_late = client.as_user::<DeleteClient>(&home, &expired.ending(), &[]);
    assert_eq!((again, too_late), (Err(Reject::NotFound), Err(Reject::NotFound)));
    client.as_user::<DeleteClient>(&home, &client.ending(), &[]).unwrap();

    assert_eq!(home.partitions(USER).len(), 0);
    assert_eq!(client.state(&home), Err(Reject::Unauthenticated));
}

#[test]
fn nobody_ends_somebody_elses_client_and_whether_there_is_one_does_not_show() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut other = Client::at(&home, 2);
    let mut sibling = client.sibling(3);
    sibling.join(&home).unwrap();
    let nobody = Client::unknown(4);

    // A client ends only itself,
    for target in [&other, &sibling, &nobody] {
        let outcome = client.as_client::<DeleteClient>(&home, &target.ending(), &[]);
        assert_eq!(outcome, Err(Reject::Unauthenticated));
    }
    // a user only its own,
    for target in [&client, &nobody] {
        let outcome = other.as_user::<DeleteClient>(&home, &target.ending(), &[]);
        assert_eq!(outcome, Err(Reject::NotFound));
    }
    // and a stranger none.
    for id in [client.id, nobody.id] {
        let mut thief = Client { id, user: client.user, ..Client::unknown(5) };
        let ending = thief.ending();
        assert_eq!(thief.as_client::<DeleteClient>(&home, &ending, &[]), Err(Reject::Unauthenticated));
        assert_eq!(thief.as_user::<DeleteClient>(&home, &ending, &[]), Err(Reject::Unauthenticated));
    }
    assert_eq!(home.call::<DeleteClient>(&client.ending(), None, None), Err(Reject::Unauthenticated));
    let new_key = Sender::NewKey(client.key.verifying_key());
    let (key, ending) = (client.key.clone(), client.ending());
    let frame = client.signed::<DeleteClient>(&home, &ending, (new_key, &key, &[]), None);
    let otherwise = home.call::<DeleteClient>(&ending, Some(frame), None);
    assert_eq!(otherwise, Err(Reject::Unauthenticated));

    assert_eq!(home.partitions(CLIENT).len(), 3);
}

#[test]
fn an_id_that_became_free_and_is_somebody_elses_now_is_not_served_or_ended_by_its_former_user() {
    // given a user of whose two clients one has expired
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);
    let mut lost = client.sibling(2);
    lost.join(&home).unwrap();
    for _ in 0..5 {
        home.clock.advance_s(30 * DAY);
        client.read(&home);
        home.ring_alarms();
    }
    let fresh = client.publication(&home, 2, 1);
    client.publish(&home, &fresh).unwrap();

    // when somebody else takes its id
    let mut taker = Client { id: lost.id, ..Client::unknown(3) };
    taker.route = Some(taker.create(&home).unwrap());
    let foreign = taker.publication(&home, 2, 1);
    taker.publish(&home, &foreign).unwrap();

    // then it is not taken for a client of the former user
    assert_eq!(client.fetch(&home, 1).unwrap().packages.to_vec(), fresh.packages[..1]);
    let ending = taker.ending();
    assert_eq!(client.as_user::<DeleteClient>(&home, &ending, &[]), Err(Reject::NotFound));
    client.as_user::<crate::op::delete_user::DeleteUser>(&home, &Empty {}, &[]).unwrap();
    assert_eq!(taker.read(&home), []);
    assert_eq!(taker.fetch(&home, 1).unwrap().packages.to_vec(), foreign.packages[..1]);
}

impl Client {
    pub(super) fn ending(&self) -> DeleteClientRequest {
        DeleteClientRequest { client: self.id }
    }
}
