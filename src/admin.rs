//! What an operator may do with a running homeserver.

use std::sync::Arc;

use phoenix_as::{AuthorityError, Invite, RegistrationSwitch};
use phoenix_core::{
    Failure, Fault, Fqdn, Generation,
    api::auth::Invitation,
    federation::{DomainPattern, FederationPolicy, Mode, PolicyError, Standing},
    operation::Fare,
    port::{AbuseReport, VaultError},
    wire::Flag,
};

use crate::{Era, GreetError, Homeserver, PeerSurvey, era, homeserver::Inner, mailbox, survey};

/// A handle on a running homeserver, for its operator.
#[derive(Clone)]
pub struct Admin {
    pub(crate) inner: Arc<Inner>,
}

/// Why an operator's command was not carried out. Nothing was changed, but perhaps where something broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Too much is under way; it can be given again.
    #[error("the homeserver is too busy")]
    Busy,
    /// What signs for the domain may not be changed so.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The federation policy may not be changed so.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The vault did not do its work.
    #[error("the vault does not keep the key of the store's secrets: {0}")]
    Vault(#[from] VaultError),
    /// So many keys are kept already that no further one has room: the oldest must end first.
    #[error("there are too many keys already: the oldest must end first")]
    TooManyKeys,
    /// Something broke; where that is the store, it may have been carried out.
    #[error(transparent)]
    Broken(#[from] Fault),
}

/// A service whose keys an operator may have rotated before their time. Those of the AS rotate weekly by themselves, but
/// for what its root signs: see [`Admin::change_authority`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotatedService {
    /// The queuing service: what it signs with, and what queue configs and deliveries are sealed to.
    Queue,
    /// The delivery service: what it signs with.
    Delivery,
}

impl From<Failure> for AdminError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(_) => Self::Busy,
            Failure::Broken(fault) => Self::Broken(fault),
        }
    }
}

impl Admin {
    pub(crate) const fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Tells another homeserver that this one is there again, so that it sends at once what it holds for this
    /// one, rather than at its next try. True where it answered.
    pub async fn greet(&self, domain: &Fqdn) -> bool {
        mailbox::greet(&self.inner, domain).await
    }

    /// The same, and why it came to nothing: for who looks into it.
    ///
    /// # Errors
    /// See [`GreetError`].
    pub async fn greeting(&self, domain: &Fqdn) -> Result<(), GreetError> {
        mailbox::greeting(&self.inner, domain).await
    }

    /// Reports of abuse that came since the last time, in order; empty where the builder was given somebody else who
    /// takes them. Each of them may be made up: whoever is a member of a group can send one about another.
    #[must_use]
    pub fn reports(&self) -> Vec<AbuseReport> {
        self.inner.report_box.fetch()
    }

