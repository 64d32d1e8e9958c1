//! Wakes clients through the push services of the web (06, "Wake-ups"; RFC 8030, 8291, 8292).

mod encryption;
mod services;
#[cfg(test)]
pub(crate) mod tests;
mod vapid;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use phoenix_core::{
    Fqdn,
    api::queue::{PushToken, WebPushSubscription},
    port::{PUSH_DEADLINE_S, Push, PushNotice, TransportError, Urgency},
};
use reqwest::{RequestBuilder, Url};
use tokio::time::{Instant, timeout};

use self::services::{Services, Subscription, WAITING_TIME};
pub use self::vapid::{VapidError, VapidKey};
use crate::transport::{
    HttpTransport,
    exchange::{Answer, Unanswered, exchange},
    networks::{LOOK_UP_TIME, Network, Networks, Zone},
};

/// The `Push` port over the push services of the web.
///
/// A push says that there is something to read, and no more: its content is empty, encrypted all the same, and of one
/// size. Where a push goes is what a stranger has said, so it goes to public addresses only, over `https` at its own
/// port, follows no redirect, and learns nothing of what is answered. What a service says of one subscription (that it
/// is gone, or has enough) or of itself (that it wants a pause) is remembered in memory, as hashes, within bounds.
pub struct WebPush(Arc<Parts>);

struct Parts {
    networks: Networks,
    key: VapidKey,
    contact: String,
    services: Services,
}

/// Why a push was not taken. Nothing here names where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NotPushed {
    #[error("the address of a subscription is none of a push service")]
    Address,
    #[error("the keys of a subscription are none")]
    Keys,
    #[error("the subscription is gone, or it or its service wants a pause, or is busy")]
    NoTurn,
    #[error("what is named as a push service must not be talked to, or answers without end")]
    Refused,
    #[error("a push service does not answer")]
    Unanswered,
    #[error("a push service answered with the status {0}")]
    Status(u16),
    #[error("a push could not be put together")]
    Unmade,
}

impl WebPush {
    /// Pushes on the transport's terms: its authorities and own addresses hold for push services, too; its overrides do
    /// not, but for those of [`push_service`](crate::HttpTransportBuilder::push_service). `contact`, a `mailto:` or
    /// `https:` URI of the operator, is what push services are told to complain to.
    ///
    /// # Errors
    /// [`VapidError::Contact`] for another kind of contact.
    pub fn new(transport: &HttpTransport, key: VapidKey, contact: &str) -> Result<Self, VapidError> {
        if !contact.starts_with("mailto:") && !contact.starts_with("https://") {
            return Err(VapidError::Contact);
        }
        let networks = transport.push_services(ANSWER_TIME);
        let (contact, services) = (contact.to_owned(), Services::default());
        Ok(Self(Arc::new(Parts { networks, key, contact, services })))
    }
}

#[async_trait]
impl Push for WebPush {
    async fn push(&self, notice: &PushNotice) {
        let PushToken::WebPush(subscription) = &notice.token else { return };
        if let Err(reason) = self.0.push(subscription, notice.urgency).await {
            tracing::debug!(%reason, "a push was not taken");
        }
    }
}

impl Parts {
    async fn push(&self, to: &WebPushSubscription, urgency: Urgency) -> Result<(), NotPushed> {
        let address = Address::parse(to.endpoint.expose())?;
        let subscription = self.services.subscription(&address.host, to.endpoint.expose(), Instant::now());
        let subscription = subscription.ok_or(NotPushed::NoTurn)?;
        let waits = self.services.wait(Zone::of(&address.host)).ok_or(NotPushed::NoTurn)?;
        let networks = self.networks.of(&address.host).await?;
        drop(waits);
        let sent = timeout(SENDING_TIME, self.send(&networks, &address, (to, urgency))).await;
        match sent.unwrap_or(Err(NotPushed::Unanswered)) {
            Ok(answer) => told(subscription, &answer),
            Err(error) => {
                if matches!(error, NotPushed::Unanswered | NotPushed::Refused) {
                    subscription.pause_service(UNREACHABLE_PAUSE_S, Instant::now());
                }
                Err(error)
            }
        }
    }

