//! The homeserver, put together.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use phoenix_as::{AuthService, AuthSettings};
use phoenix_core::{
    ErrorReply, Fault, Fqdn, Origin, Refusal, Reject,
    api::{Description, ServiceName},
    engine::{Alarms, Engine, Handler, Lanes, Shared},
    operation::KeyRing,
    port::Mark,
    published::{AsDocument, DsDocument, PublishedKeys, QsDocument},
    token::{Class, challenge},
    wire::Call,
};
use phoenix_ds::{DeliveryService, DeliverySettings};
use phoenix_qs::{QueueService, QueueSettings};

use crate::{
    Admin, BuildError, Builder,
    courier::Carrier,
    keys::{KeyStore, Keys},
    mailbox::Mailboxes,
};

/// A homeserver of one domain. Cheap to clone; all clones are one homeserver.
#[derive(Clone)]
pub struct Homeserver {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) auth: Arc<Engine<AuthService>>,
    pub(crate) queue: Arc<Engine<QueueService>>,
    pub(crate) delivery: Arc<Engine<DeliveryService>>,
    handlers: BTreeMap<(ServiceName, &'static str), Arc<dyn Handler>>,
    under_way: AtomicUsize,
    store: KeyStore,
    revision: Mutex<Mark>,
}

/// Each service's keys, as its engine wants them.
struct Rings {
    auth: KeyRing<AuthService>,
    queue: KeyRing<QueueService>,
    delivery: KeyRing<DeliveryService>,
    revision: Mark,
}

impl From<Keys> for Rings {
    fn from(keys: Keys) -> Self {
        let Keys { root, auth, queue, delivery, revision } = keys;
        let tokens = auth.tokens().clone();
        Self {
            auth: KeyRing { tokens: tokens.clone(), at_rest: root.derive("as"), service: auth },
            queue: KeyRing { tokens: tokens.clone(), at_rest: root.derive("qs"), service: queue },
            delivery: KeyRing { tokens, at_rest: root.derive("ds"), service: delivery },
            revision,
        }
    }
}

impl Homeserver {
    /// Begins a homeserver of this domain.
    #[must_use]
    pub fn builder(domain: Fqdn) -> Builder {
        Builder::new(domain)
    }

    pub(crate) async fn assemble(
        store: KeyStore,
        auth: AuthSettings,
        queue: QueueSettings,
        delivery: DeliverySettings,
    ) -> Result<Self, BuildError> {
        let keys = store.load_or_make().await?;
        let shared = Shared::new(store.ports.clone(), store.domain.clone(), keys.root.derive("core"));
        let Rings { auth: auth_ring, queue: queue_ring, delivery: delivery_ring, revision } = keys.into();
        let auth = Engine::new(shared.clone(), auth, auth_ring);
        let queue = Engine::new(shared.clone(), queue, queue_ring);
        let delivery = Engine::new(shared.clone(), delivery, delivery_ring);
        let handlers = phoenix_as::handlers(&auth)
            .into_iter()
            .chain(phoenix_qs::handlers(&queue))
            .chain(phoenix_ds::handlers(&delivery))
            .map(|handler| ((handler.description().service, handler.description().name), handler))
            .collect();
        let (under_way, revision) = (AtomicUsize::new(0), Mutex::new(revision));
        let inner = Inner { shared, auth, queue, delivery, handlers, under_way, store, revision };
        let home = Self { inner: Arc::new(inner) };
        home.publish()?;
        Ok(home)
    }

    /// Keeps the keys in force as they should be: rotates them, and takes over what another replica rotated.
    async fn keep_keys(&self) {
        let clock = &self.inner.shared.ports().clock;
        loop {
            clock.sleep_until(clock.now().plus_secs(KEYS_EVERY_S)).await;
            if let Err(error) = self.refresh_keys().await {
                tracing::error!(%error, "the keys could not be refreshed");
            }
        }
    }

    pub(crate) async fn refresh_keys(&self) -> Result<(), BuildError> {
        let revision = *self.inner.revision.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = self.inner.store.refreshed(revision).await? else { return Ok(()) };
        let Rings { auth, queue, delivery, revision } = keys.into();
        self.inner.auth.rotate(auth);
        self.inner.queue.rotate(queue);
        self.inner.delivery.rotate(delivery);
        *self.inner.revision.lock().unwrap_or_else(PoisonError::into_inner) = revision;
        self.publish()
    }

