//! `survey`: says how much waits for another homeserver, and how sending it goes.

use bytes::Bytes;
use phoenix_core::{
    Failure, Fqdn,
    api::{Description, Endpoint, ServiceName},
    crypto::AtRestKey,
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Snapshot, Wanted},
    wire::Flag,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    kinds::{ABOVE_NUMBERS, RECORD, aside, later, mailbox, round},
    record::{MailboxRecord, RoundRecord, read_row},
    service::QueueService,
    waiting::mailboxes,
};

/// Counts what waits in the mailboxes of a homeserver, for the operator; which groups and queues it is for is nothing
/// that an operator needs to know, and is not told.
pub struct Survey;

impl Endpoint for Survey {
    const DESCRIPTION: Description = Description::new(0x0228, ServiceName::Qs, "survey").internal();
    type Request = Fqdn;
    type Reply = SurveyReply;
}

/// What waits for a homeserver. Of each mailbox as much is counted as is read at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SurveyReply {
    /// Messages that were not sent yet, or that it put off.
    pub waiting: u32,
    /// When the first of them was accepted, in seconds.
    pub waits_since: Option<u64>,
    /// When the first of the attempts failed that failed in a row, in milliseconds.
    pub failing_since: Option<u64>,
    /// How many those are, of the mailbox in which it is most.
    pub attempts: u32,
    /// Messages that it refused as bad.
    pub set_aside: u32,
    /// Whether there are more than these.
    pub more: Flag,
}

impl Operation for Survey {
    type Endpoint = Self;
    type Service = QueueService;
    type State = SurveyReply;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let domain = call.request();
        let mut readings = vec![Reading::glance(aside(&cx.keys.at_rest, domain), page())];
        for key in mailboxes(domain, cx) {
            readings.push(Reading::glance(round(&key), Wanted::Keys(vec![RECORD])));
            readings.push(Reading::glance(mailbox(&key), page()));
            readings.push(Reading::glance(later(&key), page()));
        }
        Ok(readings)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<SurveyReply, Failure> {
        let set_aside = found.place(0)?;
        let mut reply =
            SurveyReply { set_aside: rows(set_aside), more: set_aside.more.into(), ..SurveyReply::default() };
        for (key, first) in mailboxes(call.request(), cx).iter().zip((1..).step_by(EACH)) {
            let round: RoundRecord = read_row(&found, first, &RECORD)?.unwrap_or_default();
            reply.attempts = reply.attempts.max(round.attempts);
            reply.failing_since = earlier(reply.failing_since, round.failing_since);
            for place in [first.saturating_add(1), first.saturating_add(2)] {
                let messages = found.place(place)?;
                reply.waiting = reply.waiting.saturating_add(rows(messages));
                reply.waits_since = earlier(reply.waits_since, accepted_at(messages, key, &cx.keys.at_rest)?);
                reply.more = (reply.more.is_set() || messages.more).into();
            }
        }
        Ok(reply)
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &SurveyReply,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        reply: SurveyReply,
        _: Authorised<Self>,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Decision<SurveyReply>, Failure> {
        Ok(Decision::reply(reply))
    }
}

/// When the first message of a place was accepted, in seconds.
fn accepted_at(found: &Snapshot, mailbox: &[u8; 32], key: &AtRestKey) -> Result<Option<u64>, Failure> {
    let Some((_, sealed)) = found.rows.first() else { return Ok(None) };
    Ok(Some(MailboxRecord::open(key, mailbox, sealed)?.accepted_at))
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn rows(found: &Snapshot) -> u32 {
    u32::try_from(found.rows.len()).unwrap_or(u32::MAX)
}

const fn page() -> Wanted {
    Wanted::Range { from: Bytes::new(), below: ABOVE_NUMBERS, limit: PAGE, bytes: MAX_BYTES }
}

/// Places that are read of each mailbox.
const EACH: usize = 3;
/// Messages that are counted of one place.
const PAGE: u32 = 1_000;
/// Bytes that are read of it.
const MAX_BYTES: usize = 1 << 20;
