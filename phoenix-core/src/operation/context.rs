//! What an operation decides with, beside its rows.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Advertised, Delays, Fault, Fingerprint, Fqdn, Generation, KeyId, Origin, Timestamp,
    api::{ServiceName, delivery::DsPublicKeys, queue::QsPublicKeys},
    credential::AsKeys,
    crypto::{AtRestKey, Chance, derive},
    federation::{Federation, FederationPolicy},
    limit::Limits,
    port::Space,
    published::PublishedKeys,
    token::TokenKeys,
    wire::Secret,
};

/// One of the three services, as a type: what its operations share.
pub trait Service: Send + Sync + Sized + 'static {
    /// Which it is.
    const NAME: ServiceName;
    /// Where its state lies.
    const SPACE: Space;
    /// Its secret keys.
    type Keys: Send + Sync + 'static;
    /// What its operator may change.
    type Settings: Send + Sync + 'static;

    /// What the alarm of a partition of this kind does.
    fn on_alarm(kind: u8) -> OnAlarm;
}

/// What happens to a partition when its alarm rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAlarm {
    /// It is dropped, unread.
    Drop,
    /// The service's `tick` runs on it.
    Tick,
}

/// The keys of a service. One immutable value: a call takes it once and keeps it through all attempts.
pub struct KeyRing<S: Service> {
    /// Redeem tokens of all classes.
    pub tokens: Arc<TokenKeys>,
    /// Seals what the service stores.
    pub at_rest: AtRestKey,
    /// How often the store was brought back from an older copy.
    pub generation: Generation,
    /// The service's own.
    pub service: S::Keys,
}

/// What belongs to one attempt at a call. Each attempt has its own time and seed, so that no nonce of a batch
/// that may lie on a disk is used again.
pub struct Context<S: Service> {
    /// The time of this attempt.
    pub now: Timestamp,
    /// When the call came in.
    pub started: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// The keys in force when it came in.
    pub keys: Arc<KeyRing<S>>,
    /// The settings in force.
    pub settings: Arc<S::Settings>,
    /// The homeserver's domain.
    pub domain: Fqdn,
    /// The limits in force, of which some are told to others.
    pub limits: Arc<Limits>,
    /// With which homeservers this one deals, and how.
    pub federation: Arc<Federation>,
    /// Towards which homeservers delivery is delayed, as far as this process knows.
    pub delays: Arc<Delays>,
    /// What other homeservers say that they take, as far as this process knows.
    pub advertised: Arc<Advertised>,
    pub(crate) seed: Secret<32>,
}

impl<S: Service> Context<S> {
    /// The randomness of this attempt for one purpose. Another label, another stream; the same label again
    /// gives the same stream, since the functions of an operation are pure.
    #[must_use]
    pub fn chance(&self, label: &str) -> Chance {
        Chance::from_seed(*derive(self.seed.expose(), label, b"").expose())
    }

    /// A context for tests of single operations.
    #[must_use]
    pub fn for_tests(
        now: Timestamp,
        domain: Fqdn,
        keys: Arc<KeyRing<S>>,
        settings: S::Settings,
        seed: [u8; 32],
    ) -> Self {
        let origin = Origin::default();
        let federation = Arc::new(Federation::new(domain.clone(), FederationPolicy::default()));
        Self {
            now,
            started: now,
            origin,
            keys,
            settings: Arc::new(settings),
            domain,
            limits: Arc::default(),
            federation,
            delays: Arc::default(),
            advertised: Arc::default(),
            seed: Secret::new(seed),
        }
    }
}

/// A peer's published keys that are needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Need {
    /// Whose.
    pub domain: Fqdn,
    /// Of which service.
    pub service: ServiceName,
    /// The key that must be among them; where it is not, they are fetched anew, once.
    pub key: Option<KeyId>,
}

impl Need {
    /// The keys of a service, whichever they are.
    #[must_use]
    pub const fn keys(domain: Fqdn, service: ServiceName) -> Self {
        Self { domain, service, key: None }
    }

    /// The keys of a service, this one among them.
    #[must_use]
    pub const fn key(domain: Fqdn, service: ServiceName, key: KeyId) -> Self {
        Self { domain, service, key: Some(key) }
    }

    /// The credentials of an AS, the intermediate that signed a client's among them.
    #[must_use]
    pub fn signer(domain: Fqdn, signer: &Fingerprint) -> Self {
        // A credential's name is the start of its fingerprint: both are its SHA-256.
        let name = signer.0.first_chunk().copied().unwrap_or_default();
        Self::key(domain, ServiceName::As, KeyId(name))
    }
}

/// The published keys of peers that were asked for.
#[derive(Clone, Default)]
pub struct Peers {
    found: BTreeMap<(Fqdn, ServiceName), Arc<PublishedKeys>>,
}

impl Peers {
    /// The verified keys of a domain's AS.
    ///
    /// # Errors
    /// [`Fault::Broken`] where they were not asked for.
    pub fn auth(&self, domain: &Fqdn) -> Result<&AsKeys, Fault> {
        match self.of(domain, ServiceName::As)? {
            PublishedKeys::As(keys, _) => Ok(keys),
            PublishedKeys::Qs(_) | PublishedKeys::Ds(_) => Err(MISFILED),
        }
    }

    /// The keys of a domain's QS.
    ///
    /// # Errors
    /// [`Fault::Broken`] where they were not asked for.
    pub fn queue(&self, domain: &Fqdn) -> Result<&QsPublicKeys, Fault> {
        match self.of(domain, ServiceName::Qs)? {
            PublishedKeys::Qs(keys) => Ok(keys),
            PublishedKeys::As(..) | PublishedKeys::Ds(_) => Err(MISFILED),
        }
    }

    /// The keys of a domain's DS.
    ///
    /// # Errors
    /// [`Fault::Broken`] where they were not asked for.
    pub fn delivery(&self, domain: &Fqdn) -> Result<&DsPublicKeys, Fault> {
        match self.of(domain, ServiceName::Ds)? {
            PublishedKeys::Ds(keys) => Ok(keys),
            PublishedKeys::As(..) | PublishedKeys::Qs(_) => Err(MISFILED),
        }
    }

    /// Whether the need is met.
    #[must_use]
    pub fn has(&self, need: &Need) -> bool {
        let found = self.found.get(&(need.domain.clone(), need.service));
        found.is_some_and(|keys| need.key.is_none_or(|key| keys.has(&key)))
    }

    /// These, and one more.
    #[must_use]
    pub fn with(mut self, need: &Need, keys: Arc<PublishedKeys>) -> Self {
        self.found.insert((need.domain.clone(), need.service), keys);
        self
    }

    fn of(&self, domain: &Fqdn, service: ServiceName) -> Result<&PublishedKeys, Fault> {
        let found = self.found.get(&(domain.clone(), service));
        found.map(AsRef::as_ref).ok_or(Fault::Broken("a peer that was not asked for"))
    }
}

const MISFILED: Fault = Fault::Broken("keys of another service");
