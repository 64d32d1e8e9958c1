//! Joining a group that a friend added us to (07, "Adds").

use std::sync::Arc;

use openmls::prelude::{LeafNodeIndex, MlsGroup, ProcessedWelcome};
use phoenix_core::{
    ConfigId, GroupId, KeyPackageRef, LeafIndex, QsClientId, Reject, Timestamp, UserId,
    api::{
        delivery::{
            UpdateQueueConfig, UpdateQueueConfigRequest, WelcomeBundle, WelcomeInfo, WelcomeInfoReply,
            WelcomeInfoRequest,
        },
        queue::{Entry, EntryKind},
    },
    credential::ClientCredential,
    crypto::{Signature, Signer, open_with_key, seal_with_key},
    port::{Circuit, TransportError},
    time::DAY,
    wire::{Flag, Opaque, Secret, Sender, Wiped, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{
    Given, GroupRecord, Health, Standing,
    accept::leaves,
    join_config,
    members::{Tell, roster_keys},
    trust::Effort,
};
use crate::{
    call::{Auth, Route},
    error::{ClientError, mls},
    event::Event,
    mls::{
        encoding::{encrypted_group_info_hash, mls_group_id, ratchet_tree, welcome},
        leaf::OwnLeaf,
    },
    session::Session,
    state::Retired,
};

/// Who invites, and the keys that members share; under the joiner's welcome attribution key, so that no server sees
/// who invites whom.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Attribution {
    payload: AttributionTbs,
    /// By the sender's client credential, label `Attribution`.
    signature: Signature,
}

/// The signed part of an [`Attribution`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct AttributionTbs {
    pub(crate) credential: ClientCredential,
    pub(crate) credential_key: Secret<32>,
    pub(crate) profile_key: Secret<32>,
    pub(crate) group: GroupId,
    /// SHA-256 of the Welcome's encrypted GroupInfo.
    pub(crate) group_info: [u8; 32],
    pub(crate) package: KeyPackageRef,
}

impl AttributionTbs {
    /// Signs the attribution and seals it for one joiner.
    pub(crate) fn seal<const N: usize>(
        self,
        signer: &dyn Signer,
        key: &Secret<32>,
        chance: &mut phoenix_core::crypto::Chance,
    ) -> Result<Opaque<N>, ClientError> {
        let signature = signer.sign(LABEL, &self.encode())?;
        let package = self.package;
        let attribution = Attribution { payload: self, signature };
        Ok(Opaque::new(seal_with_key(key, package.as_bytes(), &attribution.encode(), chance))?)
    }
}

/// What a joiner knows once it has opened everything.
struct Invitation {
    bundle: WelcomeBundle,
    attribution: AttributionTbs,
    by: UserId,
}

impl Session {
    /// Opens an entry that came through the config of one of our AddPackages, if it is a welcome: with the package.
    pub(crate) fn open_bundle(&self, entry: &Entry) -> Option<(KeyPackageRef, WelcomeBundle)> {
        let package = self.state.packages.get(&entry.config).filter(|_| entry.kind == EntryKind::FanOut)?;
        let bundle = WelcomeBundle::open(&package.init_key, &package.reference, &entry.content).ok()?;
        Some((package.reference, bundle))
    }

    /// Takes a welcome. One that cannot be followed is told as an event.
    ///
    /// # Errors
    /// Where a homeserver does not answer now, for a week: it is to be tried again.
    pub(crate) async fn take_welcome(
        &mut self,
        entry: &Entry,
        reference: KeyPackageRef,
        bundle: WelcomeBundle,
    ) -> Result<(), ClientError> {
        let group = bundle.access.group.clone();
        let known = self.state.groups.get(&group);
        if known.is_some_and(|it| it.standing == Standing::Member && it.health == Health::Sound) {
            return Ok(());
        }
        let now = self.now();
        if self.is_silent(&group, now) {
            return Err(ClientError::Unreachable(TransportError::Unreachable));
        }
        let joined = self.join(entry, reference, bundle).await;
        // The DS says when it was made, and no good one says that it was later than now.
        let is_fresh = now.as_secs().abs_diff(entry.accepted_at) <= INVITATION_S;
        if let Err(error) = &joined
            && error.is_transient()
            && is_fresh
        {
            self.invited.failed(group, now);
            return joined;
        }
        self.invited.succeeded(&group);
        if joined.is_err() {
            self.tell_once(Event::InvitationRefused);
        }
        Ok(())
    }

    /// Whether it is too early to ask about an invitation again: it was asked about lately, or its homeserver did not
    /// answer at all.
    fn is_silent(&self, group: &GroupId, now: Timestamp) -> bool {
        self.invited.is_resting(group, now) || self.mute.is_resting(&group.domain, now)
    }

