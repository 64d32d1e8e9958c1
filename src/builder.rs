//! How a homeserver comes to be.

use std::sync::Arc;

use phoenix_as::{AuthSettings, Root};
use phoenix_core::{
    Fault, Fqdn,
    costs::{CostError, Costs},
    crypto::Suite,
    engine::{KeyGrace, Rules},
    limit::Limits,
    port::{
        Clock, Compute, Entropy, LocalWake, NoPush, OpenPolicy, Policy, Ports, Push, Reports, Store,
        StoreError, Transport, Vault, VaultError, Wake,
    },
};
use phoenix_ds::DeliverySettings;
use phoenix_qs::QueueSettings;

use crate::{
    Era, Homeserver, OperatorKey, OsEntropy, SystemClock, Threads,
    keys::{First, KeyStore},
    seal::{Seal, SealedBy},
};

/// Gathers what a homeserver needs. A store and a transport must be given; all else has a default.
pub struct Builder {
    first: First,
    store: Option<Arc<dyn Store>>,
    transport: Option<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    wake: Arc<dyn Wake>,
    push: Arc<dyn Push>,
    compute: Option<Arc<dyn Compute>>,
    policy: Arc<dyn Policy>,
    seal: Seal,
    settings: Settings,
}

/// What the operator may change of each service, and of what they share.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) auth: AuthSettings,
    pub(crate) queue: QueueSettings,
    pub(crate) delivery: DeliverySettings,
    pub(crate) rules: Rules,
    /// Who takes reports of abuse; none where they are kept for the operator to fetch.
    pub(crate) reports: Option<Arc<dyn Reports>>,
    /// The latest era that the store was seen in.
    pub(crate) seen: Option<Era>,
}

