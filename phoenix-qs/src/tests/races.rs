//! Calls that get in each other's way.

use std::sync::Arc;

use futures::FutureExt;
use phoenix_core::{
    Origin, Reject,
    api::{
        Empty, Endpoint,
        federation::RecipientResult::{Delivered, Gone},
        queue::{GetAddPackagesRequest, UpdateQsClientRequest},
    },
    crypto::{HpkeSecretKey, Suite},
    operation::{Fare, Operation, RequestOf},
    queue::ClientRatchet,
    token::Class,
    wire::Sender,
};

use super::{
    client::Client,
    update_client::nothing,
    world::{Home, envelope},
};
use crate::{
    QueueService,
    kinds::{CLIENT, PACKAGES, USER},
    op::{
        delete_client::DeleteClient, delete_user::DeleteUser, deliver::Deliver,
        get_add_packages::GetAddPackages, publish_add_packages::PublishAddPackages,
        update_client::UpdateClient,
    },
};

#[test]
fn who_loses_the_race_for_a_package_gets_the_next_one_for_the_same_token() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 20, 1);
    client.publish(&home, &request).unwrap();
    let fetch = GetAddPackagesRequest { token: client.friendship(), suite: 1 };
    let call = envelope::<GetAddPackages>(&fetch, None, Some(home.token(Class::Standard)));
    let engine = Arc::clone(&home.engine);

    // After the user and the list were read, and before the package is.
    home.fragile.meanwhile(2, async move {
        engine.call::<GetAddPackages>(call, Origin::default()).await.unwrap();
    });
    let served = client.fetch(&home, 1).unwrap();

    assert_eq!(served.packages.to_vec(), request.packages[1..2]);
}

#[test]
fn two_clients_of_a_user_that_end_at_once_leave_no_user_behind() {
    // Who signs for the user has its record read with the client's.
    for (is_ended_by_user, rounds) in [(false, 3), (true, 2)] {
        for reads in 0..rounds {
            let home = Home::alone();
            let mut client = Client::at(&home, 1);
            let mut sibling = client.sibling(2);
            sibling.join(&home).unwrap();
            let ending = sibling.ending();
            let beside = sibling.elsewhere::<DeleteClient>(&home, &ending);

            home.fragile.meanwhile(reads, beside);
            let ending = client.ending();
            if is_ended_by_user {
                client.as_user::<DeleteClient>(&home, &ending, &[]).unwrap();
            } else {
                client.as_client::<DeleteClient>(&home, &ending, &[]).unwrap();
            }

            let left = [USER, CLIENT].map(|kind| home.partitions(kind).len());
            assert_eq!(left, [0, 0], "after {reads} reads");
        }
    }
}

#[test]
fn a_client_that_is_made_while_the_last_other_one_ends_has_a_user_or_is_refused() {
    for reads in 0..2 {
        let home = Home::alone();
        let mut client = Client::at(&home, 1);
        let ending = client.ending();
        let beside = client.elsewhere::<DeleteClient>(&home, &ending);
        let mut sibling = client.sibling(2);

        home.fragile.meanwhile(reads, beside);

        assert_eq!(sibling.join(&home), Err(Reject::Unauthenticated));
        assert_eq!(home.partitions(CLIENT).len() + home.partitions(USER).len(), 0);
    }
}

#[test]
fn what_is_published_while_the_user_is_deleted_is_not_left_behind() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 2, 1);
    let (sender, key) = (Sender::QsUser(client.user), client.user_key.clone());
    let beside = client.signed_elsewhere::<DeleteUser>(&home, &Empty {}, (sender, &key));

    home.fragile.before_commit(beside);
    assert_eq!(client.publish(&home, &request), Err(Reject::Unauthenticated));

    assert_eq!(home.partitions(PACKAGES).len(), 0);
}

#[test]
fn who_fetches_while_all_packages_are_replaced_gets_one_of_those_that_stay() {
    for reads in 0..3 {
        let home = Home::alone();
        let mut client = Client::publishing(&home, 1);
        let request = client.publication(&home, 3, 1);
        let beside = client.elsewhere::<PublishAddPackages>(&home, &request);

        home.fragile.meanwhile(reads, beside);
        let served = client.fetch(&home, 1).unwrap();

        assert_eq!(served.packages.to_vec(), request.packages[..1], "after {reads} reads");
        assert_eq!(client.fetch(&home, 1).unwrap().packages.to_vec(), request.packages[1..2]);
    }
}

#[test]
fn a_message_that_comes_while_its_queue_begins_again_can_be_read_with_the_new_key() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    let new = HpkeSecretKey::generate(Suite::Ed25519, &mut client.chance);
    let request = UpdateQsClientRequest { queue_key: Some(new.public_key().clone()), ..nothing() };
    let beside = client.elsewhere::<UpdateClient>(&home, &request);

    home.fragile.before_commit(beside);
    assert_eq!(home.deliver(home.local(&[&config], "meanwhile")), [Delivered]);

    client.ratchet = ClientRatchet::new(new);
    assert_eq!(client.read_texts(&home), ["meanwhile"]);
}

#[test]
fn a_queue_that_begins_again_while_a_message_comes_drops_it_and_numbers_on() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    let new = HpkeSecretKey::generate(Suite::Ed25519, &mut client.chance);
    let request = UpdateQsClientRequest { queue_key: Some(new.public_key().clone()), ..nothing() };
    let (engine, message) = (Arc::clone(&home.replica), home.local(&[&config], "before"));

    home.fragile.before_commit(async move {
        engine.internal::<Deliver>(message, Fare::Free).await.unwrap();
    });
    client.as_client::<UpdateClient>(&home, &request, &[]).unwrap();

    client.ratchet = ClientRatchet::new(new);
    assert_eq!(client.state(&home).unwrap().clients[0].next_seq, 3);
    assert_eq!(client.read_texts(&home), Vec::<String>::new());
}

#[test]
fn a_message_that_comes_while_its_client_ends_is_gone_and_brings_nothing_back() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    let ending = client.ending();
    let beside = client.elsewhere::<DeleteClient>(&home, &ending);

    home.fragile.before_commit(beside);

    assert_eq!(home.deliver(home.local(&[&config], "meanwhile")), [Gone]);
    assert_eq!(home.partitions(CLIENT).len(), 0);
}

impl Client {
    /// A call by this client at another instance of the homeserver, which succeeds.
    fn elsewhere<O: Operation<Service = QueueService>>(
        &mut self,
        home: &Home,
        request: &RequestOf<O>,
    ) -> impl Future<Output = ()> + Send + use<O> {
        let (sender, key) = (Sender::QsClient(self.id), self.key.clone());
        self.signed_elsewhere::<O>(home, request, (sender, &key))
    }

    fn signed_elsewhere<O: Operation<Service = QueueService>>(
        &mut self,
        home: &Home,
        request: &RequestOf<O>,
        (sender, key): (Sender, &phoenix_core::crypto::SigningKey),
    ) -> impl Future<Output = ()> + Send + use<O> {
        let token = O::Endpoint::DESCRIPTION.token.map(|class| home.token(class));
        let frame = self.signed::<O>(home, request, (sender, key, &[]), token.as_ref());
        let (call, engine) = (envelope::<O>(request, Some(frame), token), Arc::clone(&home.replica));
        async move { engine.call::<O>(call, Origin::default()).await }.map(|outcome| {
            outcome.unwrap();
        })
    }
}
