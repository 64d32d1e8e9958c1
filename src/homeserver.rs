//! The homeserver, put together.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::lock::Mutex;
use phoenix_as::{AsCredentials, AuthService};
use phoenix_core::{
    ErrorReply, Failure, Fault, Fqdn, Generation, Origin, Refusal, Reject,
    api::{Description, Empty, ServiceName},
    credential::AsIdentity,
    crypto::AtRestKey,
    dpop::DpopNonces,
    engine::{Alarms, Engine, Handler, Lanes, OpenStream, Pushes, Shared},
    operation::{Fare, KeyRing},
    port::{Mark, Reports},
    published::{AsDocument, DsDocument, QsDocument},
    token::{Class, KeyListEntry, TokenType},
    wire::Call,
};
use phoenix_ds::DeliveryService;
use phoenix_qs::QueueService;

use crate::{
    Admin, BuildError, Builder,
    builder::Settings,
    courier::Carrier,
    documents::{self, Documents},
    ephemeral, era,
    federating::{self, Federating},
    keys::{KeyStore, Keys},
    mailbox::Mailboxes,
    reports::{self, ReportBox},
    survey::Seen,
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
    documents: Documents,
    pub(crate) dpop_nonces: DpopNonces,
    /// Who takes reports of abuse.
    pub(crate) reports: Arc<dyn Reports>,
    /// Where they are kept for the operator to fetch, unless somebody else takes them.
    pub(crate) report_box: ReportBox,
    pub(crate) keys: KeyStore,
    /// The operator's federation policy.
    pub(crate) federating: Federating,
    /// How other homeservers answer.
    pub(crate) seen: Seen,
    /// What the secrets in the store are sealed with.
    pub(crate) root: AtRestKey,
    /// The secrets in force. Whoever holds the lock looks for others: one at a time, so that none are taken for newer
    /// than they are.
    pub(crate) revision: Mutex<Mark>,
}

/// Each service's keys, as its engine wants them.
pub(crate) struct Rings {
    pub(crate) auth: KeyRing<AuthService>,
    pub(crate) queue: KeyRing<QueueService>,
    pub(crate) delivery: KeyRing<DeliveryService>,
    pub(crate) revision: Mark,
}

impl From<Keys> for Rings {
    fn from(keys: Keys) -> Self {
        let Keys { root, auth, queue, delivery, generation, revision } = keys;
        let tokens = auth.tokens().clone();
        Self {
            auth: KeyRing { tokens: tokens.clone(), at_rest: root.derive("as"), generation, service: auth },
            queue: KeyRing { tokens: tokens.clone(), at_rest: root.derive("qs"), generation, service: queue },
            delivery: KeyRing { tokens, at_rest: root.derive("ds"), generation, service: delivery },
            revision,
        }
    }
}

impl Homeserver {
    /// Begins a homeserver of this domain.
    #[must_use]
    pub fn builder(domain: Fqdn) -> Builder {
        Builder::new(Some(domain))
    }

    /// Begins with the homeserver that a store holds, whatever its domain: for tools. None is made where there is
    /// none.
    #[must_use]
    pub fn existing() -> Builder {
        Builder::new(None)
    }

    pub(crate) async fn assemble(store: KeyStore, settings: Settings) -> Result<Self, BuildError> {
        let Settings { auth, queue, delivery, rules, reports, seen } = settings;
        let mut keys = store.load_or_make().await?;
        if let Some(seen) = seen
            && era::of(&store.ports, keys.generation).await? < seen
        {
            keys = store.restored(Generation(seen.generation), &keys.root).await?;
            tracing::warn!(
                generation = keys.generation.0,
                "the store is an older copy: its token keys were retired, and all queues begin again; users, clients, \
                 aliases and groups that were deleted since are back, so delete them again"
            );
        }
        let (root, domain) = (keys.root.clone(), keys.auth.domain().clone());
        let shared = Shared::with_rules(store.ports.clone(), domain, root.derive("core"), rules);
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
        let (under_way, documents) = (AtomicUsize::new(0), Documents::default());
        let (keys, revision) = (store, Mutex::new(revision));
        let dpop_nonces = DpopNonces::new(root.derive("dpop"));
        let federating = Federating::new(&root);
        let report_box = ReportBox::default();
        let reports = reports.unwrap_or_else(|| Arc::new(report_box.clone()));
        let inner = Inner {
            shared,
            auth,
            queue,
            delivery,
            handlers,
            under_way,
            documents,
            dpop_nonces,
            reports,
            report_box,
            keys,
            federating,
            seen: Seen::default(),
            root,
            revision,
        };
        let home = Self { inner: Arc::new(inner) };
        home.inner.shared.costs().check(&home.described())?;
        // Before anybody is dealt with.
        home.inner.federating.refresh(&home.inner.shared).await?;
        home.publish().await?;
        home.remind();
        home.tell_end();
        Ok(home)
    }

    /// The homeserver's domain.
    #[must_use]
    pub fn domain(&self) -> &Fqdn {
        self.inner.shared.domain()
    }

    /// The endpoint table: what can be called, how, and for what token.
    #[must_use]
    pub fn descriptions(&self) -> Vec<Description> {
        let costs = self.inner.shared.costs();
        self.described().into_iter().map(|endpoint| costs.in_force(endpoint)).collect()
    }