    /// Tells the homeserver's own services each other's keys.
    fn publish(&self) -> Result<(), BuildError> {
        let now = self.inner.shared.ports().clock.now();
        for service in ServiceName::ALL {
            let document = self.published(service)?;
            let keys = PublishedKeys::decode(service, &document, self.domain(), now)
                .map_err(|_| Fault::Broken("the homeserver's own published keys"))?;
            self.inner.shared.directory().publish(service, keys);
        }
        Ok(())
    }

    /// The homeserver's domain.
    #[must_use]
    pub fn domain(&self) -> &Fqdn {
        self.inner.shared.domain()
    }

    /// The endpoint table: what can be called, and how.
    #[must_use]
    pub fn descriptions(&self) -> Vec<Description> {
        self.inner.handlers.values().map(|handler| handler.description()).collect()
    }

    /// Carries out a call to an endpoint of a service.
    ///
    /// The call runs to its end only while the future is polled: an adapter whose callers may hang up puts it
    /// on a task of its own, else hanging up would buy free work.
    ///
    /// # Errors
    /// The protocol's error, to be told to the caller.
    pub async fn call(
        &self,
        service: ServiceName,
        name: &str,
        call: Call,
        origin: Origin,
    ) -> Result<Bytes, ErrorReply> {
        let handler = self.inner.handlers.get(&(service, name));
        let Some(handler) = handler else { return Err(Refusal::from(Reject::NotFound).into()) };
        let _under_way = UnderWay::begin(&self.inner.under_way);
        handler.handle(call, origin).await
    }

    /// The published document of a service: its keys, in JSON (08).
    ///
    /// # Errors
    /// `internal` where the keys cannot be encoded.
    pub async fn document(&self, service: ServiceName) -> Result<Bytes, ErrorReply> {
        self.published(service).map_err(|fault| phoenix_core::Failure::from(fault).into())
    }

    fn published(&self, service: ServiceName) -> Result<Bytes, Fault> {
        let now = self.inner.shared.ports().clock.now();
        let document = match service {
            ServiceName::As => {
                let (identity, tokens) = self.inner.auth.ring().service.published(now)?;
                AsDocument::encode(&identity, &tokens)
            }
            ServiceName::Qs => {
                QsDocument::encode(self.domain(), &self.inner.queue.ring().service.public(now))
            }
            ServiceName::Ds => {
                DsDocument::encode(self.domain(), &self.inner.delivery.ring().service.public(now))
            }
        };
        document.map_err(|_| Fault::Broken("the homeserver's own keys cannot be published"))
    }

    /// The challenge and the issuing key of a class, for those who come without its token (RFC 9577 §2.1).
    #[must_use]
    pub fn challenge(&self, class: Class) -> (Bytes, Bytes) {
        let now = self.inner.shared.ports().clock.now();
        let ring = self.inner.auth.ring();
        let key = ring.service.key_list().list.issuing(class, now).map(|key| key.public_key.bytes());
        (challenge(self.domain()), key.unwrap_or_default())
    }

    /// What an operator may do with the running homeserver.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.inner.clone())
    }

    /// Carries messages, sends what waits for other homeservers, and lets go of what has expired. Runs until it
    /// is dropped; what was under way then is found again at the next start.
    pub async fn run(self) {
        let lanes = Lanes::new(self.inner.shared.clone(), Arc::new(Carrier::new(self.inner.clone())));
        let alarms = Alarms::new(self.inner.shared.clone(), Arc::new(Mailboxes::new(self.inner.clone())));
        futures::join!(lanes.run(), alarms.run(), self.keep_keys());
    }

    /// Waits until the calls under way are answered, at most so many milliseconds. The adapter must have stopped
    /// taking new ones.
    pub async fn drain(&self, timeout_ms: u64) {
        let clock = &self.inner.shared.ports().clock;
        let until = clock.now().plus_millis(timeout_ms);
        while self.inner.under_way.load(Ordering::Acquire) > 0 && clock.now() < until {
            clock.sleep_until(clock.now().plus_millis(DRAIN_POLL_MS)).await;
        }
    }
}

/// Counts a call while it is under way, however it ends.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How often draining looks whether all calls are answered.
const DRAIN_POLL_MS: u64 = 20;
/// How often the keys are looked at: another replica's rotation must be known well before a new key issues.
const KEYS_EVERY_S: u64 = 60;
