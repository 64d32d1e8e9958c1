//! What leaves for other homeservers (08).

use phoenix_core::{
    Failure, Fault, Fqdn, Reject, Timestamp,
    api::{
        ServiceName,
        federation::{DeliveryAad, QsToQsTransaction, SealedDelivery, TransactionTbs},
        queue::{FanOutMessage, QsPublicKeys},
    },
    crypto::Chance,
    operation::{Context, Need, Peers},
    published::longest_valid,
    wire::{List, VERSION, Wire},
};

use crate::service::QueueService;

/// Seals a message to the destination's QS.
///
/// # Errors
/// [`Reject::Unavailable`] where it publishes no key that is valid now, or none that can be sealed to.
pub(crate) fn seal_delivery(
    message: &FanOutMessage,
    aad: &DeliveryAad,
    keys: &QsPublicKeys,
    now: Timestamp,
    chance: &mut Chance,
) -> Result<SealedDelivery, Reject> {
    let key = longest_valid(&keys.delivery, now).ok_or(Reject::Unavailable(NO_KEY_RETRY_S))?;
    let sealed = key.key.seal(DELIVERY_INFO, &aad.encode(), &message.encode(), chance);
    Ok(SealedDelivery {
        id: aad.id,
        key: key.id,
        sealed: sealed.map_err(|_| Reject::Unavailable(NO_KEY_RETRY_S))?,
    })
}

/// Where a message leaves for, and the keys to seal it to.
pub(crate) struct Destination<'a> {
    domain: &'a Fqdn,
    keys: &'a QsPublicKeys,
}

/// What has to be known of a homeserver before anything can be sealed to it.
pub(crate) fn keys_of(domain: &Fqdn) -> Need {
    Need::keys(domain.clone(), ServiceName::Qs)
}

impl<'a> Destination<'a> {
    /// A homeserver; none where its keys are not known.
    pub(crate) fn found(domain: &'a Fqdn, peers: &'a Peers) -> Option<Self> {
        let keys = peers.has(&keys_of(domain)).then(|| peers.queue(domain).ok())??;
        Some(Self { domain, keys })
    }

    /// Seals a message under an id of its delivery.
    ///
    /// # Errors
    /// As [`seal_delivery`].
    pub(crate) fn seal(
        &self,
        message: &FanOutMessage,
        id: [u8; 16],
        cx: &Context<QueueService>,
        chance: &mut Chance,
    ) -> Result<SealedDelivery, Reject> {
        let aad = DeliveryAad { source: cx.domain.clone(), destination: self.domain.clone(), id };
        seal_delivery(message, &aad, self.keys, cx.now, chance)
    }
}

/// Signs a transaction.
///
/// # Errors
/// [`Fault::Broken`] where no signing key is valid, or there are more deliveries than a transaction holds.
pub(crate) fn sign_transaction(
    destination: &Fqdn,
    transaction: [u8; 16],
    deliveries: Vec<SealedDelivery>,
    cx: &Context<QueueService>,
) -> Result<QsToQsTransaction, Failure> {
    let (key, signer) = cx.keys.service.signer(cx.now)?;
    let payload = TransactionTbs {
        version: VERSION,
        source: cx.domain.clone(),
        destination: destination.clone(),
        transaction,
        sent_at: cx.now.as_secs(),
        deliveries: List::new(deliveries).map_err(|_| Fault::Broken("too many deliveries"))?,
        key,
    };
    let signature = signer.sign(TRANSACTION_LABEL, &payload.encode());
    Ok(QsToQsTransaction { payload, signature })
}

/// The label of a transaction's signature.
pub(crate) const TRANSACTION_LABEL: &str = "QsToQsTransaction";
/// The HPKE info of a sealed delivery.
pub(crate) const DELIVERY_INFO: &[u8] = b"phoenix delivery";
/// Bytes of a message for another homeserver: with its seal and a transaction around it, it fits into a body (02).
pub(crate) const MAX_DELIVERY_BYTES: usize = (2 << 20) - (16 << 10);
/// When to look again for a key of a homeserver that publishes none which is valid.
const NO_KEY_RETRY_S: u32 = 300;
