//! Reading the queues: of the QS record, of the account, of aliases.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{join_all, select_all};
use phoenix_core::{
    AliasHash, ErrorCode, ErrorReply, Fqdn, QsClientId,
    api::{
        Description, Endpoint,
        auth::{AliasDequeue, DequeueOffers},
        queue::{Dequeue, DequeueReply},
    },
    port::{Circuit, Outgoing, Transport, TransportError},
    wire::{Sender, Wire},
};

use crate::{
    call::{Auth, Route},
    error::ClientError,
    event::Event,
    group::Effort,
    inbox::Inbox,
    session::Session,
};

/// One of a client's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    /// At a QS: the one of our record, or of one that we leave.
    Queue(QsClientId),
    /// Of the account, at the AS.
    Direct,
    /// Of an alias, at the AS.
    Alias(AliasHash),
}

/// A read that is on its way, and holds nothing of the client.
pub(crate) struct Reading {
    which: Which,
    domain: Fqdn,
    outgoing: Outgoing,
    transport: Arc<dyn Transport>,
}

/// What came of a read.
pub(crate) struct Answer {
    which: Which,
    reply: Result<Result<Bytes, ErrorReply>, TransportError>,
}

impl Answer {
    /// Entries of a queue at a QS, as they came by a stream.
    pub(crate) fn streamed(queue: QsClientId, found: &DequeueReply) -> Self {
        Self { which: Which::Queue(queue), reply: Ok(Ok(found.encode())) }
    }
}

impl Reading {
    /// Of which queue.
    pub(crate) const fn which(&self) -> Which {
        self.which
    }

    async fn send(self) -> Answer {
        let Self { which, domain, outgoing, transport } = self;
        Answer { which, reply: transport.send(&domain, outgoing).await }
    }

    /// The answer that comes first; the other reads are dropped, since what they would read stays in its queue.
    pub(crate) async fn first(readings: Vec<Self>) -> Option<Answer> {
        if readings.is_empty() {
            return None;
        }
        let sends = readings.into_iter().map(|reading| Box::pin(reading.send()));
        let (answer, _, _) = select_all(sends).await;
        Some(answer)
    }
}

impl Session {
    /// Reads all queues to their ends, and deals with what was read.
    pub(crate) async fn poll(&mut self) -> Result<(), ClientError> {
        for _ in 0..MAX_ROUNDS {
            let readings = self.readings(0)?;
            let answers = join_all(readings.into_iter().map(Reading::send)).await;
            let read: Vec<_> = answers.into_iter().map(|answer| self.absorb(answer)).collect();
            let processed = self.process_all().await;
            self.tend_groups().await;
            self.mend_queue().await;
            self.learn_generation().await;
            self.go_on_leaving().await;
            let has_more = read.iter().any(|read| *read == Ok(true));
            read.into_iter().collect::<Result<Vec<_>, _>>()?;
            processed?;
            if !has_more {
                break;
            }
        }
        Ok(())
    }

    /// A read of each queue that we have, but for those that rest.
    pub(crate) fn readings(&mut self, wait_s: u8) -> Result<Vec<Reading>, ClientError> {
        let records = self.state.records().map(|record| Which::Queue(record.client));
        let mut queues: Vec<_> = records.chain([Which::Direct]).collect();
        let aliases = self.state.aliases.iter().filter(|(_, alias)| alias.is_registered.is_set());
        queues.extend(aliases.map(|(alias, _)| Which::Alias(*alias)));
        let now = self.now();
        queues.retain(|which| !self.stuck.is_resting(which, now));
        queues.into_iter().map(|which| self.reading(which, wait_s)).collect()
    }

    /// Takes what was read. Says whether more waits behind it. An alias that cannot be read rests, and is no error: it
    /// may have ended; and so does a queue that we leave.
    pub(crate) fn absorb(&mut self, answer: Answer) -> Result<bool, ClientError> {
        let which = answer.which;
        let taken = self.take_answer_of(answer);
        match which {
            Which::Queue(queue) if taken.is_err() && !self.is_present(queue) => {
                self.rest(which);
                Ok(false)
            }
            Which::Alias(_) if taken.is_err() => {
                self.rest(which);
                Ok(false)
            }
            Which::Queue(_) if self.is_shut_out(&taken) => {
                self.is_shut_out = true;
                Ok(true)
            }
            _ => taken,
        }
    }

