//! `stream`, without sockets.

use bytes::Bytes;
use futures::{FutureExt, StreamExt, executor::block_on};
use phoenix_core::{
    ConfigId, ErrorCode, Origin, Reject,
    api::{
        queue::{Entry, EntryKind, NotifyClass},
        stream::{StreamAck, StreamMessage, StreamOpened, StreamReadRequest, StreamRequest},
    },
    engine::{OpenStream, Said},
    queue::{QueuePolicy, RatchetPolicy, WhenFull},
    wire::{AuthFrame, Flag, Opaque, Wire},
};

use super::{
    client::Client,
    world::{Home, envelope, reject},
};
use crate::{
    QueueSettings,
    kinds::{CLIENT, STREAM, stream_topic},
    op::{stream::Stream, stream_read::StreamRead},
    record::from_row,
};

#[test]
fn entries_come_as_they_are_delivered() {
    // given a stream that has read all there was
    let (home, mut client) = home_with_client();
    let config = client.config(&home, Some("alpha.test"));
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    assert_eq!(client.hear(&mut stream), Heard::Texts(vec![]), "the ratchet's first key");
    assert_eq!(client.hear(&mut stream), Heard::Nothing);

    for text in ["one", "two"] {
        // when something is delivered
        home.deliver(home.local(&[&config], text));

        // then it comes, once
        assert_eq!(client.hear(&mut stream), Heard::Texts(vec![text.to_owned()]));
        assert_eq!(client.hear(&mut stream), Heard::Nothing);
    }
}

#[test]
fn what_is_acknowledged_goes_and_what_is_not_stays() {
    let (home, mut client) = home_with_client();
    let config = client.config(&home, Some("alpha.test"));
    for text in ["one", "two", "three"] {
        home.deliver(home.local(&[&config], text));
    }
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    assert_eq!(client.hear(&mut stream), texts(&["one", "two", "three"]));
    let numbers = |home: &Home| home.partitions(CLIENT)[0].1.rows.len() - NAMED_ROWS;
    assert_eq!(numbers(&home), 4, "reading deletes nothing");

    assert_eq!(acknowledge(&stream, 3), Ok(Said::News));
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    assert_eq!(numbers(&home), 1);

    assert_eq!(acknowledge(&stream, 1), Ok(Said::Nothing), "a lower number says nothing");
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    assert_eq!(numbers(&home), 1);
}

#[test]
fn at_most_a_hundred_entries_wait_for_an_acknowledgement() {
    // given a hundred and fifty messages
    let (home, mut client) = home_with_client();
    let config = client.config(&home, Some("alpha.test"));
    for number in 0..150 {
        home.deliver(home.local(&[&config], &number.to_string()));
    }
    // when nothing is acknowledged, then a hundred entries come
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    assert!(matches!(client.hear(&mut stream), Heard::Texts(_)));
    assert_eq!(client.ratchet.next_seq(), 100);
    home.deliver(home.local(&[&config], "another"));
    assert_eq!(client.hear(&mut stream), Heard::Nothing);

    // and as many more as are acknowledged
    acknowledge(&stream, 10).unwrap();
    assert!(matches!(client.hear(&mut stream), Heard::Texts(_)));
    assert_eq!(client.ratchet.next_seq(), 110);
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
}

#[test]
fn what_was_not_sent_cannot_be_acknowledged() {
    let (home, mut client) = home_with_client();
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    client.hear(&mut stream);

    acknowledge(&stream, 2).unwrap();

    assert_eq!(client.hear(&mut stream), Heard::Refused(ErrorCode::Malformed));
    assert_eq!(client.hear(&mut stream), Heard::End);
    assert_eq!(stream.intake.take(b"hello"), Err(Reject::Malformed("encoding")));
}

#[test]
fn a_stream_goes_on_where_another_was_cut_off() {
    // given a client whose stream was cut off behind two of four messages, of which it acknowledged one
    let (home, mut client) = home_with_client();
    let config = client.config(&home, Some("alpha.test"));
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    for text in ["one", "two"] {
        home.deliver(home.local(&[&config], text));
    }
    assert_eq!(client.hear(&mut stream), texts(&["one", "two"]));
    drop(stream);
    for text in ["three", "four"] {
        home.deliver(home.local(&[&config], text));
    }

    // when it opens another at another replica
    let replica = home.far_replica();
    let mut stream = client.open_stream(&replica, 3, 2).unwrap();

    // then what is missing comes, and what was acknowledged is gone
    assert_eq!(client.hear(&mut stream), texts(&["three", "four"]));
    assert_eq!(home.partitions(CLIENT)[0].1.rows.len(), 3 + NAMED_ROWS);
}

