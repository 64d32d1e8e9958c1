//! What waits for a homeserver that is there again: all of its mailboxes are sent at once.

use phoenix_core::{
    Failure, Fqdn, Timestamp,
    operation::{Context, Decision, Hint, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::DAY,
};

use crate::{
    kinds::{RECORD, SHARDS, mailbox, mailbox_key, round},
    record::{RoundRecord, read_row, to_row},
    service::QueueService,
};

/// Mailboxes in which something waits and that are not under way, each with how far sending is.
#[derive(Default)]
pub(crate) struct Waiting(Vec<([u8; 32], RoundRecord)>);

/// The mailboxes of a homeserver.
pub(crate) fn mailboxes(domain: &Fqdn, cx: &Context<QueueService>) -> Vec<[u8; 32]> {
    (0..SHARDS).map(|shard| mailbox_key(&cx.keys.at_rest, domain, shard)).collect()
}

impl Waiting {
    /// What has to be read of mailboxes.
    pub(crate) fn readings(keys: &[[u8; 32]]) -> Vec<Reading> {
        let state = keys.iter().map(|key| Reading::change(round(key), Wanted::Keys(vec![RECORD])));
        let marks = keys.iter().map(|key| Reading::glance(mailbox(key), Wanted::Mark));
        state.chain(marks).collect()
    }

    /// What was found of them, from this place on.
    ///
    /// # Errors
    /// Where it is not what was written there.
    pub(crate) fn found(
        keys: Vec<[u8; 32]>,
        (found, first): (&Rows, usize),
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let (mut waiting, marks) = (Vec::new(), first.saturating_add(keys.len()));
        for (place, key) in keys.into_iter().enumerate() {
            let exists = found.place(marks.saturating_add(place))?.mark.is_some();
            let round: RoundRecord =
                read_row(found, first.saturating_add(place), &RECORD)?.unwrap_or_default();
            let under_way = round.transaction.is_some() && now < Timestamp(round.until);
            if exists && !under_way {
                waiting.push((key, round));
            }
        }
        Ok(Self(waiting))
    }

    /// Lets them be sent at once. How often each failed is kept: one may hold what its destination fails at.
    pub(crate) fn woken<R>(self, decision: Decision<R>, cx: &Context<QueueService>) -> Decision<R> {
        let forget = Alarm::At(cx.now.plus_secs(FORGET_DAYS * DAY));
        self.0.into_iter().fold(decision, |decision, (key, before)| {
            let next = RoundRecord { transaction: None, until: 0, ..before };
            decision
                .change(mailbox(&key), Vec::new(), Alarm::At(cx.now))
                .change(round(&key), vec![Write::Put(RECORD, to_row(&next))], forget)
                .hint(Hint::Ring)
        })
    }
}

/// Seconds for which a delay is told beyond the end of the next attempt: nobody is that punctual.
pub(crate) const KNOWN_S: u64 = 60;
/// Days after which it is forgotten how often a mailbox could not be sent: longer than any pause.
pub(crate) const FORGET_DAYS: u64 = 8;
