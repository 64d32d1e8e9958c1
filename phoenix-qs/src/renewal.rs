//! Reading renews a client, and with it its user and its AddPackages: once a month, since nothing finer is kept. What
//! has ended of theirs goes then, too.

use phoenix_core::{
    Failure, QsClientId, Timestamp,
    operation::{Context, Decision, Hint, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::Month,
    wire::Flag,
};

use crate::{
    kinds::{RECORD, client, end_of_use, packages, topic, user},
    reading::rules,
    record::{
        ClientRecord, PackageIndex, QueueRecord, RuleRecord, UserRecord, from_row, packages_low, read_row,
        to_row,
    },
    service::QueueService,
};

/// What a client's renewal changes beside its own record.
pub(crate) struct Renewal {
    user: Option<UserRecord>,
    index: Option<PackageIndex>,
    /// The writes that delete rules which have ended.
    ended: Vec<Write>,
}

/// What is read for a renewal; nothing where none is due.
pub(crate) fn readings(id: &QsClientId, record: &ClientRecord, now: Timestamp) -> Vec<Reading> {
    if Month::of(now) <= record.active {
        return Vec::new();
    }
    vec![
        Reading::change(user(&record.user), Wanted::Keys(vec![RECORD])),
        Reading::change(packages(id), Wanted::Keys(vec![RECORD])),
        // Of a partition that is checked to be as it was at the first read.
        Reading::glance(client(id), rules()),
    ]
}

impl Renewal {
    /// What was found, from a place on; none where nothing was read.
    pub(crate) fn open(found: &Rows, place: usize, now: Timestamp) -> Result<Option<Self>, Failure> {
        if found.len() <= place {
            return Ok(None);
        }
        let user = read_row(found, place, &RECORD)?;
        let index = read_row(found, place.saturating_add(1), &RECORD)?;
        let mut ended = Vec::new();
        for (key, row) in found.rows(place.saturating_add(2))? {
            if !from_row::<RuleRecord>(row)?.holds(now) && ended.len() < MOST_ENDED {
                ended.push(Write::Delete(key.clone()));
            }
        }
        Ok(Some(Self { user, index, ended }))
    }

    /// Writes it, and gives the queue as it is then: it may tell that few packages are left.
    pub(crate) fn write<R>(
        self,
        decision: Decision<R>,
        (id, mut record, mut queue): (QsClientId, ClientRecord, QueueRecord),
        cx: &Context<QueueService>,
    ) -> Result<(Decision<R>, QueueRecord), Failure> {
        let Self { user: owner, index, mut ended } = self;
        let active = Month::of(cx.now);
        let alarm = Alarm::At(end_of_use(active));
        let mut decision = decision;
        if let Some(owner) = owner {
            let row = Write::Put(RECORD, to_row(&owner.renewed(cx.now)));
            decision = decision.change(user(&record.user), vec![row], alarm);
        }
        if let Some(index) = index.filter(|index| index.user == record.user) {
            let (index, mut rows) = index.restored(cx.keys.generation);
            // Before those that are too old go: with them it would be forgotten of which suites there were any.
            let is_low = index.is_low(cx.now);
            let (mut index, stale) = index.without_stale(cx.now);
            rows.extend(stale);
            if is_low {
                index.told = Flag::Yes;
                let mut chance = cx.chance("packages low");
                let (told, entries) = queue.push(&packages_low(cx.now), cx, &mut chance)?;
                ended.extend(entries);
                ended.push(told.put());
                queue = told;
                decision = decision.hint(Hint::Wake(topic(&cx.keys.at_rest, &id)));
            }
            rows.push(Write::Put(RECORD, to_row(&index)));
            decision = decision.change(packages(&id), rows, alarm);
        }
        record.active = active;
        ended.push(Write::Put(RECORD, to_row(&record)));
        Ok((decision.change(client(&id), ended, alarm), queue))
    }
}

/// Rules that have ended and go at a time: the rest goes next month, since a batch takes no more.
const MOST_ENDED: usize = 2_048;