#[test]
fn what_is_told_without_end_holds_up_no_entry() {
    let (home, mut client) = home_with_client();
    let config = client.config(&home, Some("alpha.test"));
    let topic = stream_topic(&home.engine.ring().at_rest, &client.id);
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    client.hear(&mut stream);
    for _ in 0..3 {
        block_on(home.engine.shared().ports().wake.tell(&topic, &ephemeral("typing").encode()));
    }
    assert_eq!(client.hear(&mut stream), Heard::Ephemeral("typing".to_owned()));

    home.deliver(home.local(&[&config], "hello"));

    assert_eq!(client.hear(&mut stream), texts(&["hello"]));
    assert_eq!(client.hear(&mut stream), Heard::Ephemeral("typing".to_owned()));
}

#[test]
fn a_queue_is_read_each_minute_though_nobody_woke_the_stream() {
    let (home, mut client) = home_with_client();
    let (replica, config) = (home.far_replica(), client.config(&home, Some("alpha.test")));
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    client.hear(&mut stream);
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    replica.deliver(replica.local(&[&config], "one"));

    home.clock.advance_s(59);
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    home.clock.advance_s(1);

    assert_eq!(client.hear(&mut stream), texts(&["one"]));
}

#[test]
fn t11_a_call_that_opened_a_stream_opens_no_other() {
    let (home, mut client) = home_with_client();
    let request = StreamRequest { from: 0, ack_below: 0 };
    let frame = client.frame::<Stream>(&home, &request, None);
    let mut stream = open(&home, &request, Some(frame.clone())).unwrap();
    client.hear(&mut stream);

    let again = open(&home, &request, Some(frame));

    assert_eq!(again.err(), Some(Reject::Unauthenticated));
    assert_eq!(client.hear(&mut stream), Heard::Nothing, "the stream goes on");
}

#[test]
fn only_the_client_opens_a_stream_and_unknown_clients_look_the_same() {
    let (home, mut client) = home_with_client();
    let mut stranger = Client { id: client.id, ..Client::unknown(2) };

    assert_eq!(stranger.open_stream(&home, 0, 0).err(), Some(Reject::Unauthenticated));
    assert_eq!(Client::unknown(3).open_stream(&home, 0, 0).err(), Some(Reject::Unauthenticated));
    let request = StreamRequest { from: 0, ack_below: 0 };
    assert_eq!(open(&home, &request, None).err(), Some(Reject::Unauthenticated));
    assert_eq!(stored_stream(&home), None);
    assert!(client.open_stream(&home, 0, 0).is_ok());
}

#[test]
fn who_acknowledges_more_than_it_read_opens_no_stream() {
    let (home, mut client) = home_with_client();

    assert_eq!(client.open_stream(&home, 1, 2).err(), Some(Reject::Malformed("ack_below")));
    assert!(client.open_stream(&home, 1, 1).is_ok());
}

#[test]
fn a_stream_reads_only_while_it_and_its_key_are_its_clients() {
    let (home, mut client) = home_with_client();
    let _stream = client.open_stream(&home, 0, 0).unwrap();
    let (stream, auth_key) = (stored_stream(&home).unwrap(), client.key.verifying_key());
    let opened = StreamOpened { client: client.id, stream, auth_key };
    let read = |opened: StreamOpened| {
        home.internal::<StreamRead>(StreamReadRequest { opened, from: 0, max: 1, ack_below: 0 })
    };

    assert_eq!(read(opened.clone()).unwrap().entries.len(), 1);
    let other_key = client.user_key.verifying_key();
    let other_client = Client::unknown(2).id;
    for (opened, reject) in [
        (StreamOpened { stream: [0; 16], ..opened.clone() }, Reject::Conflict(None)),
        (StreamOpened { auth_key: other_key, ..opened.clone() }, Reject::Unauthenticated),
        (StreamOpened { client: other_client, ..opened }, Reject::Unauthenticated),
    ] {
        assert_eq!(read(opened), Err(reject));
    }
}