    async fn join(
        &mut self,
        entry: &Entry,
        reference: KeyPackageRef,
        bundle: WelcomeBundle,
    ) -> Result<(), ClientError> {
        let at = Timestamp::from_secs(entry.accepted_at);
        let invitation = self.check_attribution(reference, bundle, at).await?;
        let group = invitation.bundle.access.group.clone();
        // Nobody takes us back to where we have been: an invitation that is played again is none (09).
        let reached = self.state.groups.get(&group).map(|record| record.reached);
        if reached.is_some_and(|reached| invitation.bundle.epoch.0 <= reached) {
            return Err(ClientError::Unexpected("an invitation to an epoch that has passed"));
        }
        let package = self.state.packages.get(&entry.config).ok_or(ClientError::State("no such package"))?;
        let (leaf, is_leaf_shared, queue) = (package.leaf.clone(), package.last_resort, package.queue);
        let circuit = self.fresh_circuit();
        let info = self.welcome_info(circuit, reference, &leaf, &invitation.bundle).await?;
        // We may have been a member before; what we know of that stays until we are one again.
        self.drop_mls(&group);
        let mls_group = self.open_welcome(&invitation, &info)?;
        let fresh = roster_keys(&info.roster, leaves(&mls_group));
        let AttributionTbs { credential_key, profile_key, .. } = invitation.attribution;
        let keys = (credential_key, profile_key);
        let record = GroupRecord {
            is_config_shared: Flag::Yes,
            is_leaf_shared,
            committed_at: self.now(),
            ..GroupRecord::new(circuit, invitation.bundle.access, keys, (leaf, entry.config, queue))
        };
        let own = LeafIndex(mls_group.own_leaf_index().u32());
        self.state.groups.insert(group.clone(), record);
        if !is_leaf_shared.is_set() {
            self.state.packages.remove(&entry.config);
        }
        self.state.configs.insert(entry.config, group.clone());
        self.keep(group.clone(), mls_group);
        self.draw_config(&group)?;
        if is_leaf_shared.is_set() {
            self.prepare_leaf(&group)?;
        }
        self.refresh_members(&group, &fresh, None)?;
        self.know_ourselves(&group, own)?;
        self.tell(Event::Joined { group: group.clone(), by: invitation.by });
        let now = self.now();
        self.meet_members(&group, now, Tell::Nobody).await?;
        // We have joined. Where it fails, be it for good, it is done before anything is sent.
        let _ = self.replace_config(&group, Effort::Passing).await;
        Ok(())
    }

    /// Who invites: a friend, by the key that we know, to just this group and by this package.
    async fn check_attribution(
        &mut self,
        reference: KeyPackageRef,
        bundle: WelcomeBundle,
        at: Timestamp,
    ) -> Result<Invitation, ClientError> {
        let opened = self.open_attribution(reference, &bundle)?;
        let Attribution { payload, signature } = Attribution::decode(&opened)?;
        let sender = self.verify_client(&payload.credential, at).await?;
        sender.key().verify(LABEL, &payload.encode(), &signature)?;
        let is_friend = self.is_known_key(sender.client(), sender.key());
        let fits = payload.group == bundle.access.group
            && payload.package == reference
            && payload.group_info == encrypted_group_info_hash(&bundle.welcome)?;
        if !is_friend || !fits {
            return Err(Reject::Unauthenticated.into());
        }
        Ok(Invitation { bundle, attribution: payload, by: sender.user().clone() })
    }

    /// Opens the attribution with our key, or the one before it.
    fn open_attribution(
        &self,
        reference: KeyPackageRef,
        bundle: &WelcomeBundle,
    ) -> Result<Wiped, ClientError> {
        let keys = [Some(&self.record()?.friendship.attribution_key), self.state.former_attribution.as_ref()];
        let mut opened = keys
            .into_iter()
            .flatten()
            .filter_map(|key| open_with_key(key, reference.as_bytes(), &bundle.attribution).ok());
        Ok(opened.next().ok_or(Reject::Unauthenticated)?)
    }

    async fn welcome_info(
        &mut self,
        circuit: u64,
        reference: KeyPackageRef,
        leaf: &OwnLeaf,
        bundle: &WelcomeBundle,
    ) -> Result<WelcomeInfoReply, ClientError> {
        let group = bundle.access.group.clone();
        let route = Route { domain: group.domain.clone(), circuit: Circuit(circuit) };
        let auth = Auth::new(Sender::KeyPackage(group, reference), Arc::new(leaf.key.clone()));
        let request =
            WelcomeInfoRequest { access: bundle.access.clone(), epoch: bundle.epoch, package: reference };
        // Once: whoever invites us, and to wherever, must not keep us busy.
        let asked = self.call_with::<WelcomeInfo>((&route, Effort::Passing), Some(&auth), &request).await;
        match &asked {
            Err(ClientError::Unreachable(_)) => self.mute.failed(route.domain, self.now()),
            Ok(_) | Err(_) => self.mute.succeeded(&route.domain),
        }
        asked
    }

