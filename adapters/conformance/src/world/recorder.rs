//! One valid call of each endpoint, with the world that it was valid in.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use phoenix_core::{
    Fqdn, Timestamp,
    api::ServiceName,
    port::{Clock, Outgoing},
    store::MemoryStore,
};

use super::{
    ground::Ground,
    keys::{self, Seeds, Signers},
};

/// Records the first call of each endpoint that succeeds. Clones record into the same place.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    calls: Arc<Mutex<BTreeMap<(ServiceName, &'static str), Recorded>>>,
    seeds: Seeds,
}

/// A call that succeeded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The homeserver that it was for.
    pub to: Fqdn,
    /// The call.
    pub outgoing: Outgoing,
    /// What was there before it.
    pub before: Before,
    /// Who signed it, where anybody did.
    pub signers: Option<Signers>,
}

/// A world, at the moment before a call.
#[derive(Clone, Debug)]
pub struct Before {
    /// The time.
    pub at: Timestamp,
    /// What each homeserver's store held.
    pub disks: BTreeMap<Fqdn, MemoryStore>,
}

impl Recorder {
    /// What was recorded, by service and endpoint.
    #[must_use]
    pub fn calls(&self) -> Vec<Recorded> {
        let mut calls: Vec<Recorded> = self.lock().values().cloned().collect();
        keys::find(&mut calls, &self.seeds);
        calls
    }

    /// Where the seeds that clients draw are kept.
    pub(crate) fn seeds(&self) -> Seeds {
        self.seeds.clone()
    }

    /// The world as it is, unless such a call was recorded already.
    pub(crate) fn before(&self, ground: &Ground, service: ServiceName, name: &'static str) -> Option<Before> {
        let known = self.lock().contains_key(&(service, name));
        (!known).then(|| Before { at: ground.clock.now(), disks: ground.disks() })
    }

    /// Records a call that succeeded.
    pub(crate) fn record(&self, before: Before, to: &Fqdn, outgoing: &Outgoing) {
        let recorded = Recorded { to: to.clone(), outgoing: outgoing.clone(), before, signers: None };
        self.lock().entry((outgoing.service, outgoing.name)).or_insert(recorded);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ServiceName, &'static str), Recorded>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
