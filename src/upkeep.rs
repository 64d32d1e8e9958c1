//! A homeserver's keys over time: rotated, taken over from other replicas, told to its own services.

use futures::future::select;
use phoenix_core::{Failure, Fault, Timestamp, api::ServiceName, published::PublishedKeys, time::DAY};
use phoenix_qs::keys_topic;
use time::OffsetDateTime;

use crate::{Homeserver, homeserver::Rings};

impl Homeserver {
    /// Keeps the keys in force as they should be: rotates them, and takes over what another replica rotated; so too with
    /// the federation policy. From time to time, and where somebody named a key that is not known here; then at most once a second.
    pub(crate) async fn keep_keys(&self) {
        let ports = self.inner.shared.ports();
        let mut wanted = ports.wake.subscribe(&keys_topic(&self.inner.queue.ring().at_rest));
        let mut looked_at = ports.clock.now();
        loop {
            select(wanted.wakened(), ports.clock.sleep_until(looked_at.plus_secs(KEYS_EVERY_S))).await;
            looked_at = ports.clock.now();
            if let Err(error) = self.refresh_keys().await {
                tracing::error!(%error, "the keys could not be refreshed");
            }
            if let Err(error) = self.inner.federating.refresh(&self.inner.shared).await {
                tracing::error!(%error, "the federation policy could not be read again");
            }
            self.inner.shared.directory().remember().await;
            ports.clock.sleep_until(looked_at.plus_secs(KEYS_REST_S)).await;
        }
    }

    /// Takes over what another process changed, and rotates what is due.
    pub(crate) async fn refresh_keys(&self) -> Result<(), Fault> {
        let mut revision = self.inner.revision.lock().await;
        let begun_at = self.inner.shared.ports().clock.now();
        if let Some(keys) = self.inner.keys.refreshed(*revision, &self.inner.root).await? {
            let rings = Rings::from(keys);
            self.inner.auth.rotate(rings.auth);
            self.inner.queue.rotate(rings.queue);
            self.inner.delivery.rotate(rings.delivery);
            *revision = rings.revision;
            self.remind();
        }
        self.inner.queue.ring().service.seen(begun_at);
        self.tell_end();
        self.publish().await
    }

    /// Tells the operator in time of what only a root can do. With each start and each rotation of other keys, that is
    /// weekly at least.
    pub(crate) fn remind(&self) {
        let now = self.inner.shared.ports().clock.now();
        let ends = self.inner.auth.ring().service.ends();
        let left_days = ends.millis_since(now) / (DAY * 1_000);
        if now <= ends && left_days < REMIND_DAYS {
            tracing::warn!(
                left_days,
                "the authority ends on {}: run `authority rotate` with the root's key before, or `authority new-root` \
                 where nobody has one",
                day(ends)
            );
        }
    }

    /// Tells the operator, with each start and each look at the keys, where nothing that is signed now is valid.
    pub(crate) fn tell_end(&self) {
        let now = self.inner.shared.ports().clock.now();
        let ring = self.inner.auth.ring();
        if now > ring.service.ends() {
            tracing::error!(
                "the authority ended on {}, and clients and other homeservers trust nothing of this domain: run \
                 `authority rotate` with the root's key, or `authority new-root` where nobody has one",
                day(ring.service.ends())
            );
        } else if now < ring.service.begins() {
            tracing::error!(
                "the authority begins on {}, after what this machine's clock says: set the clock",
                day(ring.service.begins())
            );
        }
    }

    /// Tells the homeserver's own services each other's keys, and who was revoked by now. What an authority says that
    /// is not in force is not told: they go on with what they knew, which each use checks against the time.
    pub(crate) async fn publish(&self) -> Result<(), Fault> {
        let now = self.inner.shared.ports().clock.now();
        for service in ServiceName::ALL {
            if service == ServiceName::As && !self.inner.auth.ring().service.are_in_force(now) {
                continue;
            }
            let document = self.published(service).await.map_err(unpublished)?;
            let keys = PublishedKeys::decode(service, &document, self.domain(), now)
                .map_err(|_| Fault::Broken("the homeserver's own published keys"))?;
            self.inner.shared.directory().publish(service, keys);
        }
        Ok(())
    }
}

/// What kept the homeserver from publishing its keys.
fn unpublished(failure: Failure) -> Fault {
    match failure {
        Failure::Broken(fault) => fault,
        Failure::Refused(_) => Fault::Broken("the homeserver's own keys were refused"),
    }
}

/// The day (UTC) of a time.
fn day(at: Timestamp) -> String {
    let time = i64::try_from(at.as_secs()).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
    time.map_or_else(|| "a day out of reach".to_owned(), |time| time.date().to_string())
}

/// How long before its end the operator is told of it: a month before clients' new credentials, which last for ninety
/// days, would be cut short.
const REMIND_DAYS: u64 = 120;
/// How often the keys are looked at: another replica's rotation must be known well before a new key issues.
const KEYS_EVERY_S: u64 = 60;
/// Seconds between two looks at the keys, however often somebody names one that is not known.
const KEYS_REST_S: u64 = 1;