    /// Sends a push into the first of these networks in which somebody is. What was sent into one goes into no other.
    async fn send(
        &self,
        networks: &[Network],
        address: &Address,
        push: (&WebPushSubscription, Urgency),
    ) -> Result<Answer, NotPushed> {
        let mut outcome = NotPushed::Unanswered;
        for network in networks {
            // Held until the answer is there: who does not answer is to cost nobody else.
            let Some(_turn) = self.services.turn(*network).await else {
                outcome = NotPushed::NoTurn;
                continue;
            };
            match exchange(self.request(*network, address, push)?, MAX_ANSWER).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered { error: TransportError::Unreachable, is_unsent: true }) => {
                    outcome = NotPushed::Unanswered;
                }
                Err(Unanswered { error, .. }) => return Err(error.into()),
            }
        }
        Err(outcome)
    }

    /// A push, sealed, by the client of a network.
    fn request(
        &self,
        network: Network,
        address: &Address,
        (to, urgency): (&WebPushSubscription, Urgency),
    ) -> Result<RequestBuilder, NotPushed> {
        let body = encryption::seal(&to.key, &to.auth, b"").map_err(|_| NotPushed::Keys)?;
        let authorization = self.key.authorization(&address.origin, &self.contact);
        let headers = headers(urgency, &authorization).ok_or(NotPushed::Unmade)?;
        Ok(self.networks.client(network)?.post(address.url.clone()).headers(headers).body(body))
    }
}

impl From<TransportError> for NotPushed {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Refused => Self::Refused,
            TransportError::Unreachable | TransportError::Busy => Self::Unanswered,
        }
    }
}

/// Where a push goes.
struct Address {
    url: Url,
    host: Fqdn,
    /// What the voucher for it is good for (RFC 8292 §2).
    origin: String,
}

impl Address {
    /// An `https` URL of a domain name, without port and user: no service of the web needs others, and whoever could
    /// name them would have this server talk to them.
    fn parse(address: &[u8]) -> Result<Self, NotPushed> {
        let address = std::str::from_utf8(address).map_err(|_| NotPushed::Address)?;
        let url = Url::parse(address).map_err(|_| NotPushed::Address)?;
        let is_plain = url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host: Option<Fqdn> = url.domain().and_then(|name| name.parse().ok());
        let host = host.filter(|_| is_plain).ok_or(NotPushed::Address)?;
        let origin = format!("https://{host}");
        Ok(Self { url, host, origin })
    }
}

/// What a push service said (RFC 8030 §5, §7.3).
fn told(to: Subscription<'_>, answer: &Answer) -> Result<(), NotPushed> {
    let pause = answer.retry_after_s.unwrap_or(BUSY_PAUSE_S);
    match answer.status {
        StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => return Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE => to.forget(Instant::now()),
        // Said of who is pushed to (RFC 8030 §8.4), and of the service.
        StatusCode::TOO_MANY_REQUESTS => to.pause(pause, Instant::now()),
        StatusCode::SERVICE_UNAVAILABLE => to.pause_service(pause, Instant::now()),
        _ => {}
    }
    Err(NotPushed::Status(answer.status.as_u16()))
}

fn headers(urgency: Urgency, authorization: &str) -> Option<HeaderMap> {
    let urgency = match urgency {
        Urgency::Normal => "normal",
        Urgency::High => "high",
    };
    let mut authorization = HeaderValue::from_str(authorization).ok()?;
    authorization.set_sensitive(true);
    let name = HeaderName::from_static;
    Some(HeaderMap::from_iter([
        (AUTHORIZATION, authorization),
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (CONTENT_ENCODING, HeaderValue::from_static("aes128gcm")),
        (name("ttl"), HeaderValue::from(TTL_S)),
        (name("urgency"), HeaderValue::from_static(urgency)),
        // One that was not delivered yet is replaced: a device that comes back is woken once.
        (name("topic"), HeaderValue::from_static("phoenix")),
    ]))
}

/// How long a push service keeps a push for a device that is away, in seconds: a day, after which it looks by itself.
const TTL_S: u32 = 86_400;
/// Longest answer of a push service: a sentence, of which nothing is read.
const MAX_ANSWER: usize = 16 << 10;
/// How long a push may take: less than whoever pushes waits, who would else give up before it is noted that a service
/// does not answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
const _: () = assert!(
    LOOK_UP_TIME.as_secs() + SENDING_TIME.as_secs() < PUSH_DEADLINE_S,
    "it must be noted who does not answer"
);
/// How long it may take in all networks of a host, with waiting for a turn in each.
const SENDING_TIME: Duration = WAITING_TIME.saturating_add(ANSWER_TIME);
/// For how long who says that it has enough is left alone, where it does not say for how long,
const BUSY_PAUSE_S: u64 = 60;
/// and a service that does not answer.
const UNREACHABLE_PAUSE_S: u64 = 10;
