//! Moving our queue to another QS without leaving a group (08): both queues are read until nothing more comes by the
//! former one.

use phoenix_core::{
    ConfigId, Fqdn, GroupId, QsClientId, Timestamp,
    time::{DAY, HOUR},
    wire::Flag,
};

use crate::{
    error::ClientError,
    group::{Effort, GroupRecord, Health},
    keys::UNDER_WAY_S,
    session::Session,
    settings::{Acknowledge, Pace},
    state::{Former, Record, Retired},
};

impl Session {
    /// Moves our queue to a homeserver.
    pub(crate) async fn move_queue(&mut self, to: &Fqdn, pace: Pace) -> Result<(), ClientError> {
        let ours = self.signer.verifying_key();
        if self.state.friends.values().any(|friend| friend.ours != ours) {
            return Err(ClientError::State("connections are held by another client of ours"));
        }
        let former = self.record()?;
        if former.domain() != to {
            self.check_room()?;
            let friendship = former.friendship.clone();
            let mut record = self.make_record(to).await?;
            // What opens what is on its way stays: nobody knows it but our friends.
            record.friendship.encryption_key = friendship.encryption_key;
            record.friendship.attribution_key = friendship.attribution_key;
            self.take_record(record, pace)?;
            self.state.friends.values_mut().for_each(|friend| friend.is_news_due = Flag::Yes);
        }
        // Before anyone is told of them.
        self.publish_add_packages().await?;
        self.leave_queues().await
    }

    /// Whether one more queue can be left: to be asked before there is another.
    pub(crate) fn check_room(&self) -> Result<(), ClientError> {
        match self.state.record.is_some() && self.state.former.len() >= MAX_FORMER {
            true => Err(ClientError::State("too many queues are being left")),
            false => Ok(()),
        }
    }

    /// A record takes the place of the one that we have, which is left from now on.
    pub(crate) fn take_record(&mut self, mut record: Record, pace: Pace) -> Result<(), ClientError> {
        self.check_room()?;
        let now = self.now();
        // Until packages are published there.
        record.is_low = Flag::Yes;
        let Some(former) = self.state.record.replace(record) else { return Ok(()) };
        let queue = former.client;
        self.state.former_attribution = Some(former.friendship.attribution_key.clone());
        let former = Former {
            record: former,
            since: now,
            until: match pace {
                Pace::Gradual => now.plus_secs(UNDER_WAY_S),
                Pace::AtOnce => now,
            },
            unended: Default::default(),
            is_read: Flag::No,
            is_hurried: Flag::from(pace == Pace::AtOnce),
        };
        let last = self.state.former.last_key_value().map_or(0, |(number, _)| *number);
        self.state.former.insert(last.saturating_add(1), former);
        (self.config_key, self.lost_reads, self.is_shut_out) = (None, 0, false);
        self.is_generation_known = true;
        self.redraw_configs(queue, now)
    }

    /// Draws the ids of the queue configs that groups get next anew: the QS that we leave may know those that were drawn,
    /// and nobody is to find one at two.
    fn redraw_configs(&mut self, former: QsClientId, at: Timestamp) -> Result<(), ClientError> {
        for group in self.state.groups.keys().cloned().collect::<Vec<_>>() {
            let record = self.group_mut(&group)?;
            let (next, expires) = (record.next_config.take(), record.leaf.credential.validity.last);
            if let Some(next) = next {
                // It may have been given to the DS, where the answer was lost.
                self.state.retired.insert(next, Retired { queue: former, at, expires });
                self.draw_config(&group)?;
            }
        }
        Ok(())
    }

    /// Whether the queue that we have now may be told of: with a state that was saved and goes on, nobody would read what
    /// comes to one that it does not know.
    pub(crate) fn is_record_safe(&self) -> bool {
        let present = self.state.queue();
        let is_saved = self.habits.acknowledge == Acknowledge::Processed || self.saved_queue == present;
        is_saved || self.state.former.is_empty()
    }

    /// Leaves the queues that we had before: lets groups and friends know where that is to be at once, and ends those
    /// by which nothing comes any more.
    pub(crate) async fn leave_queues(&mut self) -> Result<(), ClientError> {
        if self.state.former.is_empty() || !self.is_record_safe() {
            return Ok(());
        }
        let mut first = Ok(());
        if self.state.former.values().any(|former| former.is_hurried.is_set()) {
            first = first.and(self.replace_former_configs().await);
            first = first.and(self.tell_friends().await);
        }
        for (number, queue, is_given_up) in self.left_queues() {
            let ended = if is_given_up { Ok(()) } else { self.end_record(queue, Effort::Patient).await };
            if ended.is_ok() {
                self.forget_queue(number, queue);
            }
            first = first.and(ended);
        }
        first
    }

    /// The same in passing: what fails is tried again later.
    pub(crate) async fn go_on_leaving(&mut self) {
        let now = self.now();
        if self.leaving.is_resting(&(), now) {
            return;
        }
        match self.leave_queues().await {
            Ok(()) => self.leaving.succeeded(&()),
            Err(_) => self.leaving.failed((), self.now()),
        }
    }