    /// The same, with the costs that the protocol sets.
    fn described(&self) -> Vec<Description> {
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

    /// Opens a stream of an endpoint that is one (06, "Wake-ups"). The adapter sends its messages one after the other,
    /// hands in what the client says, and drops it when the client has gone.
    ///
    /// # Errors
    /// The protocol's error, to be told to the caller.
    pub async fn open(
        &self,
        service: ServiceName,
        name: &str,
        call: Call,
        origin: Origin,
    ) -> Result<OpenStream, ErrorReply> {
        let handler = self.inner.handlers.get(&(service, name));
        let Some(handler) = handler else { return Err(Refusal::from(Reject::NotFound).into()) };
        let _under_way = UnderWay::begin(&self.inner.under_way);
        handler.open(call, origin).await
    }

    /// Counts a request that is no call, but for what an endpoint gives, for the network that it came from (05): what
    /// an adapter does before it gives somebody a [`document`](Self::document).
    ///
    /// # Errors
    /// `rate_limited` where that network has sent too many.
    pub fn admit(&self, endpoint: &Description, origin: &Origin) -> Result<(), ErrorReply> {
        Ok(self.inner.shared.admit(endpoint, None, origin).map_err(Refusal::from)?)
    }

    /// The published document of a service: its keys, in JSON (08). The same for a few seconds, unless keys change.
    ///
    /// # Errors
    /// `internal` where the keys cannot be encoded.
    pub async fn document(&self, service: ServiceName) -> Result<Bytes, ErrorReply> {
        let Inner { shared, auth, queue, delivery, documents, .. } = self.inner.as_ref();
        let now = shared.ports().clock.now();
        let ring = match service {
            ServiceName::As => documents::ring(auth.ring()),
            ServiceName::Qs => documents::ring(queue.ring()),
            ServiceName::Ds => documents::ring(delivery.ring()),
        };
        if let Some(document) = documents.find(service, &ring, now) {
            return Ok(document);
        }
        let document = self.published(service).await?;
        documents.keep(service, ring, now, document.clone());
        Ok(document)
    }

    pub(crate) async fn published(&self, service: ServiceName) -> Result<Bytes, Failure> {
        let now = self.inner.shared.ports().clock.now();
        let document = match service {
            ServiceName::As => {
                let identity = self.identity().await?;
                AsDocument::encode(&identity, self.inner.auth.ring().service.key_list())
            }
            ServiceName::Qs => {
                QsDocument::encode(self.domain(), &self.inner.queue.ring().service.public(now))
            }
            ServiceName::Ds => {
                DsDocument::encode(self.domain(), &self.inner.delivery.ring().service.public(now))
            }
        };
        Ok(document.map_err(|_| Fault::Broken("the homeserver's own keys cannot be published"))?)
    }

    /// For those who come without a token of a class: the challenge of each type of token, the preferred first, and
    /// the key that issues what answers it (RFC 9577 §2.1).
    #[must_use]
    pub fn challenges(&self, class: Class) -> Vec<(Bytes, Bytes)> {
        let now = self.inner.shared.ports().clock.now();
        let ring = self.inner.auth.ring();
        let list = &ring.service.key_list().list;
        let challenge = |token_type: TokenType| {
            let key = list.issuing_type(class, token_type, now)?;
            Some((token_type.challenge(self.domain()), key.public_key.bytes()))
        };
        TokenType::ALL.into_iter().filter_map(challenge).collect()
    }

    /// The token keys that issue now, and those that will next.
    #[must_use]
    pub fn issuing_keys(&self) -> Vec<KeyListEntry> {
        let now = self.inner.shared.ports().clock.now().as_secs();
        let ring = self.inner.auth.ring();
        ring.service.key_list().list.keys.iter().filter(|key| now <= key.not_after).cloned().collect()
    }

    /// What vouches for the domain's clients.
    pub(crate) async fn identity(&self) -> Result<AsIdentity, Failure> {
        self.inner.auth.internal::<AsCredentials>(Empty {}, Fare::Free).await
    }

    /// What an operator may do with the running homeserver.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.inner.clone())
    }

    /// Carries messages, tells other homeservers that this one is there, sends what waits for them, pushes, hands on ephemeral messages and reports of
    /// abuse, and lets go of what has expired. Runs until it is dropped; what was under way then is found again at the
    /// next start, but for pushes, ephemeral messages and reports.
    pub async fn run(self) {
        let lanes = Lanes::new(self.inner.shared.clone(), Arc::new(Carrier::new(self.inner.clone())));
        let mailboxes = Arc::new(Mailboxes::new(self.inner.clone()));
        let alarms = Alarms::new(self.inner.shared.clone(), mailboxes.clone());
        let release = federating::release(&self.inner, &mailboxes);
        let pushes = Pushes::new(self.inner.shared.clone());
        let (ephemeral, reports) = (ephemeral::hand_on(&self.inner), reports::hand_on(&self.inner));
        futures::join!(
            lanes.run(),
            alarms.run(),
            release,
            mailboxes.greet_waiting(),
            pushes.run(),
            self.keep_keys(),
            ephemeral,
            reports
        );
    }

    /// Asks the clients of all streams to reconnect, and waits until streams are closed and the calls under way are
    /// answered, at most so many milliseconds. The adapter must have stopped taking new ones.
    pub async fn drain(&self, timeout_ms: u64) {
        let shared = &self.inner.shared;
        let clock = &shared.ports().clock;
        let until = clock.now().plus_millis(timeout_ms);
        shared.end_streams();
        let goes_on = || self.inner.under_way.load(Ordering::Acquire) > 0 || shared.open_streams() > 0;
        while goes_on() && clock.now() < until {
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
