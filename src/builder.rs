//! How a homeserver comes to be.

use std::sync::Arc;

use phoenix_as::AuthSettings;
use phoenix_core::{
    Fault, Fqdn,
    port::{
        Clock, Compute, Entropy, LocalWake, OpenPolicy, Policy, Ports, Store, StoreError, Transport, Wake,
    },
};
use phoenix_ds::DeliverySettings;
use phoenix_qs::QueueSettings;

use crate::{Homeserver, OperatorKey, OsEntropy, SystemClock, Threads, keys::KeyStore};

/// Gathers what a homeserver needs. A store and a transport must be given; all else has a default.
pub struct Builder {
    domain: Fqdn,
    store: Option<Arc<dyn Store>>,
    transport: Option<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    wake: Arc<dyn Wake>,
    compute: Option<Arc<dyn Compute>>,
    policy: Arc<dyn Policy>,
    operator: Option<OperatorKey>,
    auth: AuthSettings,
    queue: QueueSettings,
    delivery: DeliverySettings,
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
    #[error("the operator key does not open this store's secrets")]
    WrongKey,
    /// Something else in the store is not as it must be.
    #[error("the store's secrets are damaged: {0}")]
    Damaged(#[from] Fault),
    /// The operating system starts no threads.
    #[error("no threads for computations: {0}")]
    Threads(#[from] std::io::Error),
}

impl Builder {
    pub(crate) fn new(domain: Fqdn) -> Self {
        Self {
            domain,
            store: None,
            transport: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            wake: Arc::new(LocalWake::default()),
            compute: None,
            policy: Arc::new(OpenPolicy),
            operator: None,
            auth: AuthSettings::default(),
            queue: QueueSettings::default(),
            delivery: DeliverySettings::default(),
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

    /// The key under which the homeserver's secrets are sealed. Without one they lie open in the store.
    #[must_use]
    pub fn operator_key(mut self, key: OperatorKey) -> Self {
        self.operator = Some(key);
        self
    }

    /// Settings of the authentication service.
    #[must_use]
    pub fn auth_settings(mut self, settings: AuthSettings) -> Self {
        self.auth = settings;
        self
    }

    /// Settings of the queuing service.
    #[must_use]
    pub fn queue_settings(mut self, settings: QueueSettings) -> Self {
        self.queue = settings;
        self
    }

    /// Settings of the delivery service.
    #[must_use]
    pub fn delivery_settings(mut self, settings: DeliverySettings) -> Self {
        self.delivery = settings;
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
            compute,
            policy: self.policy,
        };
        let keys = KeyStore { ports, domain: self.domain, operator: self.operator };
        Homeserver::assemble(keys, self.auth, self.queue, self.delivery).await
    }
}
