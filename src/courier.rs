//! What carries deliveries from lanes to where they belong.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    Failure, Fault, Fqdn, Reject,
    api::{
        ServiceName,
        delivery::UndeliveredRequest,
        queue::{DeliverRequest, FanOutMessage, MAX_BACK},
    },
    crypto::sha256,
    engine::{Courier, LaneRow},
    operation::Fare,
    wire::{Opaque, Wire, decode_shared},
};
use phoenix_ds::Undelivered;
use phoenix_qs::op::{
    deliver::Deliver,
    forward::{Forward, ForwardRequest},
};

use crate::homeserver::Inner;

/// Carries a row to the service that it is for, or to the mailbox of another homeserver.
pub(crate) struct Carrier {
    inner: Arc<Inner>,
}

impl Carrier {
    pub(crate) const fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Delivers a message to queues of this homeserver. What is too large for one batch goes in parts: all but the
    /// last are remembered under an id of their own, so that each arrives once though only the last takes the row.
    async fn deliver(
        &self,
        source: Fqdn,
        back: Opaque<MAX_BACK>,
        body: &Bytes,
        fare: Fare,
    ) -> Result<(), Failure> {
        let mut parts = decode_shared::<FanOutMessage>(body)?.into_parts();
        let last = parts.pop().ok_or(Fault::Broken("a message without parts"))?;
        // Only those that come before the last need an id. The content was sealed for this one delivery, so no other has
        // it: the recipients, who are most of a delivery, need not be hashed.
        let content = if parts.is_empty() { [0; 32] } else { sha256(&last.content) };
        for (number, message) in (0_u32..).zip(parts) {
            let hash = sha256(&(content, number).encode());
            let receipt = hash.first_chunk().copied();
            let request =
                DeliverRequest { source: source.clone(), receipt, back: back.clone(), share: 0, message };
            match self.inner.queue.internal::<Deliver>(request, Fare::Free).await {
                Err(Failure::Refused(refusal)) if !matches!(refusal.reject, Reject::Unavailable(_)) => {
                    tracing::warn!(reject = %refusal.reject, "a part of a delivery could not be carried and was dropped");
                }
                outcome => drop(outcome?),
            }
        }
        let request = DeliverRequest { source, receipt: None, back, share: 0, message: last };
        self.inner.queue.internal::<Deliver>(request, fare).await.map(drop)
    }
}

#[async_trait]
impl Courier for Carrier {
    async fn carry(&self, row: LaneRow, fare: Fare) -> Result<(), Failure> {
        let LaneRow { to, service, lane, back, body } = row;
        let is_local = to == *self.inner.shared.domain();
        match (service, is_local) {
            (ServiceName::Qs, true) => self.deliver(to, back, &body.bytes(), fare).await,
            (ServiceName::Qs, false) => {
                let message = decode_shared(&body.bytes())?;
                let request = ForwardRequest { to, lane, back, message };
                self.inner.queue.internal::<Forward>(request, fare).await.map(drop)
            }
            (ServiceName::Ds, true) => {
                let request = UndeliveredRequest::decode(&body)?;
                self.inner.delivery.internal::<Undelivered>(request, fare).await.map(drop)
            }
            (ServiceName::Ds, false) | (ServiceName::As, _) => Err(Reject::Malformed("service").into()),
        }
    }
}
