//! Transports that do not do what they say.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Fqdn,
    api::ServiceName,
    port::{Outgoing, Transport, TransportError},
};

use super::Switch;

type Answer = Result<Result<Bytes, ErrorReply>, TransportError>;

/// Does something else with a call, or with the fetch of a document.
#[async_trait]
pub(super) trait TransportBreaker: Send + Sync + 'static {
    async fn send(
        &self,
        inner: &dyn Transport,
        (to, outgoing): (&Fqdn, Outgoing),
        _switch: &Switch,
    ) -> Answer {
        inner.send(to, outgoing).await
    }

    async fn fetch(
        &self,
        inner: &dyn Transport,
        from: &Fqdn,
        service: ServiceName,
    ) -> Result<Bytes, TransportError> {
        inner.fetch(from, service).await
    }
}

/// A transport with a breaker before it.
pub(super) struct BentTransport {
    pub(super) inner: Arc<dyn Transport>,
    pub(super) switch: Switch,
    pub(super) breaker: Arc<dyn TransportBreaker>,
}

#[async_trait]
impl Transport for BentTransport {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Answer {
        if self.switch.is_on() {
            self.breaker.send(self.inner.as_ref(), (to, outgoing), &self.switch).await
        } else {
            self.inner.send(to, outgoing).await
        }
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        if self.switch.is_on() {
            self.breaker.fetch(self.inner.as_ref(), from, service).await
        } else {
            self.inner.fetch(from, service).await
        }
    }
}

/// Changes the last byte of an endpoint's answers.
pub(super) struct Forges(pub(super) &'static str);

#[async_trait]
impl TransportBreaker for Forges {
    async fn send(&self, inner: &dyn Transport, (to, outgoing): (&Fqdn, Outgoing), _: &Switch) -> Answer {
        let is_it = outgoing.name == self.0;
        let answer = inner.send(to, outgoing).await?;
        Ok(answer.map(|reply| {
            let mut bytes = reply.to_vec();
            if let Some(last) = bytes.last_mut().filter(|_| is_it) {
                *last ^= 1;
            }
            bytes.into()
        }))
    }
}

/// Answers for an endpoint without asking it.
pub(super) struct Swallows(pub(super) &'static str);

#[async_trait]
impl TransportBreaker for Swallows {
    async fn send(&self, inner: &dyn Transport, (to, outgoing): (&Fqdn, Outgoing), _: &Switch) -> Answer {
        if outgoing.name == self.0 { Ok(Ok(Bytes::new())) } else { inner.send(to, outgoing).await }
    }
}

/// Sends every call to an endpoint twice.
pub(super) struct Repeats(pub(super) &'static str);

#[async_trait]
impl TransportBreaker for Repeats {
    async fn send(&self, inner: &dyn Transport, (to, outgoing): (&Fqdn, Outgoing), _: &Switch) -> Answer {
        if outgoing.name == self.0 {
            inner.send(to, outgoing.clone()).await?.ok();
        }
        inner.send(to, outgoing).await
    }
}

/// Changes nothing, but arms the switch when an endpoint is called.
pub(super) struct Notices(pub(super) &'static str);

#[async_trait]
impl TransportBreaker for Notices {
    async fn send(
        &self,
        inner: &dyn Transport,
        (to, outgoing): (&Fqdn, Outgoing),
        switch: &Switch,
    ) -> Answer {
        if outgoing.name == self.0 {
            switch.arm();
        }
        inner.send(to, outgoing).await
    }
}

/// Gives the keys of another service for those of the AS.
pub(super) struct Confuses;

#[async_trait]
impl TransportBreaker for Confuses {
    async fn fetch(
        &self,
        inner: &dyn Transport,
        from: &Fqdn,
        _: ServiceName,
    ) -> Result<Bytes, TransportError> {
        inner.fetch(from, ServiceName::Ds).await
    }
}
