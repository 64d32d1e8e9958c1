//! What a client works with, behind its lock.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use openmls::prelude::MlsGroup;
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    ClientId, Epoch, Fqdn, GroupId, QsClientId, Timestamp,
    api::{EndpointId, queue::SealingKey},
    crypto::{Chance, Signer},
    port::Circuit,
    token::Class,
    wire::Sender,
};

use crate::{
    authority::Known,
    call::{Auth, Route},
    error::{ClientError, mls},
    event::Event,
    group::GroupRecord,
    mls::{encoding::mls_group_id, provider::Provider},
    ports::ClientPorts,
    rest::Rests,
    settings::Habits,
    state::{Record, State},
    sync::Which,
};

/// One client's state, and the ports that it acts through.
pub(crate) struct Session {
    pub(crate) ports: ClientPorts,
    pub(crate) habits: Habits,
    pub(crate) chance: Chance,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) state: State,
    /// Whether a try of the last call had no answer: it may have been carried out.
    pub(crate) uncertain: bool,
    pub(crate) provider: Provider,
    /// The epochs in which we last tried to remove unverified members.
    pub(crate) expelled: HashMap<GroupId, Epoch>,
    /// The epochs in which we last committed what others propose.
    pub(crate) covered: HashMap<GroupId, Epoch>,
    /// The epochs in which we last proposed that we leave.
    pub(crate) left_at: HashMap<GroupId, Epoch>,
    /// Groups whose state was asked for lately.
    pub(crate) mending: Rests<GroupId>,
    /// Groups to which a commit was sent once more lately.
    pub(crate) repeating: Rests<GroupId>,
    /// How often in a row our queue's entries did not open.
    pub(crate) lost_reads: u8,
    /// Whether the QS does not know the key that we read our queue with, where it may know the next one.
    pub(crate) is_shut_out: bool,
    /// Purses that were loaded and none of whose tokens was good yet: a state that was not saved may have spent some.
    pub(crate) unsure_purses: BTreeSet<(Fqdn, Class)>,
    /// The queue that a state knows that was written last, be it safe or not; and one that a safe state knows.
    pub(crate) exported_queue: Option<QsClientId>,
    pub(crate) saved_queue: Option<QsClientId>,
    /// Leaving queues, where it failed.
    pub(crate) leaving: Rests<()>,
    /// Whether it is known which queue configs our QS still takes: a state from before they were replaced may go on.
    pub(crate) is_generation_known: bool,
    /// When our queue began again, or was tried with another key.
    pub(crate) mending_queue: Rests<()>,
    /// Groups as OpenMLS holds them; loaded from its storage when they are first needed.
    loaded: HashMap<GroupId, MlsGroup>,
    pub(crate) authorities: HashMap<Fqdn, Known>,
    /// Domains whose AS does not answer.
    pub(crate) silent: Rests<Fqdn>,
    /// Domains whose DS did not answer when we were invited.
    pub(crate) mute: Rests<Fqdn>,
    /// Groups that we were invited to, and could not join yet.
    pub(crate) invited: Rests<GroupId>,
    /// Queues that cannot be read.
    pub(crate) stuck: Rests<Which>,
    /// Whether the application was told that we are revoked ourselves.
    pub(crate) told_end: bool,
    /// What endpoints cost where an operator has changed it, as far as we were told.
    pub(crate) prices: HashMap<(Fqdn, EndpointId), Option<Class>>,
    /// The key that queue configs are sealed to, and when it was fetched.
    pub(crate) config_key: Option<(SealingKey, Timestamp)>,
}