/// Why a homeserver could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A port has no default and was not given.
    #[error("a homeserver needs a {0}")]
    Missing(&'static str),
    /// The store did not do its work.
    #[error("the store could not be used: {0}")]
    Store(#[from] StoreError),
    /// The store's secrets are sealed under another operator key.
    #[error("the operator key is not the one that this store's secrets are sealed under")]
    WrongKey,
    /// The store's secrets are sealed in another way than what was given opens.
    #[error("this store's secrets {0}")]
    SealedOtherwise(SealedBy),
    /// The vault did not do its work.
    #[error("the vault does not keep the key of the store's secrets: {0}")]
    Vault(#[from] VaultError),
    /// The store holds the homeserver of another domain, or the root is another domain's.
    #[error("the store or the root belongs to another domain")]
    OtherDomain,
    /// The store holds no homeserver, and none is to be made.
    #[error("the store holds no homeserver")]
    Empty,
    /// Something else in the store is not as it must be.
    #[error("the store's secrets are damaged: {0}")]
    Damaged(#[from] Fault),
    /// A cost that cannot be.
    #[error("a cost cannot be changed so: {0}")]
    Cost(#[from] CostError),
    /// The operating system starts no threads.
    #[error("no threads for computations: {0}")]
    Threads(#[from] std::io::Error),
}

impl Builder {
    pub(crate) fn new(domain: Option<Fqdn>) -> Self {
        Self {
            first: First { domain, root: None, suite: Suite::Ed25519 },
            store: None,
            transport: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            wake: Arc::new(LocalWake::default()),
            push: Arc::new(NoPush),
            compute: None,
            policy: Arc::new(OpenPolicy),
            seal: Seal::Open,
            settings: Settings::default(),
        }
    }

    /// Where everything is kept.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// How other homeservers are reached.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// What tells the time; the system's clock by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What gives randomness; the operating system by default.
    #[must_use]
    pub fn entropy(mut self, entropy: impl Entropy) -> Self {
        self.entropy = Arc::new(entropy);
        self
    }

    /// What wakes long polls; within this process by default. Replicas on one store need one between them.
    #[must_use]
    pub fn wake(mut self, wake: impl Wake) -> Self {
        self.wake = Arc::new(wake);
        self
    }

    /// What wakes clients that are not connected; nothing by default, so that they learn of messages when they look.
    #[must_use]
    pub fn push(mut self, push: impl Push) -> Self {
        self.push = Arc::new(push);
        self
    }

    /// Where heavy computations run; on threads of their own by default.
    #[must_use]
    pub fn compute(mut self, compute: impl Compute) -> Self {
        self.compute = Some(Arc::new(compute));
        self
    }

    /// Who may do what, beyond the protocol's own rules; everyone by default.
    #[must_use]
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// The key under which the homeserver's secrets are sealed. Without one, and without a vault, they lie open in
    /// the store.
    #[must_use]
    pub fn operator_key(mut self, key: OperatorKey) -> Self {
        self.seal = Seal::Key(key);
        self
    }

    /// What keeps the key under which the homeserver's secrets are sealed, in place of an operator key.
    #[must_use]
    pub fn vault(mut self, vault: impl Vault) -> Self {
        self.seal = Seal::Vault(Arc::new(vault));
        self
    }

    /// The root that vouches for the domain's first intermediate (03). Without one a root is made and its key wiped,
    /// so that a new root is needed within a year. Not asked where the store holds a homeserver already.
    #[must_use]
    pub fn root(mut self, root: Root) -> Self {
        self.first.root = Some(root);
        self
    }

    /// The ciphersuite of what is made at the first start: the intermediate, and the root where none is given.
    /// [`Suite::Ed25519`] by default. Clients may use either under both (03).
    #[must_use]
    pub const fn authority_suite(mut self, suite: Suite) -> Self {
        self.first.suite = suite;
        self
    }

    /// Settings of the authentication service.
    #[must_use]
    pub fn auth_settings(mut self, settings: AuthSettings) -> Self {
        self.settings.auth = settings;
        self
    }

    /// Settings of the queuing service.
    #[must_use]
    pub fn queue_settings(mut self, settings: QueueSettings) -> Self {
        self.settings.queue = settings;
        self
    }

    /// Settings of the delivery service.
    #[must_use]
    pub fn delivery_settings(mut self, settings: DeliverySettings) -> Self {
        self.settings.delivery = settings;
        self
    }

    /// Who takes reports of abuse of members of this homeserver's groups. By default the latest 256 are kept in memory,
    /// for [`Admin::reports`](crate::Admin::reports).
    #[must_use]
    pub fn reports(mut self, reports: impl Reports) -> Self {
        self.settings.reports = Some(Arc::new(reports));
        self
    }

    /// The latest era that the store was seen in, as [`Admin::count`](crate::Admin::count) gave it and somebody kept it
    /// outside the store. Where the store is of an earlier one, it is an older copy that was brought back, and what
    /// [`Admin::restored`](crate::Admin::restored) does is done before anything else.
    #[must_use]
    pub const fn seen(mut self, era: Era) -> Self {
        self.settings.seen = Some(era);
        self
    }

    /// How much is let through in which time, from one address, group, queue or homeserver (05).
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.rules.limits = limits;
        self
    }

    /// What calls cost, where it is not what the protocol has them cost (05).
    #[must_use]
    pub fn costs(mut self, costs: Costs) -> Self {
        self.settings.rules.costs = costs;
        self
    }

    /// For how long the last good keys of homeservers that do not answer stay usable (08): up to seven days, a day by
    /// default.
    #[must_use]
    pub const fn key_grace(mut self, grace: KeyGrace) -> Self {
        self.settings.rules.key_grace = grace;
        self
    }

    /// Builds the homeserver. The first time it makes its keys and keeps them in the store.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(self) -> Result<Homeserver, BuildError> {
        let compute = match self.compute {
            Some(compute) => compute,
            None => Arc::new(Threads::new()?),
        };
        let ports = Ports {
            store: self.store.ok_or(BuildError::Missing("store"))?,
            transport: self.transport.ok_or(BuildError::Missing("transport"))?,
            clock: self.clock,
            entropy: self.entropy,
            wake: self.wake,
            push: self.push,
            compute,
            policy: self.policy,
        };
        let keys = KeyStore { ports, seal: self.seal, first: self.first };
        Homeserver::assemble(keys, self.settings).await
    }
}
