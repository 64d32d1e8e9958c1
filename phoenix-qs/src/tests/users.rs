//! `update_user`, `get_user` and `delete_user`.

use phoenix_core::{
    Reject,
    api::{
        Empty,
        queue::{FormerTokens, FriendshipToken, PackagesLeft, QsUserRecord, UpdateUserRequest},
    },
    crypto::{SigningKey, Suite, VerifyingKey},
    time::{DAY, Month},
    token::Class,
    wire::{Flag, Opaque, Secret, Sender},
};

use super::{client::Client, packages::fetch, world::Home};
use crate::{
    kinds::{CLIENT, PACKAGES, USER},
    op::{delete_user::DeleteUser, get_user::GetUser, update_user::UpdateUser},
};

#[test]
fn a_new_auth_key_signs_for_the_record_and_the_former_one_no_more() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let former = client.user_key.clone();
    let new = SigningKey::generate(Suite::P256, &mut client.chance);
    let request = UpdateUserRequest { auth_key: Some(new.verifying_key()), ..nothing() };

    client.as_user::<UpdateUser>(&home, &request, &[&new]).unwrap();

    assert_eq!(client.state(&home), Err(Reject::Unauthenticated));
    client.user_key = new.clone();
    assert_eq!(client.state(&home).unwrap().auth_key, new.verifying_key());
    client.user_key = former;
    assert_eq!(client.as_user::<DeleteUser>(&home, &Empty {}, &[]), Err(Reject::Unauthenticated));
}

#[test]
fn a_new_auth_key_must_be_a_key_and_sign_too() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let new = SigningKey::generate(Suite::Ed25519, &mut client.chance);
    let request = UpdateUserRequest { auth_key: Some(new.verifying_key()), ..nothing() };
    let other = client.key.clone();

    for co_signers in [&[][..], &[&other][..]] {
        let outcome = client.as_user::<UpdateUser>(&home, &request, co_signers);
        assert_eq!(outcome, Err(Reject::Unauthenticated));
    }
    let no_key = VerifyingKey { suite: Suite::P256, key: Opaque::new(vec![0; 65]).unwrap() };
    let request = UpdateUserRequest { auth_key: Some(no_key), ..nothing() };
    let outcome = client.as_user::<UpdateUser>(&home, &request, &[]);
    assert_eq!(outcome, Err(Reject::Malformed("signature key")));

    assert!(client.state(&home).is_ok(), "nothing has changed");
}

#[test]
fn the_tokens_of_a_former_secret_are_good_for_a_day_of_grace_and_the_rest_of_the_next() {
    let home = Home::alone();
    home.clock.stand_still();
    let mut client = Client::publishing(&home, 1);
    let former = client.friendship();

    let new = client.rotate(&home, 7, FormerTokens::Grace);

    assert_ne!(former.route, new.route);
    let now = home.clock_now().as_secs();
    let until = client.state(&home).unwrap().former_until.unwrap();
    assert_eq!(until % DAY, 0, "what is kept does not tell when in a day the secret was changed");
    assert!((now + DAY..now + 2 * DAY).contains(&until));
    home.clock.advance_s(until - now - 1);
    assert!(fetch(&home, former.clone(), 1).is_ok());
    assert!(fetch(&home, new.clone(), 1).is_ok());
    home.clock.advance_s(1);
    assert_eq!(fetch(&home, former, 1), Err(Reject::NotFound));
    assert!(fetch(&home, new, 1).is_ok());
    assert_eq!(client.state(&home).unwrap().former_until, None);
}

#[test]
fn revoking_ends_the_former_tokens_at_once_also_those_in_their_grace() {
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);
    let first = client.friendship();
    let second = client.rotate(&home, 7, FormerTokens::Grace);

    let third = client.rotate(&home, 8, FormerTokens::Revoked);

    for former in [first, second] {
        assert_eq!(fetch(&home, former, 1), Err(Reject::NotFound));
    }
    assert!(fetch(&home, third, 1).is_ok());
}

#[test]
fn what_was_given_in_grace_can_be_revoked_without_another_secret() {
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);
    let former = client.friendship();
    let new = client.rotate(&home, 7, FormerTokens::Grace);

    client.as_user::<UpdateUser>(&home, &nothing(), &[]).unwrap();
    assert!(fetch(&home, former.clone(), 1).is_ok(), "grace goes on");
    let request = UpdateUserRequest { former: FormerTokens::Revoked, ..nothing() };
    let route = client.as_user::<UpdateUser>(&home, &request, &[]).unwrap();

    assert_eq!(fetch(&home, former, 1), Err(Reject::NotFound));
    assert!(fetch(&home, FriendshipToken { route, ..new }, 1).is_ok(), "a fresh route to the same record");
}

#[test]
fn of_many_secrets_within_a_day_the_oldest_ends_first() {
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);
    let mut tokens = vec![client.friendship()];
    for secret in 10..15 {
        tokens.push(client.rotate(&home, secret, FormerTokens::Grace));
    }

    let good: Vec<bool> = tokens.into_iter().map(|token| fetch(&home, token, 1).is_ok()).collect();

    assert_eq!(good, [false, true, true, true, true, true]);
}

