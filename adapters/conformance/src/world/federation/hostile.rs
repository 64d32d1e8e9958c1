//! A homeserver that does what it likes. It publishes keys as any other, and so may say anything in its own name.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Fqdn, KeyId, Timestamp,
    api::{
        Description, Endpoint, ServiceName,
        federation::{
            DeliveryAad, FederatedEnqueue, QsToQsReceipt, QsToQsTransaction, SealedDelivery, TransactionTbs,
        },
        queue::{ClientQueueConfig, QsPublicKeys, SealingKey, ServiceKey},
    },
    crypto::{Chance, HpkeSecretKey, SigningKey, Suite},
    port::{Circuit, Clock, Outgoing, Transport},
    published::QsDocument,
    time::DAY,
    wire::{Call, List, MAX_BODY, Opaque, VERSION, Wire},
};

use crate::world::{ground::Ground, link::Link, tape::Tape};

/// Something that a hostile homeserver does to another. Researchers add theirs, and play them with
/// [`Town::play_federation_with`](crate::world::Town::play_federation_with).
///
/// What must not come of it is told to [`Hostile::violated`]. What may never be, whatever anybody does (F1, F2, Q2 and
/// all that honest users lose), is watched in every run.
#[async_trait]
pub trait Move: Send + Sync {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// Does it to this homeserver. All chance is read from [`Hostile::tape`].
    async fn play(&self, hostile: &Hostile, against: &Fqdn);
}

/// The hostile homeserver, as a move uses it.
pub struct Hostile {
    ground: Arc<Ground>,
    link: Link,
    domain: Fqdn,
}

impl Hostile {
    pub(crate) fn new(ground: &Arc<Ground>) -> Option<Self> {
        let domain: Fqdn = DOMAIN.parse().ok()?;
        Some(Self { ground: ground.clone(), link: Link::of_hostile(ground, &domain), domain })
    }

    /// Its domain.
    #[must_use]
    pub const fn domain(&self) -> &Fqdn {
        &self.domain
    }

    /// All others.
    #[must_use]
    pub fn others(&self) -> Vec<Fqdn> {
        self.ground.domains()
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ground.clock.now()
    }

    /// Where chance comes from.
    #[must_use]
    pub fn tape(&self) -> &Tape {
        &self.ground.tape
    }

    /// Transactions of honest homeservers that passed, and where they went.
    #[must_use]
    pub fn overheard(&self) -> Vec<(Fqdn, Outgoing)> {
        self.ground.watch.transactions()
    }

    /// Queue configs of honest users that passed: each is for the delivery service of one homeserver.
    #[must_use]
    pub fn stolen(&self) -> Vec<ClientQueueConfig> {
        self.ground.watch.configs()
    }

    /// How often a homeserver looked for a domain.
    #[must_use]
    pub fn look_ups(&self, by: &Fqdn, domain: &Fqdn) -> u32 {
        self.ground.watch.look_ups(by, domain)
    }

    /// A transaction for a homeserver, as it would be right.
    #[must_use]
    pub fn payload(&self, to: &Fqdn, deliveries: Vec<SealedDelivery>) -> TransactionTbs {
        TransactionTbs {
            version: VERSION,
            source: self.domain.clone(),
            destination: to.clone(),
            transaction: self.tape().bytes(),
            sent_at: self.now().as_secs(),
            deliveries: List::new(deliveries).unwrap_or_default(),
            key: KeyId::of(&signing_key().verifying_key()),
        }
    }

    /// Signs a transaction, whatever it says.
    #[must_use]
    pub fn sign(&self, payload: TransactionTbs) -> QsToQsTransaction {
        let signature = signing_key().sign("QsToQsTransaction", &payload.encode());
        QsToQsTransaction { payload, signature }
    }

    /// Seals anything as a delivery to a homeserver; none where it does not run.
    pub async fn seal(&self, to: &Fqdn, content: &[u8]) -> Option<SealedDelivery> {
        let (home, _) = self.ground.home(to)?;
        let document = home.document(ServiceName::Qs).await.ok()?;
        let keys = QsDocument::decode(&document, to).ok()?;
        let key = keys.delivery.first()?;
        let id = self.tape().bytes();
        let aad = DeliveryAad { source: self.domain.clone(), destination: to.clone(), id };
        let mut chance = Chance::from_seed(self.tape().bytes());
        let sealed = key.key.seal(b"phoenix delivery", &aad.encode(), content, &mut chance).ok()?;
        Some(SealedDelivery { id, key: key.id, sealed })
    }

    /// Gives a homeserver a transaction; none where no answer came.
    pub async fn give(
        &self,
        to: &Fqdn,
        transaction: &QsToQsTransaction,
    ) -> Option<Result<QsToQsReceipt, ErrorReply>> {
        let answer = self.give_bytes(to, transaction.encode().to_vec()).await?;
        answer.map(|reply| QsToQsReceipt::decode(&reply).ok()).transpose()
    }

    /// Gives a homeserver bytes that need be no transaction; none where no answer came.
    pub async fn give_bytes(&self, to: &Fqdn, body: Vec<u8>) -> Option<Result<Bytes, ErrorReply>> {
        self.link.send(to, transaction(Opaque::new(body).ok()?)).await.ok()
    }

    /// Says nothing for a time to who asks for its keys.
    pub fn be_silent(&self, millis: u64) {
        self.ground.watch.be_silent(self.ground.clock.elapsed_ms().saturating_add(millis));
    }

    /// Waits.
    pub async fn pause(&self, millis: u64) {
        self.ground.clock.sleep_ms(millis).await;
    }

    /// Something came of a move that must not.
    pub fn violated(&self, what: String) {
        self.ground.ledger.violated(what);
    }
}

impl fmt::Debug for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hostile({})", self.domain)
    }
}

/// A call that gives a homeserver a transaction, or whatever the bytes are.
pub(crate) fn transaction(body: Opaque<MAX_BODY>) -> Outgoing {
    let Description { id, service, name, .. } = FederatedEnqueue::DESCRIPTION;
    let call = Call { version: VERSION, endpoint: id, auth: None, token: None, body };
    Outgoing { service, name, call, circuit: Circuit::default() }
}

/// What the hostile homeserver publishes of a service, where it publishes anything.
pub(crate) fn document(service: ServiceName, now: Timestamp) -> Option<Bytes> {
    if service != ServiceName::Qs {
        return None;
    }
    let (from, to) = (now.as_secs(), now.as_secs().saturating_add(90 * DAY));
    let sealing = HpkeSecretKey::generate(Suite::Ed25519, &mut Chance::from_seed(SEED));
    let sealing = SealingKey::new(sealing.public_key().clone(), from, to);
    let keys = QsPublicKeys {
        verifying: List::new(vec![ServiceKey::new(signing_key().verifying_key(), from, to)]).ok()?,
        queue_config: List::new(vec![sealing.clone()]).ok()?,
        delivery: List::new(vec![sealing]).ok()?,
    };
    QsDocument::encode(&DOMAIN.parse().ok()?, &keys).ok()
}

fn signing_key() -> SigningKey {
    SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed(SEED))
}

pub(crate) const DOMAIN: &str = "mallory.test";
const SEED: [u8; 32] = [0x66; 32];