    /// Joins, after checking that the Welcome is for the group that the bundle names, at the leaf that it names.
    fn open_welcome(
        &mut self,
        invitation: &Invitation,
        info: &WelcomeInfoReply,
    ) -> Result<MlsGroup, ClientError> {
        let bundle = &invitation.bundle;
        let processed =
            ProcessedWelcome::new_from_welcome(&self.provider, &join_config(), welcome(&bundle.welcome)?);
        let staged = processed
            .map_err(mls("open a Welcome"))?
            .into_staged_welcome(&self.provider, Some(ratchet_tree(&info.tree)?))
            .map_err(mls("open a Welcome"))?;
        let context = staged.group_context();
        let fits = *context.group_id() == mls_group_id(&bundle.access.group)
            && context.epoch().as_u64() == bundle.epoch.0
            && staged.own_leaf_index() == LeafNodeIndex::new(bundle.leaf.0);
        if !fits {
            return Err(ClientError::Unexpected("a Welcome to another group"));
        }
        self.forget(&bundle.access.group);
        staged.into_group(&self.provider).map_err(mls("join a group"))
    }

    /// Gives the DS a queue config that is good for it alone, in place of the one that came with our AddPackage. Not
    /// while a state that was saved may know nothing of the queue that it leads to.
    pub(crate) async fn replace_config(
        &mut self,
        group: &GroupId,
        effort: Effort,
    ) -> Result<(), ClientError> {
        if !self.group(group)?.is_config_shared.is_set() || !self.is_record_safe() {
            return Ok(());
        }
        // Known before it is used: messages may come through it before the answer does.
        let id = self.draw_config(group)?;
        let config = self.make_group_config(id, &group.domain).await?;
        let given = self.next_given(group)?;
        let record = self.group_mut(group)?;
        let ends = Flag::from(record.queue != given.queue);
        let is_news = !record.given.iter().any(|it| it.config == id);
        record.given.retain(|it| it.config != id);
        record.given.push(given);
        let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
        let request = UpdateQueueConfigRequest { access: self.group(group)?.access.clone(), config, ends };
        let called = self.call_with::<UpdateQueueConfig>((&route, effort), Some(&auth), &request).await;
        if let Err(error) = called {
            if is_news && !self.uncertain && !error.is_transient() {
                self.group_mut(group)?.given.pop();
            }
            return Err(error);
        }
        for given in std::mem::take(&mut self.group_mut(group)?.given) {
            self.take_config(group, given)?;
        }
        Ok(())
    }

    /// The DS has replaced the config that led to a queue that we leave. By which one is not said, where it was given
    /// several and answered none: by the first of them at least, and that is replaced once more.
    pub(crate) fn config_ended(&mut self, group: &GroupId, queue: &QsClientId) -> Result<(), ClientError> {
        // A state from before the DS was given the next one may go on.
        let next = self.next_given(group)?;
        let given = &mut self.group_mut(group)?.given;
        given.retain(|it| it.queue != *queue);
        let first = if given.is_empty() { next } else { given.remove(0) };
        self.take_config(group, first)
    }

    /// The config that the DS is given next.
    fn next_given(&mut self, group: &GroupId) -> Result<Given, ClientError> {
        let config = self.draw_config(group)?;
        let record = self.record()?;
        Ok(Given { config, queue: record.client, generation: record.generation })
    }

    /// The DS has a config that it was given, or had it for a while.
    fn take_config(&mut self, group: &GroupId, given: Given) -> Result<(), ClientError> {
        let (now, due) = (self.now(), self.config_due());
        let record = self.group_mut(group)?;
        let former = std::mem::replace(&mut record.config, given.config);
        let former_queue = std::mem::replace(&mut record.queue, given.queue);
        record.config_generation = given.generation;
        record.next_config = record.next_config.filter(|next| *next != given.config);
        record.is_config_shared = record.next_config.is_some().into();
        record.config_until = due;
        let expires = record.leaf.credential.validity.last;
        // A last-resort package may be taken again.
        if !self.state.packages.contains_key(&former) {
            self.state.retired.insert(former, Retired { queue: former_queue, at: now, expires });
        }
        self.await_end(group, former_queue);
        self.draw_config(group)?;
        Ok(())
    }

    /// The id of the queue config that the DS gets next. It is drawn before it is needed: who goes on from a state of
    /// before hears the group through it all the same.
    pub(crate) fn draw_config(&mut self, group: &GroupId) -> Result<ConfigId, ClientError> {
        let drawn = ConfigId(self.chance.bytes());
        let next = *self.group_mut(group)?.next_config.get_or_insert(drawn);
        self.state.configs.insert(next, group.clone());
        Ok(next)
    }

    /// Which queue config ids lead to a group.
    pub(crate) fn group_of_config(&self, config: &ConfigId) -> Option<GroupId> {
        self.state.configs.get(config).cloned()
    }
}

/// How long an invitation waits for the homeserver of its group, in seconds.
const INVITATION_S: u64 = 7 * DAY;
/// Begins what is signed.
const LABEL: &str = "Attribution";