#[test]
fn a_user_sees_its_clients_their_queues_and_packages() {
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);
    let mut sibling = client.sibling(2);
    sibling.join(&home).unwrap();
    let config = client.config(&home, Some("alpha.test"));
    home.deliver(home.local(&[&config], "hello"));

    let QsUserRecord { auth_key, former_until, clients } = client.state(&home).unwrap();

    assert_eq!((auth_key, former_until), (client.user_key.verifying_key(), None));
    let [first, second] = &clients[..] else { panic!("two clients") };
    assert_eq!((first.client, second.client), (client.id, sibling.id));
    assert_eq!(first.auth_key, client.key.verifying_key());
    assert_eq!((first.next_seq, first.queued, second.queued), (2, 2, 1));
    assert!(first.queued_bytes > second.queued_bytes && second.queued_bytes > 0);
    assert_eq!(first.packages.to_vec(), [PackagesLeft { suite: 1, ordinary: 20, last_resort: 2 }]);
    assert_eq!(second.packages.to_vec(), []);
    assert_eq!((first.has_push_token, first.min_generation), (Flag::No, 0));
    assert_eq!(first.active, Month::of(home.clock_now()));
}

#[test]
fn a_client_that_has_expired_is_shown_no_more_though_nobody_has_swept_it_away() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut sibling = client.sibling(2);
    sibling.join(&home).unwrap();
    for _ in 0..5 {
        home.clock.advance_s(30 * DAY);
        client.read(&home);
    }

    let shown = client.state(&home).unwrap().clients;

    assert_eq!(home.partitions(CLIENT).len(), 2);
    assert_eq!(shown.iter().map(|it| it.client).collect::<Vec<_>>(), [client.id]);
    let config = sibling.config(&home, Some("alpha.test"));
    let results = home.deliver(home.local(&[&config], "too late"));
    assert_eq!(results, [phoenix_core::api::federation::RecipientResult::Gone]);
    let request = phoenix_core::api::queue::DequeueRequest { from: 0, max: 1, ack_below: 0, wait_s: 0 };
    assert_eq!(sibling.dequeue(&home, &request), Err(Reject::Unauthenticated));
}

#[test]
fn a_deleted_user_leaves_nothing_behind() {
    let home = Home::alone();
    let mut client = Client::publishing(&home, 1);
    let mut sibling = client.sibling(2);
    sibling.join(&home).unwrap();
    let mut other = Client::publishing(&home, 3);
    let config = client.config(&home, Some("alpha.test"));

    client.as_user::<DeleteUser>(&home, &Empty {}, &[]).unwrap();

    assert_eq!(home.partitions(CLIENT).len(), 1);
    assert_eq!(home.partitions(USER).len(), 1);
    assert_eq!(home.partitions(PACKAGES).len(), 1);
    let gone = phoenix_core::api::federation::RecipientResult::Gone;
    assert_eq!(home.deliver(home.local(&[&config], "hello?")), [gone]);
    assert_eq!(fetch(&home, client.friendship(), 1), Err(Reject::NotFound));
    assert_eq!(other.read(&home), []);
    client.create(&home).unwrap();
}

#[test]
fn only_the_users_own_key_changes_reads_or_ends_a_record_and_nobody_looks_the_same() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut thief = Client { user: client.user, ..Client::unknown(2) };
    let mut nobody = Client::unknown(3);

    for stranger in [&mut thief, &mut nobody] {
        assert_eq!(stranger.as_user::<UpdateUser>(&home, &nothing(), &[]), Err(Reject::Unauthenticated));
        assert_eq!(stranger.state(&home), Err(Reject::Unauthenticated));
        let deleted = stranger.as_user::<DeleteUser>(&home, &Empty {}, &[]);
        assert_eq!(deleted, Err(Reject::Unauthenticated));
    }
    assert_eq!(client.as_client::<GetUser>(&home, &Empty {}, &[]), Err(Reject::Unauthenticated));
    assert_eq!(client.as_client::<DeleteUser>(&home, &Empty {}, &[]), Err(Reject::Unauthenticated));

    assert!(client.state(&home).is_ok());
}

#[test]
fn a_record_is_changed_for_a_standard_token_only_and_deleted_once_with_one_frame() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (key, sender) = (client.user_key.clone(), Sender::QsUser(client.user));
    let token = home.token(Class::Home);
    let frame = client.signed::<UpdateUser>(&home, &nothing(), (sender.clone(), &key, &[]), Some(&token));
    assert_eq!(home.call::<UpdateUser>(&nothing(), Some(frame), Some(token)), Err(Reject::TokenRequired));

    let frame = client.signed::<DeleteUser>(&home, &Empty {}, (sender, &key, &[]), None);
    home.call::<DeleteUser>(&Empty {}, Some(frame.clone()), None).unwrap();
    client.create(&home).unwrap();

    assert!(home.call::<DeleteUser>(&Empty {}, Some(frame), None).is_err(), "a frame of before");
    assert!(client.state(&home).is_ok());
}

/// A change of nothing.
fn nothing() -> UpdateUserRequest {
    UpdateUserRequest { auth_key: None, friendship_secret: None, former: FormerTokens::Grace }
}

impl Client {
    /// A client with a record, and packages that can be fetched.
    pub(super) fn publishing(home: &Home, seed: u8) -> Self {
        let mut client = Self::at(home, seed);
        let request = client.publication(home, 20, 2);
        client.publish(home, &request).unwrap();
        client
    }

    pub(super) fn state(&mut self, home: &Home) -> Result<QsUserRecord, Reject> {
        self.as_user::<GetUser>(home, &Empty {}, &[])
    }

    /// Takes another friendship secret; the token that goes with it.
    fn rotate(&mut self, home: &Home, secret: u8, former: FormerTokens) -> FriendshipToken {
        self.secret = Secret::new([secret; 32]);
        let request = UpdateUserRequest { friendship_secret: Some(self.secret.clone()), former, ..nothing() };
        self.route = Some(self.as_user::<UpdateUser>(home, &request, &[]).unwrap());
        self.friendship()
    }
}