#[test]
fn an_ephemeral_message_goes_to_an_open_stream_and_nowhere_else() {
    let (home, mut client) = home_with_client();
    let mut other = Client::at(&home, 2);
    let configs = [client.config(&home, Some("alpha.test")), other.config(&home, Some("alpha.test"))];
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    client.hear(&mut stream);
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    let mut typing = home.local(&[&configs[0], &configs[1]], "typing");
    typing.message.ephemeral = Flag::Yes;

    home.deliver(typing);

    assert_eq!(client.hear(&mut stream), Heard::Ephemeral("typing".to_owned()));
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    assert_eq!(other.read(&home), []);
}

#[test]
fn what_no_queue_keeps_comes_to_who_listens_and_is_stored_nowhere() {
    let (home, mut client) = home_with_client();
    let topic = stream_topic(&home.engine.ring().at_rest, &client.id);
    let tell = |entry: Bytes| block_on(home.engine.shared().ports().wake.tell(&topic, &entry));
    tell(ephemeral("before").encode());
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    client.hear(&mut stream);
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    let before = home.store.dump();

    tell(ephemeral("typing").encode());
    tell(Bytes::from_static(b"no entry"));

    assert_eq!(client.hear(&mut stream), Heard::Ephemeral("typing".to_owned()));
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    assert_eq!(home.store.dump(), before);
}

#[test]
fn a_homeserver_that_ends_asks_its_clients_to_come_again() {
    let (home, mut client) = home_with_client();
    let mut other = Client::at(&home, 2);
    let mut streams = [client.open_stream(&home, 0, 0).unwrap(), other.open_stream(&home, 0, 0).unwrap()];
    client.hear(&mut streams[0]);
    assert_eq!(home.engine.shared().open_streams(), 2);

    home.engine.shared().end_streams();

    let mut delays = Vec::new();
    for stream in &mut streams {
        let Some(Some(StreamMessage::Reconnect(delay))) = stream.messages.next().now_or_never() else {
            panic!("it is asked to reconnect");
        };
        assert_eq!(stream.messages.next().now_or_never(), Some(None));
        delays.push(delay);
    }
    assert!(delays.iter().all(|delay| *delay < 30_000));
    assert_ne!(delays[0], delays[1], "not all at once");
    assert_eq!(client.open_stream(&home, 0, 0).err(), Some(Reject::Unavailable(30)));
    drop(streams);
    assert_eq!(home.engine.shared().open_streams(), 0);
}

#[test]
fn a_queue_that_was_full_tells_its_gap() {
    // given a queue of two entries that was sent four messages
    let queue = QueuePolicy {
        max_entries: 2,
        max_bytes: 1 << 20,
        ratchet: RatchetPolicy::DEFAULT,
        when_full: WhenFull::Drop,
    };
    let settings = QueueSettings { queue, ..QueueSettings::default() };
    let home = Home::at("alpha.test", &std::sync::Arc::default(), &std::sync::Arc::default(), settings);
    home.clock.stand_still();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    for text in ["one", "two", "three", "four"] {
        home.deliver(home.local(&[&config], text));
    }

    // when they are read
    let mut stream = client.open_stream(&home, 0, 0).unwrap();
    let Some(Some(StreamMessage::Entries(first))) = stream.messages.next().now_or_never() else { panic!() };

    // then the gap is told, and the stream goes on behind it
    assert_eq!((first.entries.len(), first.gap_before), (2, Some(5)));
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    acknowledge(&stream, 5).unwrap();
    assert_eq!(client.hear(&mut stream), Heard::Nothing);
    home.deliver(home.local(&[&config], "five"));
    let Some(Some(StreamMessage::Entries(next))) = stream.messages.next().now_or_never() else { panic!() };
    assert_eq!((next.entries[0].seq, next.gap_before), (5, None));
}

