//! What carries deliveries from lanes to where they belong.

use std::sync::Arc;

use async_trait::async_trait;
use phoenix_core::{
    Failure, Reject,
    api::{
        ServiceName,
        delivery::UndeliveredRequest,
        queue::{DeliverRequest, FanOutMessage},
    },
    engine::{Courier, LaneRow},
    operation::Fare,
    wire::Wire,
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
}

#[async_trait]
impl Courier for Carrier {
    async fn carry(&self, row: LaneRow, fare: Fare) -> Result<(), Failure> {
        let LaneRow { to, service, lane, back, body } = row;
        let is_local = to == *self.inner.shared.domain();
        match (service, is_local) {
            (ServiceName::Qs, true) => {
                let message = FanOutMessage::decode(&body)?;
                let request = DeliverRequest { source: to, receipt: None, back, message };
                self.inner.queue.internal::<Deliver>(request, fare).await.map(drop)
            }
            (ServiceName::Qs, false) => {
                let message = FanOutMessage::decode(&body)?;
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
