//! Direct queues: the queue of 06 with its ratchet, for sealed messages between clients (04, "State").
//!
//! A queue's partition holds its head, and a row for each entry under its number. Users' clients and aliases have
//! the same; only where it lies differs.

use bytes::Bytes;
use phoenix_core::{
    ConfigId, Failure, Fault, Generation, Reject,
    api::{
        Empty,
        queue::{DequeueReply, DequeueRequest, Entry, EntryKind, NotifyClass, QueueEntry},
    },
    crypto::HpkePublicKey,
    operation::{Context, Decision, Hint, Local, Next, Reading, Rows},
    port::{Alarm, RowKey, Topic, Wanted, Write},
    queue::{Head, MAX_REPLY_BYTES, Months, row_key},
    wire::Opaque,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{AuthService, record};

/// A queue, with the entries that a request asks for.
pub(crate) struct DirectQueue {
    at: Local,
    record: QueueRecord,
    entries: Vec<QueueEntry>,
}

/// A queue, beside its entries.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct QueueRecord {
    head: Head,
    /// When its entries expire.
    months: Months,
    /// The store's, when the queue was made or began again last.
    generation: Generation,
}

/// Reads a queue's head, to change it.
pub(crate) fn reading(at: Local) -> Reading {
    Reading::change(at, Wanted::Keys(vec![HEAD]))
}

/// Reads the entries that a request asks for, after the head, for whoever has proven to be the queue's owner. Entries
/// that came after the head was read are read too, or not: either is right.
pub(crate) fn reading_entries(at: Local, request: &DequeueRequest) -> Reading {
    let (from, limit) = (entry_row(request.from), u32::from(request.max.min(PAGE)));
    Reading::glance(at, Wanted::Range { from, below: HEAD, limit, bytes: MAX_REPLY_BYTES })
}

/// The writes that make a queue, instead of whatever was there: its head, and the entry that tells the client the
/// ratchet's first key.
///
/// # Errors
/// [`Reject::Malformed`] where nothing can be sealed to the key.
pub(crate) fn creation(queue_key: &HpkePublicKey, cx: &Context<AuthService>) -> Result<Vec<Write>, Reject> {
    let (head, first) = Head::create(queue_key.clone(), cx.now, &mut cx.chance("queue"))?;
    let months = Months::default().with(first.seq, cx.now);
    let record = QueueRecord { head, months, generation: cx.keys.generation };
    Ok(vec![Write::Drop, stored(&first), record.put()])
}

impl DirectQueue {
    /// The queue at a place that was read, if there is one; without entries.
    ///
    /// # Errors
    /// A fault where what is stored is none.
    pub(crate) fn found(rows: &Rows, place: usize, at: Local) -> Result<Option<Self>, Fault> {
        let Some(head) = rows.row(place, &HEAD)? else { return Ok(None) };
        Ok(Some(Self { at, record: record::decode(head)?, entries: Vec::new() }))
    }