impl Session {
    /// Goes on from a state.
    pub(crate) fn new(ports: ClientPorts, habits: Habits, signer: Arc<dyn Signer>, mut state: State) -> Self {
        let chance = Chance::from_seed(ports.seed());
        // The state has it only while it is written or read.
        let provider = Provider::new(ports.entropy.clone(), &std::mem::take(&mut state.mls));
        Self {
            ports,
            habits,
            chance,
            signer,
            state,
            uncertain: false,
            provider,
            expelled: HashMap::new(),
            covered: HashMap::new(),
            left_at: HashMap::new(),
            mending: Rests::new(LONGEST_MENDING_MS),
            repeating: Rests::new(LONGEST_MENDING_MS),
            lost_reads: 0,
            is_shut_out: false,
            unsure_purses: BTreeSet::new(),
            exported_queue: None,
            saved_queue: None,
            leaving: Rests::new(LONGEST_MENDING_MS),
            is_generation_known: false,
            mending_queue: Rests::new(LONGEST_MENDING_MS),
            loaded: HashMap::new(),
            authorities: HashMap::new(),
            silent: Rests::new(LONGEST_SILENCE_MS),
            mute: Rests::new(LONGEST_SILENCE_MS),
            invited: Rests::new(LONGEST_INVITED_MS),
            stuck: Rests::new(LONGEST_STUCK_MS),
            told_end: false,
            prices: HashMap::new(),
            config_key: None,
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// This client.
    pub(crate) const fn client(&self) -> &ClientId {
        &self.state.account.client
    }

    /// This client's homeserver.
    pub(crate) const fn domain(&self) -> &Fqdn {
        &self.state.account.client.user.domain
    }

    /// Towards an AS, under our identity.
    pub(crate) fn identity_route(&self, domain: &Fqdn) -> Route {
        Route { domain: domain.clone(), circuit: Circuit(self.state.account.circuit) }
    }

    /// Towards our QS, under our pseudonym.
    pub(crate) fn queue_route(&self) -> Result<Route, ClientError> {
        let record = self.record()?;
        Ok(Route { domain: record.domain().clone(), circuit: Circuit(record.circuit) })
    }

    /// A way that was never gone before: for calls that must not be joined with others.
    pub(crate) fn fresh_route(&mut self, domain: &Fqdn) -> Route {
        Route { domain: domain.clone(), circuit: Circuit(self.fresh_circuit()) }
    }

    /// A random circuit.
    pub(crate) fn fresh_circuit(&mut self) -> u64 {
        u64::from_be_bytes(self.chance.bytes())
    }

    /// Signs as the client of the credential.
    pub(crate) fn identity(&self) -> Auth {
        let credential = Box::new(self.state.account.credential.clone());
        Auth::new(Sender::ClientCredential(credential), self.signer.clone())
    }

    /// Signs as the client record at the QS.
    pub(crate) fn queue_identity(&self) -> Result<Auth, ClientError> {
        let record = self.record()?;
        Ok(Auth::new(Sender::QsClient(record.client), Arc::new(record.client_key.clone())))
    }

    /// The record at the QS.
    pub(crate) const fn record(&self) -> Result<&Record, ClientError> {
        match &self.state.record {
            Some(record) => Ok(record),
            None => Err(ClientError::State("the client has no queue yet")),
        }
    }

    /// The record of a group.
    pub(crate) fn group(&self, group: &GroupId) -> Result<&GroupRecord, ClientError> {
        self.state.groups.get(group).ok_or(NO_GROUP)
    }

    /// The record of a group, to change.
    pub(crate) fn group_mut(&mut self, group: &GroupId) -> Result<&mut GroupRecord, ClientError> {
        self.state.groups.get_mut(group).ok_or(NO_GROUP)
    }

    /// The group as OpenMLS holds it, with the provider that it works with.
    pub(crate) fn mls(&mut self, group: &GroupId) -> Result<(&mut MlsGroup, &Provider), ClientError> {
        if !self.loaded.contains_key(group) {
            let stored =
                MlsGroup::load(self.provider.storage(), &mls_group_id(group)).map_err(mls("load"))?;
            self.loaded.insert(group.clone(), stored.ok_or(NO_GROUP)?);
        }
        let loaded = self.loaded.get_mut(group).ok_or(NO_GROUP)?;
        Ok((loaded, &self.provider))
    }

    /// Keeps a group that was just made or joined.
    pub(crate) fn keep(&mut self, group: GroupId, mls: MlsGroup) {
        self.loaded.insert(group, mls);
    }

    /// Forgets a group and all of its keys.
    pub(crate) fn forget(&mut self, group: &GroupId) {
        self.drop_mls(group);
        self.state.groups.remove(group);
        self.state.configs.retain(|_, used| used != group);
    }

    /// Forgets a group as OpenMLS holds it.
    pub(crate) fn drop_mls(&mut self, group: &GroupId) {
        let _ = self.mls(group);
        if let Some(mut mls) = self.loaded.remove(group) {
            // What cannot be deleted now is of no use without the record.
            let _ = mls.delete(self.provider.storage());
        }
    }

    /// Tells the application something.
    pub(crate) fn tell(&mut self, event: Event) {
        self.state.outbox.put(event);
    }

    /// As [`Session::tell`], but not twice in a row.
    pub(crate) fn tell_once(&mut self, event: Event) {
        if self.state.outbox.last() != Some(&event) {
            self.tell(event);
        }
    }

    /// Waits; the embedder's clock says how long that is.
    pub(crate) async fn pause(&self, millis: u64) {
        let until = self.now().plus_millis(millis);
        self.ports.clock.sleep_until(until).await;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

/// Longest rest of an AS or a DS that does not answer, where others make us ask it: five minutes.
const LONGEST_SILENCE_MS: u64 = 300_000;
/// Longest rest between two times that a group's state is asked for, or a commit is sent once more: an hour.
const LONGEST_MENDING_MS: u64 = 3_600_000;
/// Longest rest of an invitation: longer than that of its homeserver, so that others to there get their turn.
const LONGEST_INVITED_MS: u64 = 3_600_000;
/// Longest rest of a queue that cannot be read.
const LONGEST_STUCK_MS: u64 = 60_000;

const NO_GROUP: ClientError = ClientError::State("no such group");