#[test]
fn a_queue_that_was_full_loses_none_of_the_entries_that_it_holds() {
    // given a queue of 150 entries that was sent more, and a stream of it
    let queue = QueuePolicy { max_entries: 150, ..QueuePolicy::QS };
    let settings = QueueSettings { queue, ..QueueSettings::default() };
    let home = Home::at("alpha.test", &std::sync::Arc::default(), &std::sync::Arc::default(), settings);
    home.clock.stand_still();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    for _ in 0..200 {
        home.deliver(home.local(&[&config], "hello"));
    }
    let mut stream = client.open_stream(&home, 0, 0).unwrap();

    // when the client acknowledges what it has read
    let (mut numbers, mut gaps) = (Vec::new(), Vec::new());
    while let Some(Some(StreamMessage::Entries(found))) = stream.messages.next().now_or_never() {
        numbers.extend(found.entries.iter().map(|entry| entry.seq));
        gaps.extend(found.gap_before);
        acknowledge(&stream, numbers.last().unwrap() + 1).unwrap();
    }

    // then it was sent all that the queue held, and told of the gap once
    assert_eq!(numbers, (0..150).collect::<Vec<_>>());
    assert_eq!(gaps.len(), 1);
}

#[test]
fn t20_large_entries_come_in_messages_of_bounded_size() {
    // given four messages, of which two fit into one message of a stream
    let (home, mut client) = home_with_client();
    let config = client.config(&home, Some("alpha.test"));
    let large = "x".repeat(100 << 10);
    for _ in 0..4 {
        home.deliver(home.local(&[&config], &large));
    }
    home.deliver(home.local(&[&config], &"x".repeat(600 << 10)));
    let mut stream = client.open_stream(&home, 0, 0).unwrap();

    let mut sizes = Vec::new();
    while let Some(Some(StreamMessage::Entries(found))) = stream.messages.next().now_or_never() {
        sizes.push(found.entries.len());
    }

    assert_eq!(sizes, [3, 2, 1], "the ratchet's key goes with the first; one that is too large goes alone");
}

/// What a client heard on its stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Texts(Vec<String>),
    Ephemeral(String),
    Refused(ErrorCode),
    Reconnect,
    End,
    Nothing,
}

pub(super) fn texts(texts: &[&str]) -> Heard {
    Heard::Texts(texts.iter().map(ToString::to_string).collect())
}

impl Client {
    pub(super) fn open_stream(
        &mut self,
        home: &Home,
        from: u64,
        ack_below: u64,
    ) -> Result<OpenStream, Reject> {
        let request = StreamRequest { from, ack_below };
        let frame = self.frame::<Stream>(home, &request, None);
        open(home, &request, Some(frame))
    }

    /// The next message, if there is one without waiting; entries are opened.
    pub(super) fn hear(&mut self, stream: &mut OpenStream) -> Heard {
        match stream.messages.next().now_or_never() {
            None => Heard::Nothing,
            Some(None) => Heard::End,
            Some(Some(StreamMessage::Entries(found))) => {
                let opened = found.entries.iter().filter_map(|entry| self.ratchet.open(entry).unwrap());
                Heard::Texts(opened.map(text).collect())
            }
            Some(Some(StreamMessage::Ephemeral(entry))) => Heard::Ephemeral(text(entry)),
            Some(Some(StreamMessage::Refused(error))) => Heard::Refused(error.code),
            Some(Some(StreamMessage::Reconnect(_))) => Heard::Reconnect,
        }
    }
}

pub(super) fn home_with_client() -> (Home, Client) {
    let home = Home::alone();
    home.clock.stand_still();
    let client = Client::at(&home, 1);
    (home, client)
}

fn open(home: &Home, request: &StreamRequest, auth: Option<AuthFrame>) -> Result<OpenStream, Reject> {
    let call = envelope::<Stream>(request, auth, None);
    block_on(home.engine.stream::<Stream>(call, Origin::default())).map_err(reject)
}

fn acknowledge(stream: &OpenStream, ack_below: u64) -> Result<Said, Reject> {
    stream.intake.take(&StreamAck { ack_below }.encode())
}

pub(super) fn ephemeral(text: &str) -> Entry {
    Entry {
        kind: EntryKind::FanOut,
        config: ConfigId([1; 16]),
        notify: NotifyClass::Silent,
        accepted_at: 1,
        content: Opaque::new(text.as_bytes().to_vec()).unwrap(),
    }
}

fn text(entry: Entry) -> String {
    String::from_utf8(entry.content.to_vec()).unwrap()
}

/// The stream that the only client's record names.
fn stored_stream(home: &Home) -> Option<[u8; 16]> {
    let rows = &home.partitions(CLIENT)[0].1.rows;
    rows.iter().find(|(key, _)| *key == STREAM).map(|(_, row)| from_row(row).unwrap())
}

/// Rows beside the entries: the record, the queue's head, and the stream's name.
const NAMED_ROWS: usize = 3;
