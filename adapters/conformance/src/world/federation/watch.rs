//! What homeservers say to each other, seen from outside, and whether it may be so.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Fqdn,
    api::{
        Endpoint,
        delivery::{CreateGroup, CreateGroupRequest, SendMessage},
        federation::{FederatedEnqueue, QsToQsReceipt, QsToQsTransaction},
        queue::ClientQueueConfig,
    },
    crypto::sha256,
    port::{Batch, Mark, Outgoing, Part, PartitionKey, Space, Write},
    wire::{List, Wire},
};

/// Keeps what passes between homeservers, and holds it against the invariants of federation.
#[derive(Default)]
pub(crate) struct Watch {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What each homeserver signed and sent: its domain, and a digest of the whole.
    signed: BTreeSet<(Fqdn, [u8; 32])>,
    /// How often each homeserver looked for a domain.
    looked_up: BTreeMap<(Fqdn, Fqdn), u32>,
    /// By which batch what is delivered once came into a queue.
    applied: BTreeMap<(Fqdn, PartitionKey, PartitionKey), Mark>,
    transactions: VecDeque<(Fqdn, Outgoing)>,
    configs: Vec<ClientQueueConfig>,
    /// Who says of one delivery that it is bad, and which it is.
    liar: Option<Fqdn>,
    lie: Option<[u8; 16]>,
    lies: u64,
    /// Until when the hostile homeserver says nothing, in milliseconds.
    silent_until: u64,
    moves: BTreeMap<&'static str, u64>,
}

impl Watch {
    /// A homeserver sends something.
    pub(crate) fn sent(&self, from: &Fqdn, to: &Fqdn, outgoing: &Outgoing) {
        if outgoing.call.endpoint != FederatedEnqueue::DESCRIPTION.id {
            return;
        }
        let mut state = self.lock();
        state.signed.insert((from.clone(), sha256(outgoing.call.body.as_slice())));
        state.transactions.push_back((to.clone(), outgoing.clone()));
        if state.transactions.len() > OVERHEARD {
            state.transactions.pop_front();
        }
    }

    /// A homeserver looks for another.
    pub(crate) fn looked_up(&self, by: &Fqdn, domain: &Fqdn) {
        let mut state = self.lock();
        let count = state.looked_up.entry((by.clone(), domain.clone())).or_default();
        *count = count.saturating_add(1);
    }

    /// How often a homeserver looked for a domain.
    pub(crate) fn look_ups(&self, by: &Fqdn, domain: &Fqdn) -> u32 {
        self.lock().looked_up.get(&(by.clone(), domain.clone())).copied().unwrap_or(0)
    }

    /// F1: what a homeserver takes is for it, and was signed by the homeserver that it says it is of.
    pub(crate) fn took(&self, to: &Fqdn, outgoing: &Outgoing, is_of_hostile: bool) -> Option<String> {
        if outgoing.call.endpoint != FederatedEnqueue::DESCRIPTION.id {
            return None;
        }
        let body = outgoing.call.body.as_slice();
        let payload = QsToQsTransaction::decode(body).ok()?.payload;
        let is_genuine = if is_of_hostile && payload.source.as_str() == super::DOMAIN {
            true
        } else {
            self.lock().signed.contains(&(payload.source.clone(), sha256(body)))
        };
        let wrong = !is_genuine || payload.destination != *to;
        wrong.then(|| format!("F1: {to} takes a transaction of {} that it never sent there", payload.source))
    }

    /// Q2: a part of a delivery comes into a queue by one batch. D3: what is to be sent is queued together with what it
    /// tells of.
    pub(crate) fn applied(&self, of: &Fqdn, batch: &Batch) -> Option<String> {
        let mut others = batch.parts.iter().filter(|part| part.is_write() && !appends_to_lane(part));
        if batch.parts.iter().any(appends_to_lane) && others.next().is_none() {
            return Some(format!("D3: {of} queues what it sends before what that tells of is durable"));
        }
        let of_queues = |kind: u8| {
            let is_it =
                move |key: &PartitionKey| key.space() == Space::Qs && key.key().first() == Some(&kind);
            batch.parts.iter().filter(move |part| part.is_write() && is_it(&part.partition))
        };
        let mut state = self.lock();
        for receipt in of_queues(RECEIPT) {
            for queue in of_queues(CLIENT) {
                let which = (of.clone(), receipt.partition.clone(), queue.partition.clone());
                let before = state.applied.insert(which, receipt.mark);
                if before.is_some_and(|mark| mark != receipt.mark) {
                    return Some(format!("Q2: {of} puts a delivery into a queue for the second time"));
                }
            }
        }
        None
    }

