//! What was seen from outside in a run, and whether it may be so.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use phoenix_core::{
    ClientId, ErrorCode, Fqdn, GroupId, MessageId, QsClientId, QsUserId,
    api::{
        Endpoint, ServiceName,
        delivery::{
            Accepted, Mls, SendMessage, SendMessageRequest, SendTargeted, SendTargetedRequest, WelcomeInfo,
            WelcomeInfoRequest,
        },
        queue::{Dequeue, DequeueReply, DequeueRequest},
        stream::StreamAck,
    },
    crypto::sha256,
    port::Outgoing,
    wire::{Sender, Wire},
};

use super::{
    commits::{epoch_of, led_to, made_in},
    issued::Issued,
    link::{Answer, Source},
};

/// Keeps what calls were answered, and holds it against the invariants.
#[derive(Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What each client is about to send.
    speaking: BTreeMap<String, String>,
    /// The clients that a text is for alone.
    addressees: BTreeMap<String, BTreeSet<String>>,
    /// Texts of the moment, and when they were sent, in milliseconds.
    passing: BTreeMap<String, u64>,
    /// Until when each client that ever did so has read through a stream.
    listened: BTreeMap<String, u64>,
    /// How often a text of the moment was shown.
    overheard: usize,
    /// Who must not be shown a text of a group, since they have blocked it.
    hushed: BTreeMap<String, (GroupId, BTreeSet<String>)>,
    /// What a message says, by its group and id.
    texts: BTreeMap<(GroupId, MessageId), String>,
    /// The epoch that a text was encrypted in.
    made_in: BTreeMap<String, u64>,
    /// How often a message arrived at its DS.
    arrivals: BTreeMap<(GroupId, MessageId), u32>,
    /// The epoch that a client joined a group in, last.
    joins: BTreeMap<(String, GroupId), u64>,
    accepted: BTreeMap<String, Spoken>,
    /// Messages that were accepted.
    counted: BTreeSet<(GroupId, MessageId)>,
    /// Who made the commit that led to an epoch.
    commits: BTreeMap<(GroupId, u64), String>,
    spent: BTreeMap<(Fqdn, Bytes), &'static str>,
    issued: Issued,
    /// Calls that cost a token and were accepted, the last ones.
    replayable: VecDeque<(Fqdn, Outgoing)>,
    /// How many calls of each endpoint were accepted.
    served: Served,
    /// By the client that reads it.
    queues: BTreeMap<String, Queue>,
    /// Clients that began their queue again.
    begun_again: BTreeSet<String>,
    /// Under which names each client acted.
    names: BTreeMap<String, Names>,
    refused: BTreeMap<ErrorCode, usize>,
    violations: Vec<String>,
}

/// How many calls of each endpoint were accepted.
pub type Served = BTreeMap<(ServiceName, &'static str), u64>;

/// Under which names a client acted towards its homeserver: what only a client may be able to join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Towards the AS.
    pub clients: BTreeSet<ClientId>,
    /// Towards the QS, as a user.
    pub queue_users: BTreeSet<QsUserId>,
    /// Towards the QS, as a client.
    pub queue_clients: BTreeSet<QsClientId>,
}

/// A message that a DS accepted.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    pub(crate) group: GroupId,
    /// The epoch that it was first encrypted in.
    pub(crate) made_in: u64,
    /// The group's epoch when it was accepted.
    pub(crate) epoch: u64,
    pub(crate) sender: String,
    /// The clients that alone it is for.
    pub(crate) to: Option<BTreeSet<String>>,
    /// How many messages say it: to a user alone, one for each client.
    pub(crate) times: usize,
    /// Whether it was the first request for it that was answered: an earlier one may have been accepted in an
    /// earlier epoch, and its answer have ended with the process.
    pub(crate) is_first: bool,
}

/// What was read of a queue: a digest of each entry, by its number.
#[derive(Default)]
struct Queue {
    /// Entries below it may be gone.
    acknowledged: u64,
    entries: BTreeMap<u64, [u8; 32]>,
}

impl Ledger {
    /// A client is about to send a text.
    pub(crate) fn speaks(&self, client: &str, text: &str) {
        self.lock().speaking.insert(client.to_owned(), text.to_owned());
    }

    /// A client is about to send a user a text that is for that one's clients alone.
    pub(crate) fn whispers(&self, client: &str, to: BTreeSet<String>, text: &str) {
        self.speaks(client, text);
        self.lock().addressees.insert(text.to_owned(), to);
    }

