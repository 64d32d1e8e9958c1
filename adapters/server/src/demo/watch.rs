//! A transport that remembers what went through it, for steps that look at single calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Fqdn,
    api::ServiceName,
    port::{Outgoing, Transport, TransportError},
};

/// A call, and what was answered.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) outgoing: Outgoing,
    pub(crate) answer: Result<Bytes, ErrorReply>,
}

/// Remembers the documents that were fetched, and, while asked to, calls that were answered.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    is_recording: bool,
    seen: Vec<Seen>,
    fetched: Vec<(Fqdn, ServiceName)>,
}

impl Log {
    /// Forgets what was seen, and remembers calls from now on.
    pub(crate) fn record(&self) {
        let mut entries = self.lock();
        entries.is_recording = true;
        entries.seen.clear();
    }

    /// Remembers no more; gives the calls of one endpoint since [`Log::record`], in the order of their answers.
    pub(crate) fn stop(&self, name: &str) -> Vec<Seen> {
        let mut entries = self.lock();
        entries.is_recording = false;
        let mut seen = std::mem::take(&mut entries.seen);
        seen.retain(|it| it.outgoing.name == name);
        seen
    }

    /// Whether the published document of a service was fetched.
    pub(crate) fn has_fetched(&self, domain: &Fqdn, service: ServiceName) -> bool {
        self.lock().fetched.iter().any(|(from, of)| from == domain && *of == service)
    }

    /// No entry is ever half written.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The transport, with its log.
pub(crate) struct Watched {
    inner: Arc<dyn Transport>,
    log: Log,
}

impl Watched {
    /// Watches a transport.
    pub(crate) fn new(inner: Arc<dyn Transport>, log: Log) -> Self {
        Self { inner, log }
    }
}

#[async_trait]
impl Transport for Watched {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let kept = self.log.lock().is_recording.then(|| outgoing.clone());
        let answered = self.inner.send(to, outgoing).await?;
        if let Some(outgoing) = kept {
            self.log.lock().seen.push(Seen { outgoing, answer: answered.clone() });
        }
        Ok(answered)
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        let document = self.inner.fetch(from, service).await?;
        self.log.lock().fetched.push((from.clone(), service));
        Ok(document)
    }
}