    /// F7: what needs no other homeserver waits for none.
    pub(crate) fn handled(&self, at: &Fqdn, outgoing: &Outgoing, took_ms: u64) -> Option<String> {
        let is_late = outgoing.call.endpoint == SendMessage::DESCRIPTION.id && took_ms > LATE_MS;
        is_late.then(|| format!("F7: {at} took {took_ms} ms for a message"))
    }

    /// What somebody asks a homeserver for: whoever listens keeps what may be of use.
    pub(crate) fn overhears(&self, outgoing: &Outgoing) {
        if outgoing.call.endpoint == CreateGroup::DESCRIPTION.id
            && let Ok(request) = CreateGroupRequest::decode(outgoing.call.body.as_slice())
        {
            let mut state = self.lock();
            // Of one that stands twice in a delivery, the second is said to be delivered, whatever the first is.
            if !state.configs.contains(&request.config) {
                state.configs.push(request.config);
            }
        }
    }

    /// Transactions that passed, the last ones, and where they went.
    pub(crate) fn transactions(&self) -> Vec<(Fqdn, Outgoing)> {
        self.lock().transactions.iter().cloned().collect()
    }

    /// Queue configs that passed.
    pub(crate) fn configs(&self) -> Vec<ClientQueueConfig> {
        self.lock().configs.clone()
    }

    /// From now on, a homeserver says of the first delivery that comes that it is bad, whenever that comes.
    pub(crate) fn let_lie(&self, liar: &Fqdn) {
        self.lock().liar = Some(liar.clone());
    }

    /// What a homeserver says that it made of a transaction.
    pub(crate) fn told(
        &self,
        by: &Fqdn,
        outgoing: &Outgoing,
        reply: Result<Bytes, ErrorReply>,
    ) -> Result<Bytes, ErrorReply> {
        let mut state = self.lock();
        if state.liar.as_ref() != Some(by) || outgoing.call.endpoint != FederatedEnqueue::DESCRIPTION.id {
            return reply;
        }
        let Some(mut receipt) = reply.as_ref().ok().and_then(|reply| QsToQsReceipt::decode(reply).ok())
        else {
            return reply;
        };
        let mut results = receipt.results.into_vec();
        let lie = state.lie.or_else(|| results.first().map(|result| result.id));
        state.lie = lie;
        for result in results.iter_mut().filter(|result| Some(result.id) == lie) {
            result.results = List::default();
            state.lies = state.lies.saturating_add(1);
        }
        receipt.results = List::new(results).unwrap_or_default();
        Ok(receipt.encode())
    }

    /// The hostile homeserver says nothing until then.
    pub(crate) fn be_silent(&self, until_ms: u64) {
        self.lock().silent_until = until_ms;
    }

    /// Whether the hostile homeserver says nothing.
    pub(crate) fn is_silent(&self, now_ms: u64) -> bool {
        now_ms < self.lock().silent_until
    }

    /// Counts a move of the hostile homeserver.
    pub(crate) fn moved(&self, name: &'static str) {
        let mut state = self.lock();
        let count = state.moves.entry(name).or_default();
        *count = count.saturating_add(1);
    }

    /// How often each move was made; lies count as one of them.
    pub(crate) fn moves(&self) -> BTreeMap<&'static str, u64> {
        let state = self.lock();
        let mut moves = state.moves.clone();
        if state.lies > 0 {
            moves.insert("lies", state.lies);
        }
        moves
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a part of a batch puts something into a lane: from there it is sent.
pub(crate) fn appends_to_lane(part: &Part) -> bool {
    let appends = |write: &Write| matches!(write, Write::Append(_));
    part.partition.space() == Space::Lane && part.writes.iter().any(appends)
}

/// Whether a receipt says of a delivery that it is bad.
pub(crate) fn names_a_bad_one(reply: &[u8]) -> bool {
    let receipt = QsToQsReceipt::decode(reply);
    receipt.is_ok_and(|receipt| receipt.results.iter().any(|result| result.results.is_empty()))
}

/// Partitions of the QS: a client and its queue.
const CLIENT: u8 = 2;
/// Partitions of the QS: what became of a part of a delivery.
pub(crate) const RECEIPT: u8 = 4;
/// Transactions that are kept to be given again.
const OVERHEARD: usize = 64;
/// More than a message takes that waits for nobody but a slow disk, and less than it takes to find that nobody answers.
const LATE_MS: u64 = 450;