    /// A client is about to send a text of the moment.
    pub(crate) fn hints(&self, client: &str, text: &str, now_ms: u64) {
        self.speaks(client, text);
        self.lock().passing.insert(text.to_owned(), now_ms);
    }

    /// Whether a text is one of the moment.
    pub(crate) fn is_passing(&self, text: &str) -> bool {
        self.lock().passing.contains_key(text)
    }

    /// A client reads through a stream until then.
    pub(crate) fn listens(&self, client: &str, until_ms: u64) {
        self.lock().listened.insert(client.to_owned(), until_ms);
    }

    /// A client is shown a text of the moment: it can have it from a stream alone, else somebody has stored it.
    pub(crate) fn overheard(&self, client: &str, text: &str) {
        let mut state = self.lock();
        state.overheard = state.overheard.saturating_add(1);
        let (sent, heard) = (state.passing.get(text), state.listened.get(client));
        if sent.is_none() || heard < sent {
            state.violations.push(format!("{client} was shown {text:?}, which somebody stored"));
        }
    }

    /// How often somebody was shown a text of the moment.
    pub(crate) fn hints_shown(&self) -> usize {
        self.lock().overheard
    }

    /// The last epoch that a commit was accepted to lead to.
    pub(crate) fn reached(&self, group: &GroupId) -> u64 {
        let state = self.lock();
        let reached = state.commits.keys().filter(|(of, _)| of == group).map(|(_, epoch)| *epoch);
        reached.max().unwrap_or(0)
    }

    /// A text is about to be sent to a group that some have blocked.
    pub(crate) fn hush(&self, group: &GroupId, text: &str, deaf: BTreeSet<String>) {
        self.lock().hushed.insert(text.to_owned(), (group.clone(), deaf));
    }

    /// Someone is about to hear a group again; what is under way to it may arrive after that.
    pub(crate) fn unhush(&self, client: &str, group: &GroupId) {
        for (_, deaf) in self.lock().hushed.values_mut().filter(|(of, _)| of == group) {
            deaf.remove(client);
        }
    }

    /// Whether someone must not be shown a text, since they had blocked its group.
    pub(crate) fn is_hushed(&self, client: &str, text: &str) -> bool {
        self.lock().hushed.get(text).is_some_and(|(_, deaf)| deaf.contains(client))
    }

    /// A stream was opened.
    pub(crate) fn served_a_stream(&self, service: ServiceName, name: &'static str) {
        let mut state = self.lock();
        let count = state.served.entry((service, name)).or_default();
        *count = count.saturating_add(1);
    }

    /// How many calls of each endpoint were accepted.
    pub(crate) fn served(&self) -> Served {
        self.lock().served.clone()
    }

    /// The clients that a text is for, where it is for those of one user alone.
    pub(crate) fn addressees(&self, text: &str) -> Option<BTreeSet<String>> {
        self.lock().addressees.get(text).cloned()
    }

    /// The epoch that a text was first encrypted in, if it was sent at all.
    pub(crate) fn made_in(&self, text: &str) -> Option<u64> {
        self.lock().made_in.get(text).copied()
    }

    /// The epoch that a client joined a group in, last.
    pub(crate) fn joined_in(&self, client: &str, group: &GroupId) -> Option<u64> {
        self.lock().joins.get(&(client.to_owned(), group.clone())).copied()
    }

    /// What a DS accepted, by its text.
    pub(crate) fn accepted(&self) -> BTreeMap<String, Spoken> {
        self.lock().accepted.clone()
    }

    /// Calls that cost a token and were accepted, the last ones.
    pub(crate) fn replayable(&self) -> Vec<(Fqdn, Outgoing)> {
        self.lock().replayable.iter().cloned().collect()
    }

    /// How many calls were refused with this code.
    pub(crate) fn refused(&self, code: ErrorCode) -> usize {
        self.lock().refused.get(&code).copied().unwrap_or(0)
    }

    /// Under which names each client acted.
    pub(crate) fn names(&self) -> BTreeMap<String, Names> {
        self.lock().names.clone()
    }

    /// A client begins its queue again: what it has not read is lost.
    pub(crate) fn begins_again(&self, client: &str) {
        let mut state = self.lock();
        state.queues.remove(client);
        state.begun_again.insert(client.to_owned());
    }

    /// Whether a client ever began its queue again.
    pub(crate) fn has_begun_again(&self, client: &str) -> bool {
        self.lock().begun_again.contains(client)
    }

