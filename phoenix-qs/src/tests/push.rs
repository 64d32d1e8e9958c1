//! `set_push_token`, and when a client is pushed to.

use phoenix_core::{
    ConfigId, Reject,
    api::{
        federation::RecipientResult::Delivered,
        queue::{
            ClientQueueConfig,
            ConfigRule::{Blocked, Muted},
            NotifyClass, PushToken, SealedPushToken, SetPushTokenRequest, WebPushSubscription,
        },
    },
    limit::{Limits, Rate},
    port::Urgency,
    time::HOUR,
    token::Class,
    wire::{Flag, Opaque, Secret, SecretOpaque, Sender, Wire},
};

use super::{client::Client, world::Home};
use crate::{
    kinds::{CLIENT, stream_topic},
    op::set_push_token::SetPushToken,
};

#[test]
fn a_client_that_left_a_token_and_its_key_is_pushed_to_once_for_each_message() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    client.leave_token(&home).unwrap();
    let (config, _) = client.pushed_config(&home);

    home.deliver(home.local(&[&config], "hello"));

    assert_eq!(home.pushed(), [(token(), Urgency::Normal)]);
    assert_eq!(home.pushed(), [], "once");
    assert_eq!(client.read_texts(&home), ["hello"]);
    assert_eq!(client.state(&home).unwrap().clients[0].has_push_token, Flag::Yes);
}

#[test]
fn the_notify_class_says_whether_and_how_soon() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    client.leave_token(&home).unwrap();
    let (config, _) = client.pushed_config(&home);
    let send = |notify| {
        let mut request = home.local(&[&config], "hello");
        request.message.notify = notify;
        assert_eq!(home.deliver(request), [Delivered]);
        home.pushed().into_iter().map(|(_, urgency)| urgency).collect::<Vec<_>>()
    };

    assert_eq!(send(NotifyClass::Silent), []);
    assert_eq!(send(NotifyClass::Normal), [Urgency::Normal]);
    assert_eq!(send(NotifyClass::Urgent), [Urgency::High]);
}

#[test]
fn nobody_is_pushed_to_without_a_token_or_without_its_key_or_with_another() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (config, _) = client.pushed_config(&home);
    let keyless = client.config(&home, Some("alpha.test"));
    let mut tbs = client.config_tbs(Some("alpha.test"));
    tbs.push_key = Some(Secret::new([9; 32]));
    let other_key = client.sealed(&home, tbs);

    home.deliver(home.local(&[&config], "before there is a token"));
    assert_eq!(home.pushed(), []);
    client.leave_token(&home).unwrap();
    for config in [&keyless, &other_key] {
        home.deliver(home.local(&[config], "hello"));
        assert_eq!(home.pushed(), []);
    }
    client.set_token(&home, None).unwrap();
    home.deliver(home.local(&[&config], "after it was taken back"));

    assert_eq!(home.pushed(), []);
    assert_eq!(client.read(&home).len(), 4);
    assert_eq!(client.state(&home).unwrap().clients[0].has_push_token, Flag::No);
}

#[test]
fn t08_muted_and_blocked_configs_do_not_ring_and_the_others_do() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    client.leave_token(&home).unwrap();
    let [(muted, muted_id), (blocked, blocked_id), (free, _)] = [(); 3].map(|()| client.pushed_config(&home));
    client.rule(&home, &[(muted_id, Muted), (blocked_id, Blocked)]).unwrap();

    home.deliver(home.local(&[&muted, &blocked], "hello"));
    assert_eq!(home.pushed(), []);
    home.deliver(home.local(&[&muted, &free], "hello"));

    assert_eq!(home.pushed().len(), 1);
}

#[test]
fn t01_a_config_rings_sixty_times_an_hour_and_all_is_in_the_queue() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    client.leave_token(&home).unwrap();
    let [(noisy, _), (other, _)] = [(); 2].map(|()| client.pushed_config(&home));
    let ring = |config: &ClientQueueConfig, times: usize| {
        (0..times).for_each(|_| assert_eq!(home.deliver(home.local(&[config], "x")), [Delivered]));
        home.pushed().len()
    };

    assert_eq!(ring(&noisy, 61), 60);
    assert_eq!(ring(&other, 1), 1, "each config has a budget of its own");
    home.clock.advance_s(HOUR);
    assert_eq!(ring(&noisy, 61), 60);

    assert_eq!(client.read(&home).len(), 61 + 1 + 61);
}

#[test]
fn the_budget_is_the_operators_to_set() {
    let home = Home::limited(Limits { pushes: Some(Rate::hourly(2)), ..Limits::unlimited() });
    let mut client = Client::at(&home, 1);
    client.leave_token(&home).unwrap();
    let (config, _) = client.pushed_config(&home);

    for _ in 0..5 {
        home.deliver(home.local(&[&config], "x"));
    }

    assert_eq!(home.pushed().len(), 2);
}