    fn rest(&mut self, which: Which) {
        let now = self.now();
        self.stuck.failed(which, now);
    }

    /// Whether a queue is the one that we have now.
    fn is_present(&self, queue: QsClientId) -> bool {
        self.state.queue() == Some(queue)
    }

    /// Whether our key may have been replaced by the next one: to be found out by [`Session::mend_queue`], if it may
    /// try now.
    fn is_shut_out(&self, taken: &Result<bool, ClientError>) -> bool {
        let is_refused = matches!(taken, Err(error) if error.code() == Some(ErrorCode::Unauthenticated));
        let has_next = self.state.record.as_ref().is_some_and(|record| record.next_key.is_some());
        is_refused && has_next && !self.mending_queue.is_resting(&(), self.now())
    }

    /// How far the client has come: changes with each entry that is read or dealt with.
    pub(crate) fn progress(&mut self) -> (u64, usize) {
        let inboxes = self.inboxes();
        inboxes.fold((0, 0), |(read, waiting), it| (read + it.next_seq(), waiting + it.waiting.len()))
    }

    fn take_answer_of(&mut self, answer: Answer) -> Result<bool, ClientError> {
        let Answer { which, reply } = answer;
        let reply = reply.map_err(ClientError::Unreachable)?.map_err(ClientError::Refused)?;
        let reply = DequeueReply::decode(&reply).map_err(|_| ClientError::Unexpected("dequeue"))?;
        self.take_reply(which, &reply)
    }

    /// Begins our queue again where its entries do not open (06, "Ratchet"): not at once, since what was changed on its
    /// way may come unchanged when it is read again; and after longer each time.
    pub(crate) async fn mend_queue(&mut self) {
        let now = self.now();
        if std::mem::take(&mut self.is_shut_out) {
            self.mending_queue.failed((), now);
            return self.recover_client_key().await;
        }
        if self.lost_reads < LOST_READS || self.mending_queue.is_resting(&(), now) {
            return;
        }
        self.mending_queue.failed((), now);
        if self.restart_queue().await.is_ok() {
            self.lost_reads = 0;
        }
    }

    /// Deals with all that was read and not dealt with yet.
    pub(crate) async fn process_all(&mut self) -> Result<(), ClientError> {
        let mut first = self.process_waiting().await;
        first = first.and(self.process_direct(None).await);
        for alias in self.state.aliases.keys().copied().collect::<Vec<_>>() {
            first = first.and(self.process_direct(Some(alias)).await);
        }
        first
    }

    /// Reads our queues at QSs to their ends, waiting for an entry of the one that we have now where there is none.
    pub(crate) async fn read_queue(&mut self, wait_s: u8) -> Result<(), ClientError> {
        let present = self.record()?.client;
        for queue in self.state.former.values().map(|it| Which::Queue(it.record.client)).collect::<Vec<_>>() {
            let now = self.now();
            // One that cannot be read now holds up what comes by the next, and nothing else.
            if !self.stuck.is_resting(&queue, now)
                && self.read_to_end(queue, (0, Effort::Passing)).await.is_err()
            {
                self.rest(queue);
            }
        }
        let wait_s = if self.state.former.is_empty() { wait_s } else { wait_s.min(1) };
        self.read_to_end(Which::Queue(present), (wait_s, Effort::Patient)).await
    }

    async fn read_to_end(&mut self, which: Which, (wait_s, effort): (u8, Effort)) -> Result<(), ClientError> {
        for round in 0..MAX_ROUNDS {
            let (description, route, auth) = self.way(which)?;
            let acknowledge = self.habits.acknowledge;
            let inbox = self.inbox(which).ok_or(NO_QUEUE)?;
            let request = inbox.request(acknowledge, if round == 0 { wait_s } else { 0 });
            let reply = self.exchange(&description, (&route, effort), Some(&auth), request.encode()).await?;
            let reply = DequeueReply::decode(&reply).map_err(|_| ClientError::Unexpected("dequeue"))?;
            if !self.take_reply(which, &reply)? {
                break;
            }
        }
        Ok(())
    }

