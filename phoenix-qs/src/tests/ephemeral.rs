//! Ephemeral messages: for those who listen, and nobody else.

use bytes::Bytes;
use phoenix_core::{
    api::{
        federation::RecipientResult::{Delivered, Gone},
        queue::{ClientQueueConfig, ConfigRule::Blocked, DeliverRequest, Entry, EntryKind},
    },
    limit::{Limits, Rate},
    port::Wakened,
    wire::{Flag, Wire},
};

use super::{client::Client, world::Home};
use crate::kinds::{self, CLIENT, stream_topic, topic};

#[test]
fn an_ephemeral_message_reaches_who_listens_and_is_neither_stored_nor_pushed() {
    let home = Home::alone();
    let (mut a, mut b) = (Client::at(&home, 1), Client::at(&home, 2));
    b.leave_token(&home).unwrap();
    let ((to_a, id), (to_b, _)) = (a.pushed_config(&home), b.pushed_config(&home));
    let mut stream = a.listening(&home);
    let before = home.store.dump();

    let results = home.deliver(typing(&home, &[&to_a, &to_b]));

    assert_eq!(results, [Delivered, Delivered], "who listens does not show");
    let heard: Vec<Entry> = told(stream.as_mut()).iter().map(|it| Entry::decode(it).unwrap()).collect();
    assert_eq!((heard.len(), heard[0].kind, heard[0].config), (1, EntryKind::FanOut, id));
    assert_eq!(heard[0].content.as_slice(), b"typing");
    assert_eq!(home.store.dump(), before, "nothing is stored");
    assert_eq!(home.pushed(), []);
    assert_eq!((a.read(&home), b.read(&home)), (Vec::new(), Vec::new()));
}

#[test]
fn who_waits_for_entries_is_not_woken_by_what_is_ephemeral() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    let at_rest = home.engine.ring().at_rest.clone();
    let mut waiting = home.engine.shared().ports().wake.subscribe(&topic(&at_rest, &client.id));

    home.deliver(typing(&home, &[&config]));
    assert!(futures::FutureExt::now_or_never(waiting.wakened()).is_none());
    home.deliver(home.local(&[&config], "hello"));

    assert!(futures::FutureExt::now_or_never(waiting.wakened()).is_some());
}

#[test]
fn a_config_that_leads_nowhere_is_told_as_gone_and_a_blocked_one_as_delivered() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let mut nobody = Client::unknown(2);
    let (blocked, id) = client.named_config(&home);
    let nowhere = nobody.config(&home, Some("alpha.test"));
    client.rule(&home, &[(id, Blocked)]).unwrap();
    let mut stream = client.listening(&home);

    let results = home.deliver(typing(&home, &[&blocked, &nowhere]));

    assert_eq!(results, [Delivered, Gone]);
    assert_eq!(stream.told(), None);
    assert_eq!(home.lane_rows(), 1, "the group's DS is told of the one that is gone");
}

#[test]
fn an_ephemeral_message_over_a_limit_is_lost_and_never_put_off() {
    let home = Home::limited(Limits { config: Some(Rate::new(1, 2)), ..Limits::unlimited() });
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("beta.test"));
    let mut stream = client.listening(&home);

    for part in 1..=3 {
        let mut request = home.remote("beta.test", part, &[&config], "typing");
        request.message.ephemeral = Flag::Yes;
        assert_eq!(home.deliver(request), [Delivered]);
    }

    assert_eq!(told(stream.as_mut()).len(), 2);
    assert_eq!(home.partitions(kinds::RECEIPT).len() + home.partitions(kinds::HELD).len(), 0);
    assert_eq!(home.partitions(CLIENT)[0].1.rows.len(), 3);
}

fn told(stream: &mut dyn Wakened) -> Vec<Bytes> {
    std::iter::from_fn(|| stream.told()).collect()
}

fn typing(home: &Home, to: &[&ClientQueueConfig]) -> DeliverRequest {
    let mut request = home.local(to, "typing");
    request.message.ephemeral = Flag::Yes;
    request
}

impl Client {
    /// What an open stream of this client listens with.
    fn listening(&self, home: &Home) -> Box<dyn Wakened> {
        let ring = home.engine.ring();
        home.engine.shared().ports().wake.subscribe(&stream_topic(&ring.at_rest, &self.id))
    }
}
