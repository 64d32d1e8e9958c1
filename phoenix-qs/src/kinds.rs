//! The partitions of the QS: what each holds, under which rows, and what its alarm does.

use bytes::Bytes;
use phoenix_core::{
    ConfigId, Fqdn, QsClientId, QsUserId, Timestamp,
    crypto::AtRestKey,
    operation::Local,
    port::Topic,
    time::{DAY, Month},
    wire::Wire,
};

/// A user record, by its id; row `RECORD`. Its alarm drops it.
pub(crate) const USER: u8 = 1;
/// A client and its queue, by the client's id, in one partition, so that a message changes one for each queue: rows
/// `RECORD`, `QUEUE`, `PUSH` and `STREAM`, one for each rule of its blocklist, and each entry under its number. Its
/// alarm drops it.
pub(crate) const CLIENT: u8 = 2;
/// A client's AddPackages, by the client's id: row `RECORD` lists them, each is a row under its number. Its alarm
/// drops them.
pub(crate) const PACKAGES: u8 = 3;
/// What became of a part of a delivery, by keyed hash: row `RECORD`. Its alarm drops it.
pub(crate) const RECEIPT: u8 = 4;
/// Deliveries that were put off, by keyed hash of the source: row `RECORD`. Its alarm drops it.
pub(crate) const HELD: u8 = 5;
/// What waits for another homeserver, by keyed hash of domain and shard: row `RECORD` names the domain, the
/// messages are numbered rows. Its alarm ticks: `dispatch` is to look at it.
pub const MAILBOX: u8 = 6;
/// How far sending of a mailbox is, by the same hash: row `RECORD`. Apart from the mailbox, so that messages are
/// appended while one decides about sending. Its alarm drops it.
pub(crate) const ROUND: u8 = 7;
/// Deliveries that their destination refused as bad, by keyed hash of the domain: numbered rows. Its alarm drops it.
pub(crate) const ASIDE: u8 = 8;
/// What the destination put off, by the same hash as its mailbox: row `RECORD` names the domain, the messages are
/// rows by the time when they may be sent again. Apart from the mailbox, so that what can be sent comes first there.
/// Its alarm ticks: `resume` is to look at it.
pub const LATER: u8 = 9;

/// The one record of most partitions. Above all numbers, so that what lies below a number is entries only.
pub(crate) const RECORD: Bytes = Bytes::from_static(b"record");
/// The row of a [`MAILBOX`] or [`LATER`] partition that [`destination`](crate::destination) reads.
pub const DESTINATION: Bytes = RECORD;
/// The queue's head beside a client's record. Above all numbers.
pub(crate) const QUEUE: Bytes = Bytes::from_static(b"queue");
/// The name of the stream that the client opened last, beside its record. Above all numbers.
pub(crate) const STREAM: Bytes = Bytes::from_static(b"stream");
/// A client's push token, as it left it. Above all numbers.
pub(crate) const PUSH: Bytes = Bytes::from_static(b"push");
/// Begins the rows of a client's blocklist, each followed by a config id. Above all numbers.
pub(crate) const RULE: Bytes = Bytes::from_static(b"rule");
/// Above all rows of a client's blocklist.
pub(crate) const ABOVE_RULES: Bytes = Bytes::from_static(b"rulf");
/// Above all numbers of entries and messages, below all named rows.
pub(crate) const ABOVE_NUMBERS: Bytes = Bytes::from_static(b"a");

/// Where a user record is.
pub(crate) fn user(id: &QsUserId) -> Local {
    Local::new(USER, id.as_bytes())
}

/// Where a client and its queue are.
pub(crate) fn client(id: &QsClientId) -> Local {
    Local::new(CLIENT, id.as_bytes())
}

/// Where a client's AddPackages are.
pub(crate) fn packages(id: &QsClientId) -> Local {
    Local::new(PACKAGES, id.as_bytes())
}

/// Where the results of a part of a delivery are kept.
pub(crate) fn receipt(key: &AtRestKey, source: &Fqdn, part: &[u8; 16]) -> Local {
    Local::new(RECEIPT, key.prf("receipt", &(source.clone(), *part).encode()))
}

/// Where deliveries of a source are listed that were put off.
pub(crate) fn held(key: &AtRestKey, source: &Fqdn) -> Local {
    Local::new(HELD, key.prf("held", &source.encode()))
}

/// The mailboxes of a domain; what is on one lane goes into one of them, by the lane's hash.
pub(crate) fn mailbox_key(key: &AtRestKey, domain: &Fqdn, shard: u8) -> [u8; 32] {
    key.prf("mailbox", &(domain.clone(), shard).encode())
}

/// Where what waits for another homeserver is, by the mailbox's key.
#[must_use]
pub fn mailbox(key: &[u8; 32]) -> Local {
    Local::new(MAILBOX, key)
}

/// Where the state of sending a mailbox is.
pub(crate) fn round(mailbox: &[u8; 32]) -> Local {
    Local::new(ROUND, mailbox)
}

/// Where messages of a mailbox are that were put off, by the mailbox's key.
pub(crate) fn later(mailbox: &[u8; 32]) -> Local {
    Local::new(LATER, mailbox)
}

/// Where deliveries are that a domain refused as bad.
pub(crate) fn aside(key: &AtRestKey, domain: &Fqdn) -> Local {
    Local::new(ASIDE, key.prf("aside", &domain.encode()))
}

/// The row of what becomes of messages through a queue config.
pub(crate) fn rule(config: &ConfigId) -> Bytes {
    [RULE.as_ref(), config.as_bytes()].concat().into()
}

/// What an open stream of a client listens to: it is told what is ephemeral, and who listens is not pushed to.
pub(crate) fn stream_topic(key: &AtRestKey, client: &QsClientId) -> Topic {
    Topic(key.prf("stream topic", client.as_bytes()).to_vec().into())
}

/// What tells an open stream of a client that it may be the client's no more.
pub(crate) fn place_topic(key: &AtRestKey, client: &QsClientId) -> Topic {
    Topic(key.prf("stream place topic", client.as_bytes()).to_vec().into())
}

/// What wakes those who wait at a queue.
pub(crate) fn topic(key: &AtRestKey, client: &QsClientId) -> Topic {
    Topic(key.prf("queue topic", client.as_bytes()).to_vec().into())
}

/// What wakes whoever keeps this process's keys: one was named that it does not know, and another replica may.
#[must_use]
pub fn keys_topic(key: &AtRestKey) -> Topic {
    Topic(key.prf("keys topic", &[]).to_vec().into())
}

/// When something ends that was last used in a month: 90 d after that month (09).
pub(crate) fn end_of_use(month: Month) -> Timestamp {
    month.plus(1).start().plus_secs(UNUSED_DAYS * DAY)
}

/// Mailboxes of one domain, and so transactions in flight to it (08).
pub(crate) const SHARDS: u8 = 4;
/// Days for which what is not used is kept (09).
const UNUSED_DAYS: u64 = 90;