    /// Closes registration, on all replicas: once this returned, no user comes to be, whatever the policy says and
    /// also where a registration was begun before. It stays closed over restarts, until it is opened again.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn close_registration(&self) -> Result<(), AdminError> {
        self.switch(Some(Flag::Yes)).await.map(drop)
    }

    /// Opens registration again, for whom the policy lets in.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn open_registration(&self) -> Result<(), AdminError> {
        self.switch(Some(Flag::No)).await.map(drop)
    }

    /// Whether registration was closed by [`Admin::close_registration`].
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn registration_is_closed(&self) -> Result<bool, AdminError> {
        self.switch(None).await.map(Flag::is_set)
    }

    /// Makes an invitation that lets one user register within so many seconds; one of more than a day lasts to the
    /// end of its last day (UTC). It is of use where the policy demands invitations.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn invite(&self, valid_s: u64) -> Result<Invitation, AdminError> {
        Ok(self.inner.auth.internal::<Invite>(valid_s, Fare::Free).await?)
    }

    /// Makes further keys of a service, which others learn of at once and which are used when they have: those of the
    /// queuing service after two minutes, those of the delivery service after two hours. The keys before stay published
    /// until their end, a year after they were made, and open what was sealed to them for as long as ever. Replicas, and
    /// a server that runs on the same store in another process, take them over within a minute.
    ///
    /// # Errors
    /// [`AdminError::TooManyKeys`] where this was done too often in the last year; else see [`AdminError`].
    pub async fn rotate_keys(&self, service: RotatedService) -> Result<(), AdminError> {
        self.inner.keys.renew(service, &self.inner.root).await?;
        self.take_over().await;
        Ok(())
    }

    /// Puts a fresh key in place of all that sign DPoP tokens (05), for where somebody else may have one. It signs at once.
    /// Tokens that were signed before are refused here from now on, and by a server that runs on the same store in another
    /// process within a minute. Other homeservers refuse them once they see a token of the new key, and at the latest when
    /// they ask for the keys again, an hour after they did so last. Where this homeserver is kept from answering them, that
    /// takes ten minutes more. Clients get other tokens when they ask for them.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn retire_dpop_keys(&self) -> Result<(), AdminError> {
        self.inner.keys.retire_dpop(&self.inner.root).await?;
        self.take_over().await;
        Ok(())
    }

    /// With whom this homeserver deals, as this process knows: what another replica changed is in force here within a
    /// minute.
    #[must_use]
    pub fn federation_policy(&self) -> FederationPolicy {
        self.inner.shared.federation().policy().clone()
    }

    /// Sets how this homeserver stands to those that a pattern names, in place of what was set for the same pattern
    /// (08, "Policy"). It is in force in this process once this returned, in other replicas within a minute, and stays
    /// over restarts. Blocking proposes the removal of members with queues there with each group's next commit.
    ///
    /// # Errors
    /// [`AdminError::Policy`] for one rule too many, or one for this homeserver itself; else see [`AdminError`].
    pub async fn set_rule(&self, pattern: DomainPattern, standing: Standing) -> Result<(), AdminError> {
        if pattern == DomainPattern::Only(self.inner.shared.domain().clone()) {
            return Err(PolicyError::Own.into());
        }
        self.change_policy(|policy| policy.with(pattern.clone(), standing)).await
    }

    /// Takes a rule back, if there is one. What it held back is sent at once, unless another rule holds it back.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn remove_rule(&self, pattern: &DomainPattern) -> Result<(), AdminError> {
        self.change_policy(|policy| Ok(policy.without(pattern))).await
    }

    /// Sets how this homeserver stands to those that no rule names.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn set_mode(&self, mode: Mode) -> Result<(), AdminError> {
        self.change_policy(|policy| Ok(policy.in_mode(mode))).await
    }

    /// What waits for other homeservers, and how sending it goes: of those behind `after`, in order, some at a time; none
    /// where there are no more. One for which nothing waits is there if this process has set something aside for it,
    /// or given something up.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn survey(&self, after: Option<&Fqdn>) -> Result<Vec<PeerSurvey>, AdminError> {
        survey::page(&self.inner, after).await
    }

    /// The same of one homeserver, whether or not anything waits for it.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn survey_of(&self, domain: &Fqdn) -> Result<PeerSurvey, AdminError> {
        survey::of(&self.inner, domain).await
    }

    /// Counts the store on, and gives the era that it has come to. Whoever keeps the latest outside the store, and gives
    /// it to [`Builder::seen`](crate::Builder::seen) at the next start, finds out by that where the store is an older
    /// copy: any that was made before the count.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn count(&self) -> Result<Era, AdminError> {
        let age = era::count(self.inner.shared.ports()).await?;
        Ok(Era { generation: self.inner.queue.ring().generation.0, age })
    }

    /// Declares that the store is an older copy that was brought back: one that has forgotten which tokens were spent and
    /// which numbers were handed out (09). All token keys are retired; each queue begins again when it is used next, and
    /// leaves out 2^32 numbers; AddPackages but last-resort ones are deleted; serials jump. Clients find back by
    /// themselves. What was deleted since the copy is there again, and must be deleted again.
    ///
    /// `seen` is the latest era that the store was seen in, where somebody kept it: with it, a copy may be brought back
    /// twice. No other process may use the store meanwhile.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn restored(&self, seen: Era) -> Result<Era, AdminError> {
        self.inner.keys.restored(Generation(seen.generation), &self.inner.root).await?;
        Homeserver { inner: self.inner.clone() }.refresh_keys().await?;
        self.count().await
    }

    async fn take_over(&self) {
        if let Err(error) = (Homeserver { inner: self.inner.clone() }).refresh_keys().await {
            // It is done all the same.
            tracing::error!(%error, "the keys were changed, but this server could not take them over yet");
        }
    }

    async fn change_policy(
        &self,
        change: impl Fn(FederationPolicy) -> Result<FederationPolicy, PolicyError>,
    ) -> Result<(), AdminError> {
        self.inner.federating.change(&self.inner.shared, change).await
    }

    async fn switch(&self, closed: Option<Flag>) -> Result<Flag, AdminError> {
        Ok(self.inner.auth.internal::<RegistrationSwitch>(closed, Fare::Free).await?)
    }
}