    /// Something that must not be.
    pub(crate) fn violated(&self, what: String) {
        let mut state = self.lock();
        if !state.violations.contains(&what) {
            state.violations.push(what);
        }
    }

    /// What must not be and was.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// A call leaves its sender.
    pub(crate) fn sent(&self, from: &Source, outgoing: &Outgoing) {
        let Source::Client(client) = from else { return };
        if let Some(frame) = &outgoing.call.auth {
            self.lock().names.entry(client.clone()).or_default().add(&frame.sender);
        }
        let (endpoint, body) = (outgoing.call.endpoint, outgoing.call.body.as_slice());
        if let Some(letter) = letter(outgoing) {
            self.lock().note_sending(client, letter);
        } else if endpoint == WelcomeInfo::DESCRIPTION.id
            && let Ok(request) = WelcomeInfoRequest::decode(body)
        {
            self.lock().joins.insert((client.clone(), request.access.group), request.epoch.0);
        }
    }

    /// A call arrives at a homeserver.
    pub(crate) fn arrived(&self, from: &Source, outgoing: &Outgoing) {
        let (endpoint, body) = (outgoing.call.endpoint, outgoing.call.body.as_slice());
        if let Some((key, _)) = letter(outgoing) {
            let mut state = self.lock();
            let count = state.arrivals.entry(key).or_default();
            *count = count.saturating_add(1);
        } else if endpoint == Dequeue::DESCRIPTION.id
            && let Ok(request) = DequeueRequest::decode(body)
        {
            self.lock().acknowledges(from, request.ack_below);
        }
    }

    /// What a client says on its stream arrives.
    pub(crate) fn acknowledged(&self, from: &Source, message: &[u8]) {
        let Ok(StreamAck { ack_below }) = StreamAck::decode(message) else { return };
        self.lock().acknowledges(from, ack_below);
    }

    /// A homeserver answered a call, whether or not the answer arrives. Before it, [`Self::latest_epoch`] was `known`.
    pub(crate) fn answered(
        &self,
        from: &Source,
        to: &Fqdn,
        outgoing: &Outgoing,
        reply: &Answer,
        known: Option<u64>,
    ) {
        let mut state = self.lock();
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                let count = state.refused.entry(error.code).or_default();
                *count = count.saturating_add(1);
                if error.code == ErrorCode::Internal {
                    let name = outgoing.name;
                    state.violations.push(format!("R4: {to} answers {name} of {from} that it is broken"));
                }
                return;
            }
        };
        let count = state.served.entry((outgoing.service, outgoing.name)).or_default();
        *count = count.saturating_add(1);
        if let Some(token) = &outgoing.call.token {
            state.replayable.push_back((to.clone(), outgoing.clone()));
            if state.replayable.len() > REPLAYABLE {
                state.replayable.pop_front();
            }
            let before = state.spent.insert((to.clone(), token.encode()), outgoing.name);
            if let Some(before) = before {
                let name = outgoing.name;
                state.violations.push(format!("K1: a token was accepted twice, by {before} and {name}"));
            }
        }
        let body = outgoing.call.body.as_slice();
        let who = from.to_string();
        let endpoint = outgoing.call.endpoint;
        let wrongly_issued = state.issued.note(&who, to, outgoing, reply);
        state.violations.extend(wrongly_issued);
        if is_letter(outgoing) {
            state.note_message(outgoing, reply, &who);
        } else if endpoint == Dequeue::DESCRIPTION.id {
            state.note_entries(&who, body, reply);
        } else if let Some((group, epoch)) = led_to(outgoing, reply) {
            let before = state.commits.insert((group, epoch), who.clone());
            if let Some(before) = before {
                state.violations.push(format!("D1: {before} and {who} both committed to epoch {epoch}"));
            }
            // D2: it leads to the epoch after its own, and to none that the group had come to before.
            let made = made_in(outgoing).map(|(_, made)| made);
            if made.and_then(|made| made.checked_add(1)) != Some(epoch) || known >= Some(epoch) {
                state
                    .violations
                    .push(format!("D2: {to} goes from epoch {made:?} to {epoch}, after {known:?}"));
            }
        }
    }

    /// The last epoch that the group of a commit is known to have come to.
    pub(crate) fn latest_epoch(&self, outgoing: &Outgoing) -> Option<u64> {
        let (group, _) = made_in(outgoing)?;
        let state = self.lock();
        let epochs = state.commits.range((group.clone(), 0)..=(group, u64::MAX));
        epochs.map(|((_, epoch), _)| *epoch).next_back()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn add(&mut self, sender: &Sender) {
        match sender {
            Sender::ClientCredential(credential) => {
                self.clients.insert(credential.payload.client.clone());
            }
            Sender::QsUser(user) => {
                self.queue_users.insert(*user);
            }
            Sender::QsClient(client) => {
                self.queue_clients.insert(*client);
            }
            Sender::Alias(_)
            | Sender::Leaf(..)
            | Sender::KeyPackage(..)
            | Sender::Homeserver(..)
            | Sender::NewKey(_) => {}
        }
    }
}

