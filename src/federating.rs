//! The operator's federation policy: kept sealed in the store, changed while the homeserver runs, and taken over by every
//! replica (08, "Policy").

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex as Locked, PoisonError},
};

use event_listener::Event;
use futures::{StreamExt, lock::Mutex, stream};
use phoenix_core::{
    Fault,
    crypto::{AtRestKey, Chance},
    engine::Shared,
    federation::{FederationPolicy, PolicyError},
    port::{Commit, Mark, Ports},
};
use zeroize::Zeroizing;

use crate::{AdminError, homeserver::Inner, mailbox::Mailboxes, own_row::OwnRow};

/// Where the policy is kept, and who waits for another.
pub(crate) struct Federating {
    /// Seals it: it tells whom the operator has to do with.
    key: AtRestKey,
    /// The revision in force. Whoever holds the lock looks for another, so that none is put in place of a newer one.
    revision: Mutex<Option<Mark>>,
    /// Mailboxes that it holds.
    held: Locked<BTreeSet<[u8; 32]>>,
    changed: Event,
}

impl Federating {
    /// Nothing is in force yet but the default; `root` is the key of the store's secrets.
    pub(crate) fn new(root: &AtRestKey) -> Self {
        let (revision, held, changed) = Default::default();
        Self { key: root.derive("federation"), revision, held, changed }
    }

    /// Puts into force what the store holds, where that is not in force yet.
    pub(crate) async fn refresh(&self, shared: &Shared) -> Result<(), Fault> {
        let mut revision = self.revision.lock().await;
        if POLICY.mark(shared.ports()).await? == *revision {
            return Ok(());
        }
        let (mark, policy) = self.stored(shared.ports()).await?;
        *revision = mark;
        self.put(shared, policy);
        Ok(())
    }

    /// Changes the policy that the store holds, and puts it into force.
    pub(crate) async fn change(
        &self,
        shared: &Shared,
        change: impl Fn(FederationPolicy) -> Result<FederationPolicy, PolicyError>,
    ) -> Result<(), AdminError> {
        let mut revision = self.revision.lock().await;
        for _ in 0..ATTEMPTS {
            let (base, policy) = self.stored(shared.ports()).await?;
            let policy = change(policy)?;
            if let Some(mark) = self.commit(shared.ports(), base, &policy).await? {
                *revision = Some(mark);
                self.put(shared, policy);
                return Ok(());
            }
            // Another replica's operator was faster: the change is made to what is there now.
        }
        Err(AdminError::Busy)
    }

    /// Remembers that the policy holds a mailbox. One that there is no room for is found within the minute.
    pub(crate) fn hold(&self, mailbox: [u8; 32]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() < MAX_HELD {
            held.insert(mailbox);
        }
    }

    fn put(&self, shared: &Shared, policy: FederationPolicy) {
        shared.put_federation(policy);
        self.changed.notify(usize::MAX);
    }

    async fn stored(&self, ports: &Ports) -> Result<(Option<Mark>, FederationPolicy), Fault> {
        let (mark, sealed) = POLICY.read(ports).await?;
        let policy = match sealed {
            Some(sealed) => FederationPolicy::decode(&self.key.open(POLICY.key, &sealed)?)?,
            None => FederationPolicy::default(),
        };
        Ok((mark, policy))
    }

    /// Writes a policy in place of the one that was read; `None` where that is not there any more.
    async fn commit(
        &self,
        ports: &Ports,
        base: Option<Mark>,
        policy: &FederationPolicy,
    ) -> Result<Option<Mark>, Fault> {
        let mut seed = Zeroizing::new([0; 32]);
        ports.entropy.fill(&mut *seed);
        let mut chance = Chance::from_seed(*seed);
        let mark = Mark(chance.bytes());
        let sealed = self.key.seal(POLICY.key, &policy.encode(), &mut chance);
        Ok(match POLICY.put(ports, base, (mark, sealed)).await? {
            Commit::Done => Some(mark),
            Commit::Conflict => None,
        })
    }
}

/// Looks at the mailboxes that the policy holds each time that it has changed, until it is dropped: what it holds no more
/// is sent at once.
pub(crate) async fn release(inner: &Inner, mailboxes: &Arc<Mailboxes>) {
    let federating = &inner.federating;
    loop {
        let changed = federating.changed.listen();
        let held = std::mem::take(&mut *federating.held.lock().unwrap_or_else(PoisonError::into_inner));
        let sent = stream::iter(held).map(|mailbox| mailboxes.send(mailbox));
        // What fails is found again by its alarm.
        sent.buffer_unordered(RELEASED_AT_ONCE).for_each(|_| std::future::ready(())).await;
        changed.await;
    }
}

/// The federation policy.
const POLICY: OwnRow = OwnRow { kind: &[3], key: b"policy" };
/// Replicas whose operators may change it at the same time.
const ATTEMPTS: usize = 8;
/// Mailboxes remembered as held: several for each of a thousand homeservers.
const MAX_HELD: usize = 16_384;
/// Mailboxes that are sent side by side when the policy lets them go.
const RELEASED_AT_ONCE: usize = 16;