    /// The direct queue of the account or an alias.
    pub(crate) fn direct_inbox(&mut self, alias: Option<AliasHash>) -> Option<&mut Inbox> {
        match alias {
            None => Some(&mut self.state.account.inbox),
            Some(alias) => self.state.aliases.get_mut(&alias).map(|alias| &mut alias.inbox),
        }
    }

    /// The state that holds all that was read is being written.
    pub(crate) fn mark_exported(&mut self) {
        self.exported_queue = self.state.queue();
        self.inboxes().for_each(Inbox::mark_exported);
    }

    /// The state that was written last is safe.
    pub(crate) fn confirm_export(&mut self) {
        self.saved_queue = self.exported_queue;
        self.inboxes().for_each(Inbox::confirm_export);
    }

    fn inboxes(&mut self) -> impl Iterator<Item = &mut Inbox> {
        let aliases = self.state.aliases.values_mut().map(|alias| &mut alias.inbox);
        let former = self.state.former.values_mut().map(|former| &mut former.record);
        let records = former.chain(&mut self.state.record).map(|record| &mut record.inbox);
        std::iter::once(&mut self.state.account.inbox).chain(aliases).chain(records)
    }

    fn reading(&mut self, which: Which, wait_s: u8) -> Result<Reading, ClientError> {
        let (description, route, auth) = self.way(which)?;
        let acknowledge = self.habits.acknowledge;
        let inbox = self.inbox(which).ok_or(NO_QUEUE)?;
        let request = inbox.request(acknowledge, wait_s);
        let outgoing = self.prepare(&description, &route, Some(&auth), None, request.encode())?;
        Ok(Reading { which, domain: route.domain, outgoing, transport: self.ports.transport.clone() })
    }

    fn take_reply(&mut self, which: Which, reply: &DequeueReply) -> Result<bool, ClientError> {
        let inbox = self.inbox(which).ok_or(NO_QUEUE)?;
        let before = inbox.next_seq();
        let read = inbox.take(reply);
        let has_moved = inbox.next_seq() > before;
        let now = self.now();
        let is_present = matches!(which, Which::Queue(queue) if self.is_present(queue));
        if is_present && !(read.lost && self.stuck.is_resting(&which, now)) {
            // What is read again at once counts once.
            self.lost_reads = if read.lost { self.lost_reads.saturating_add(1) } else { 0 };
        }
        // Ours at the QS begins again and tells it then; the others cannot.
        let is_news = read.lost && !is_present && !self.stuck.has_failed(&which);
        match read.lost {
            true => self.stuck.failed(which, now),
            false => self.stuck.succeeded(&which),
        }
        if read.gap || is_news {
            self.tell(Event::Gap);
            if matches!(which, Which::Queue(_)) {
                self.doubt_all();
            }
        }
        if let Which::Queue(queue) = which {
            self.note_read(queue, read.remaining == 0 && !read.lost);
        }
        Ok(read.remaining > 0 && has_moved)
    }

    fn inbox(&mut self, which: Which) -> Option<&mut Inbox> {
        match which {
            Which::Queue(queue) => self.state.record_of(&queue).map(|record| &mut record.inbox),
            Which::Direct => self.direct_inbox(None),
            Which::Alias(alias) => self.direct_inbox(Some(alias)),
        }
    }

    fn way(&self, which: Which) -> Result<(Description, Route, Auth), ClientError> {
        Ok(match which {
            Which::Queue(queue) => {
                let record = self.state.records().find(|record| record.client == queue).ok_or(NO_QUEUE)?;
                let route = Route { domain: record.domain().clone(), circuit: Circuit(record.circuit) };
                let auth = Auth::new(Sender::QsClient(queue), Arc::new(record.client_key.clone()));
                (Dequeue::DESCRIPTION, route, auth)
            }
            Which::Direct => {
                (DequeueOffers::DESCRIPTION, self.identity_route(&self.domain().clone()), self.identity())
            }
            Which::Alias(alias) => {
                let (route, auth) = self.alias_way(alias)?;
                (AliasDequeue::DESCRIPTION, route, auth)
            }
        })
    }
}

/// How often our queue is read in vain before it begins again.
const LOST_READS: u8 = 3;
/// Pages of one queue in one go: a hundred thousand entries, more than a queue holds, would take several calls.
const MAX_ROUNDS: usize = 100;

const NO_QUEUE: ClientError = ClientError::State("no such queue");