#[test]
fn who_has_an_open_stream_is_not_pushed_to() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    client.leave_token(&home).unwrap();
    let (config, _) = client.pushed_config(&home);
    let ring = home.engine.ring();
    let stream = home.engine.shared().ports().wake.subscribe(&stream_topic(&ring.at_rest, &client.id));

    home.deliver(home.local(&[&config], "while it listens"));
    assert_eq!(home.pushed(), []);
    drop(stream);
    home.deliver(home.local(&[&config], "after it has gone"));

    assert_eq!(home.pushed().len(), 1);
}

#[test]
fn pushes_that_nobody_sends_are_bounded() {
    let home = Home::limited(Limits::unlimited());
    let mut client = Client::at(&home, 1);
    client.leave_token(&home).unwrap();
    let (config, _) = client.pushed_config(&home);

    for _ in 0..1_030 {
        home.deliver(home.local(&[&config], "x"));
    }

    assert_eq!(home.pushed().len(), 1_024);
    home.deliver(home.local(&[&config], "x"));
    assert_eq!(home.pushed().len(), 1);
}

#[test]
fn a_repeated_delivery_of_another_homeserver_is_pushed_once() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    client.leave_token(&home).unwrap();
    let mut tbs = client.config_tbs(Some("beta.test"));
    tbs.push_key = Some(PUSH_KEY.into());
    let config = client.sealed(&home, tbs);
    let request = home.remote("beta.test", 1, &[&config], "hello");

    home.deliver(request.clone());
    home.deliver(request);

    assert_eq!(home.pushed().len(), 1);
}

#[test]
fn a_token_is_stored_as_it_was_sealed_and_is_of_one_size() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    client.leave_token(&home).unwrap();

    let rows = home.partitions(CLIENT)[0].1.rows.clone();
    let has = |needle: &[u8]| rows.iter().any(|(_, row)| row.windows(needle.len()).any(|it| it == needle));
    assert!(!has(b"push.example"));
    for length in [0, 2_075] {
        let short = SealedPushToken(Opaque::new(vec![1; length]).unwrap());
        assert_eq!(client.set_token(&home, Some(short)), Err(Reject::Malformed("token")));
    }
    let request = SetPushTokenRequest { token: Some(SealedPushToken(Opaque::new(vec![1; 2_076]).unwrap())) };
    let mut too_long = request.encode().to_vec();
    too_long.push(1);
    assert!(SetPushTokenRequest::decode(&too_long).is_err());
}

#[test]
fn only_the_client_itself_sets_its_token() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut thief = Client { id: client.id, ..Client::unknown(2) };
    let mut nobody = Client::unknown(3);

    for stranger in [&mut thief, &mut nobody] {
        assert_eq!(stranger.set_token(&home, None), Err(Reject::Unauthenticated));
    }
    let request = SetPushTokenRequest { token: None };
    assert_eq!(client.as_user::<SetPushToken>(&home, &request, &[]), Err(Reject::Unauthenticated));
    let (key, sender, token) = (client.key.clone(), Sender::QsClient(client.id), home.token(Class::Home));
    let frame = client.signed::<SetPushToken>(&home, &request, (sender, &key, &[]), Some(&token));
    let outcome = home.call::<SetPushToken>(&request, Some(frame), Some(token));
    assert_eq!(outcome, Err(Reject::TokenRequired));
}

fn token() -> PushToken {
    PushToken::WebPush(WebPushSubscription {
        endpoint: SecretOpaque::new(b"https://push.example/abc").unwrap(),
        key: [4; 65],
        auth: Secret::new([5; 16]),
    })
}

impl Client {
    pub(super) fn leave_token(&mut self, home: &Home) -> Result<(), Reject> {
        let sealed = token().seal(&self.id, &PUSH_KEY.into(), &mut self.chance).unwrap();
        self.set_token(home, Some(sealed))
    }

    fn set_token(&mut self, home: &Home, token: Option<SealedPushToken>) -> Result<(), Reject> {
        self.as_client::<SetPushToken>(home, &SetPushTokenRequest { token }, &[]).map(|_| ())
    }

    /// A queue config that brings the key of the push token, and its id.
    pub(super) fn pushed_config(&mut self, home: &Home) -> (ClientQueueConfig, ConfigId) {
        let mut tbs = self.config_tbs(Some("alpha.test"));
        tbs.push_key = Some(PUSH_KEY.into());
        let id = tbs.config;
        (self.sealed(home, tbs), id)
    }
}

const PUSH_KEY: [u8; 32] = [6; 32];
