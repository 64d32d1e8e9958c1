//! Published documents, kept for a moment: making one signs and encodes lists that may be long, and anyone may ask.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
use phoenix_core::{Timestamp, api::ServiceName};

/// The latest document of each service.
#[derive(Default)]
pub(crate) struct Documents(Mutex<BTreeMap<ServiceName, Kept>>);

struct Kept {
    document: Bytes,
    at: Timestamp,
    ring: Ring,
}

/// Which keys a document is of. It does not keep them.
pub(crate) type Ring = Weak<dyn Any + Send + Sync>;

impl Documents {
    /// A service's document, where one of these keys was made moments ago.
    pub(crate) fn find(&self, service: ServiceName, ring: &Ring, now: Timestamp) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = |it: &&Kept| it.ring.ptr_eq(ring) && it.at <= now && now < it.at.plus_secs(KEPT_S);
        kept.get(&service).filter(is_current).map(|it| it.document.clone())
    }

    /// Keeps a document in place of the last.
    pub(crate) fn keep(&self, service: ServiceName, ring: Ring, now: Timestamp, document: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(service, Kept { document, at: now, ring });
    }
}

/// Names the keys that a document is of.
pub(crate) fn ring<K: Send + Sync + 'static>(keys: Arc<K>) -> Ring {
    let keys: Arc<dyn Any + Send + Sync> = keys;
    Arc::downgrade(&keys)
}

/// How long a document is kept, in seconds: others may keep it for at least a minute anyway (08).
const KEPT_S: u64 = 5;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use phoenix_core::{
        Timestamp,
        api::ServiceName::{As, Qs},
    };

    use super::{Documents, ring};

    #[test]
    fn a_document_is_kept_for_moments_and_not_beyond_its_keys() {
        let (keys, others) = (Arc::new(1), Arc::new(1));
        let (of_keys, of_others) = (ring(keys.clone()), ring(others.clone()));
        let (documents, at) = (Documents::default(), Timestamp::from_secs);

        documents.keep(As, of_keys.clone(), at(100), Bytes::from_static(b"keys"));

        assert_eq!(documents.find(As, &of_keys, at(104)).as_deref(), Some(b"keys".as_slice()));
        for (service, ring, now) in
            [(As, &of_keys, 105), (As, &of_keys, 99), (As, &of_others, 100), (Qs, &of_keys, 100)]
        {
            assert_eq!(documents.find(service, ring, at(now)), None, "{service:?} at {now}");
        }
        assert_eq!(Arc::strong_count(&keys), 1, "secrets that are no longer in force are wiped");
    }
}