impl State {
    fn acknowledges(&mut self, from: &Source, below: u64) {
        let queue = self.queues.entry(from.to_string()).or_default();
        queue.acknowledged = queue.acknowledged.max(below);
    }

    fn note_sending(&mut self, client: &str, (key, message): Letter) {
        let Some(text) = self.speaking.get(client).cloned() else { return };
        if let Some(epoch) = epoch_of(message.as_slice()) {
            self.made_in.entry(text.clone()).or_insert(epoch);
        }
        self.texts.entry(key).or_insert(text);
    }

    fn note_message(&mut self, outgoing: &Outgoing, reply: &[u8], who: &str) {
        let (Some((key, _)), Ok(reply)) = (letter(outgoing), Accepted::decode(reply)) else {
            self.violations.push(format!("R4: an answer to {} does not decode", outgoing.name));
            return;
        };
        let group = key.0.clone();
        let Some(text) = self.texts.get(&key).cloned() else { return };
        let is_first = self.arrivals.get(&key).is_none_or(|count| *count <= 1);
        let made_in = self.made_in.get(&text).copied().unwrap_or(reply.epoch.0);
        let (epoch, sender, to) = (reply.epoch.0, who.to_owned(), self.addressees.get(&text).cloned());
        let is_new = self.counted.insert(key);
        let spoken = Spoken { group, made_in, epoch, sender, to, times: 0, is_first };
        let spoken = self.accepted.entry(text).or_insert(spoken);
        spoken.times = spoken.times.saturating_add(usize::from(is_new));
    }

    /// Q3, as far as its reader sees: numbers without gap, and the same entry under a number each time.
    fn note_entries(&mut self, reader: &str, request: &[u8], reply: &[u8]) {
        let (Ok(request), Ok(reply)) = (DequeueRequest::decode(request), DequeueReply::decode(reply)) else {
            self.violations.push("R4: an answer to dequeue does not decode".to_owned());
            return;
        };
        let has_begun_again = self.begun_again.contains(reader);
        let known = self.queues.entry(reader.to_owned()).or_default();
        let mut violations = Vec::new();
        if reply.gap_before.is_some() && !has_begun_again {
            violations.push("Q1: entries of a queue were lost before they were read".to_owned());
        }
        // What is acknowledged goes when the acknowledgement is carried out, which may be a moment later.
        let first = reply.entries.first().map_or(request.from, |entry| entry.seq);
        let latest = request.from.max(known.acknowledged);
        let from = if has_begun_again || (request.from..=latest).contains(&first) { first } else { latest };
        for (entry, expected) in reply.entries.iter().zip(from..) {
            if entry.seq != expected {
                violations.push(format!("Q3: entry {} where {expected} was next", entry.seq));
                break;
            }
            let digest = sha256(&entry.encode());
            if *known.entries.entry(entry.seq).or_insert(digest) != digest {
                violations.push(format!("Q3: number {} was given twice", entry.seq));
            }
        }
        self.violations.extend(violations);
    }
}

/// A message of a member: its group and id, and the message.
type Letter = ((GroupId, MessageId), Mls);

fn is_letter(outgoing: &Outgoing) -> bool {
    [SendMessage::DESCRIPTION.id, SendTargeted::DESCRIPTION.id].contains(&outgoing.call.endpoint)
}

/// The message that a call sends, to all or to one.
fn letter(outgoing: &Outgoing) -> Option<Letter> {
    let (endpoint, body) = (outgoing.call.endpoint, outgoing.call.body.as_slice());
    if endpoint == SendMessage::DESCRIPTION.id {
        let SendMessageRequest { access, id, message, .. } = SendMessageRequest::decode(body).ok()?;
        return Some(((access.group, id), message));
    }
    if endpoint == SendTargeted::DESCRIPTION.id {
        let SendTargetedRequest { access, id, message, .. } = SendTargetedRequest::decode(body).ok()?;
        return Some(((access.group, id), message));
    }
    None
}

/// Accepted calls that are kept to be given again.
const REPLAYABLE: usize = 16;
