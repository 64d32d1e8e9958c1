//! What an operator may do with a running homeserver.

use std::sync::Arc;

use phoenix_core::Fqdn;

use crate::{homeserver::Inner, mailbox};

/// A handle on a running homeserver, for its operator.
#[derive(Clone)]
pub struct Admin {
    inner: Arc<Inner>,
}

impl Admin {
    pub(crate) const fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Tells another homeserver that this one is there again, so that it sends at once what it holds for this
    /// one, rather than at its next try. True where it answered.
    pub async fn greet(&self, domain: &Fqdn) -> bool {
        mailbox::greet(&self.inner, domain).await
    }
}