    /// The queue, with the entries at a place that [`reading_entries`] asked for.
    ///
    /// # Errors
    /// A fault where what is stored is none.
    pub(crate) fn with_entries(self, rows: &Rows, place: usize) -> Result<Self, Fault> {
        let entries = rows.rows(place)?.iter().map(|(_, entry)| record::decode(entry));
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, ..self })
    }

    /// Adds a sealed message.
    ///
    /// # Errors
    /// [`Reject::RateLimited`] where the queue is full.
    pub(crate) fn push(self, content: &[u8], cx: &Context<AuthService>) -> Result<Decision<Empty>, Failure> {
        let topic = self.topic(cx);
        let entry = Entry {
            kind: EntryKind::Direct,
            config: ConfigId([0; 16]),
            notify: NotifyClass::Normal,
            accepted_at: cx.now.as_secs(),
            content: Opaque::new(content.to_vec()).map_err(Reject::from)?,
        };
        let Self { at, record, entries: _ } = self;
        let (record, mut writes, _) = record.current(cx)?;
        let (QueueRecord { head, months, generation }, key) = record.in_this_month(cx)?;
        writes.extend(key.as_ref().map(stored));
        let (head, entries) = head.push(&entry, &cx.settings.queue, cx.now, &mut cx.chance("entry"))?;
        writes.extend(entries.iter().map(stored));
        writes.push(QueueRecord { head, months, generation }.put());
        Ok(Decision::reply(Empty {}).change(at, writes, Alarm::Keep).hint(Hint::Wake(topic)))
    }

    /// Deletes what was acknowledged, and answers with the entries; waits for one where there is none yet.
    ///
    /// # Errors
    /// None in practice: the reply is cut to its bounds.
    pub(crate) fn read(
        self,
        request: &DequeueRequest,
        cx: &Context<AuthService>,
    ) -> Result<Decision<DequeueReply>, Failure> {
        let topic = self.topic(cx);
        let Self { at, record, mut entries } = self;
        let before = record.head.first_seq();
        // First, so that a queue that was read does not begin again.
        let record = QueueRecord { head: record.head.acknowledge(request.ack_below), ..record };
        let (record, mut writes, first) = record.current(cx)?;
        let head = &record.head;
        entries.retain(|entry| entry.seq >= head.first_seq());
        entries.extend(first.filter(|first| first.seq >= request.from));
        let until = cx.started.plus_secs(u64::from(request.wait_s));
        let reply = head.reply(request, entries)?;
        let waits = reply.entries.is_empty() && reply.gap_before.is_none() && cx.now < until;
        let next = if waits { Next::Wait { on: topic, until } } else { Next::Reply(reply) };
        let decision = Decision::new(next);
        if head.first_seq() == before {
            return Ok(decision);
        }
        // Before what is put: a queue that begins again has an entry of its own.
        writes.insert(0, Write::DeleteBelow(entry_row(head.first_seq())));
        writes.push(record.put());
        Ok(decision.change(at, writes, Alarm::Keep))
    }

    /// What a reader of this queue waits for.
    fn topic(&self, cx: &Context<AuthService>) -> Topic {
        Topic(cx.keys.at_rest.prf("queue topic", self.at.name()).to_vec().into())
    }
}

impl QueueRecord {
    /// The queue as it is now, the rows that change with it, and its first entry where it has begun again: since all
    /// that was in it expired unread, or since the store was restored, and it has forgotten which numbers and keys it
    /// used (09). Where younger months are left, the first of them begins with a key of its own.
    fn current(self, cx: &Context<AuthService>) -> Result<(Self, Vec<Write>, Option<QueueEntry>), Reject> {
        let Self { head, months, generation } = self;
        let jump = cx.keys.generation.jump_from(generation);
        let (months, below) = months.expire(head.next_seq(), cx.now);
        let below = below.filter(|below| *below > head.first_seq());
        if jump.is_none() && below.is_none_or(|below| below < head.next_seq()) {
            let head = head.expire(below.unwrap_or_default());
            let gone = below.map(|below| Write::DeleteBelow(entry_row(below)));
            return Ok((Self { head, months, generation }, gone.into_iter().collect(), None));
        }
        let key = head.queue_key().clone();
        let (head, first) = head.restart(key, jump.unwrap_or_default(), cx.now, &mut cx.chance("queue"))?;
        let writes = vec![Write::DeleteBelow(entry_row(first.seq)), stored(&first)];
        let (months, generation) =
            (Months::default().with(first.seq, cx.now), generation.max(cx.keys.generation));
        Ok((Self { head, months, generation }, writes, Some(first)))
    }

    /// The queue for an entry that comes now, and what stands before it where it is the first of its month: a new key, so
    /// that the month opens also when those before it have expired unread (06, "Ratchet").
    fn in_this_month(self, cx: &Context<AuthService>) -> Result<(Self, Option<QueueEntry>), Reject> {
        if !self.months.begin(cx.now) {
            return Ok((self, None));
        }
        let (head, key) = self.head.renew(cx.now, &mut cx.chance("month"))?;
        Ok((Self { head, months: self.months.with(key.seq, cx.now), ..self }, Some(key)))
    }

    fn put(&self) -> Write {
        Write::Put(HEAD, record::encode(self))
    }
}

fn stored(entry: &QueueEntry) -> Write {
    Write::Put(entry_row(entry.seq), record::encode(entry))
}

fn entry_row(seq: u64) -> RowKey {
    Bytes::copy_from_slice(&row_key(seq))
}

/// The head's row: behind those of all entries that will ever be, so that deleting below one spares it.
const HEAD: Bytes = Bytes::from_static(&[0xff; 9]);
/// Entries in one answer at most: of the largest, about 1 MiB.
const PAGE: u16 = 64;