    /// A group has another queue config: it says when nothing follows by the queue of the former one.
    pub(crate) fn await_end(&mut self, group: &GroupId, queue: QsClientId) {
        let now = self.now();
        if let Some(former) = self.former_of(queue) {
            former.unended.insert(group.clone(), now);
            former.is_read = Flag::No;
        }
    }

    /// A group says through a queue that nothing follows by it.
    pub(crate) fn take_end(&mut self, group: &GroupId, queue: &QsClientId) -> Result<(), ClientError> {
        if self.former_of(*queue).is_none() {
            return Ok(());
        }
        // The answer was lost that said that the DS has another config.
        if self.group(group)?.queue == *queue {
            self.config_ended(group, queue)?;
        }
        if let Some(former) = self.former_of(*queue) {
            former.unended.remove(group);
        }
        Ok(())
    }

    /// Groups of which something may come by a queue still, so that what comes by a later one must wait.
    pub(crate) fn unended(&self, queue: &QsClientId) -> Vec<GroupId> {
        let former = self.state.former.values().find(|it| it.record.client == *queue);
        former.map(|former| self.unended_within(former, LONGEST_WAIT_S)).unwrap_or_default()
    }

    /// Groups that a queue serves still, or has served within so many seconds without having said its end.
    fn unended_within(&self, former: &Former, seconds: u64) -> Vec<GroupId> {
        let now = self.now();
        let is_unended = |group: &GroupId, record: &GroupRecord| {
            let since = former.unended.get(group);
            let is_awaited = since.is_some_and(|since| now < since.plus_secs(seconds));
            is_at(record, former.record.client) || is_awaited && record.standing.is_inside()
        };
        let groups = self.state.groups.iter().filter(|(group, record)| is_unended(group, record));
        groups.map(|(group, _)| group.clone()).collect()
    }

    /// Whether a queue config of a group leads to the queue that we have now, as far as any QS is to know.
    pub(crate) fn leads_here(&self, group: &GroupId, config: &ConfigId) -> bool {
        let Some(present) = self.state.queue() else { return false };
        let at = self.state.groups.get(group).filter(|it| it.config == *config).map(|it| it.queue);
        let retired = self.state.retired.get(config).map(|it| it.queue);
        at.or(retired).is_none_or(|queue| queue == present)
    }

    /// A queue was read, and to its end or not.
    pub(crate) fn note_read(&mut self, queue: QsClientId, to_its_end: bool) {
        if let Some(former) = self.former_of(queue) {
            former.is_read = to_its_end.into();
        }
    }

    /// Queues by which nothing comes any more that is waited for, and whether they keep nothing any more either.
    fn left_queues(&self) -> Vec<(u32, QsClientId, bool)> {
        let now = self.now();
        let is_left = |former: &Former| {
            // A DS may hold messages for it long after those behind them are waited for no more.
            let has_groups = !self.unended_within(former, UNDER_WAY_S).is_empty();
            let is_read = former.is_read.is_set() && former.record.inbox.is_done(self.habits.acknowledge);
            now >= former.until && is_read && !has_groups
        };
        let is_over = |former: &Former| {
            let is_in_use = self.state.groups.values().any(|record| is_at(record, former.record.client));
            now >= former.since.plus_secs(KEPT_S) && !is_in_use
        };
        let former = self.state.former.iter().filter(|(_, it)| is_left(it) || is_over(it));
        former.map(|(number, it)| (*number, it.record.client, is_over(it))).collect()
    }

    fn forget_queue(&mut self, number: u32, queue: QsClientId) {
        self.state.former.remove(&number);
        let retired = self.state.retired.iter().filter(|(_, it)| it.queue == queue);
        for config in retired.map(|(config, _)| *config).collect::<Vec<_>>() {
            self.state.retired.remove(&config);
            self.state.configs.remove(&config);
        }
    }

    fn former_of(&mut self, queue: QsClientId) -> Option<&mut Former> {
        self.state.former.values_mut().find(|former| former.record.client == queue)
    }
}

/// Whether a group that is of any use sends to a queue, or does so perhaps.
fn is_at(record: &GroupRecord, queue: QsClientId) -> bool {
    let is_there = record.queue == queue || record.given.iter().any(|it| it.queue == queue);
    is_there && record.standing.is_inside() && record.health != Health::GivenUp
}

/// Queues that are being left at once, at most: each is read.
const MAX_FORMER: usize = 4;
/// How long what came for a group by the present queue waits for the end of the former one: longer than a homeserver is
/// away that is set up anew, shorter than a day without news. The former queue itself stays.
const LONGEST_WAIT_S: u64 = HOUR;
/// How long a queue keeps its entries (06): one that could not be read for so long has none of ours.
const KEPT_S: u64 = 90 * DAY;
