//! The memory that callers may take (02, "HTTP binding"; 10, T20).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::address::source_prefix;

/// So many bytes for all requests and replies together, and so many for those of one source.
pub(super) struct Memory {
    taken: Mutex<Taken>,
    limit: usize,
    limit_per_source: usize,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// There is not enough left, for anybody or for this source.
pub(super) struct Full;

/// The memory that a call is charged for, given back when dropped.
pub(super) struct Charge {
    memory: Arc<Memory>,
    source: Option<IpAddr>,
    bytes: usize,
}

impl Memory {
    /// All of it is free.
    pub(super) fn new(limit: usize, limit_per_source: usize) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), limit, limit_per_source })
    }

    /// Takes so many bytes for a caller at this address; one whose address is unknown is bounded with all others
    /// only.
    pub(super) fn charge(self: &Arc<Self>, address: Option<IpAddr>, bytes: usize) -> Result<Charge, Full> {
        let mut charge = Charge { memory: Arc::clone(self), source: address.map(source_prefix), bytes: 0 };
        charge.grow(bytes)?;
        Ok(charge)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charge {
    /// Takes so many bytes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let mut taken = self.memory.taken();
        let all = taken.all.checked_add(bytes).filter(|all| *all <= self.memory.limit).ok_or(Full)?;
        if let Some(source) = self.source {
            let own = taken.by_source.get(&source).copied().unwrap_or_default();
            let own =
                own.checked_add(bytes).filter(|own| *own <= self.memory.limit_per_source).ok_or(Full)?;
            taken.by_source.insert(source, own);
        }
        taken.all = all;
        drop(taken);
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Takes or gives back what makes it so many bytes.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Full> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more),
            None => {
                self.shrink(self.bytes.saturating_sub(bytes));
                Ok(())
            }
        }
    }

    /// The bytes, which hold the charge until nobody has a part of them any more: until they are sent, that is.
    pub(super) fn with(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Charged { bytes, _charge: self })
    }

    fn shrink(&mut self, bytes: usize) {
        let mut taken = self.memory.taken();
        taken.all = taken.all.saturating_sub(bytes);
        if let Some(source) = self.source
            && let Some(own) = taken.by_source.get_mut(&source)
        {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                taken.by_source.remove(&source);
            }
        }
        drop(taken);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

struct Charged {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::IpAddr;

    use bytes::Bytes;

    use super::Memory;

    #[test]
    fn a_charge_lasts_as_long_as_any_of_its_bytes() {
        let memory = Memory::new(100, 100);
        let bytes = memory.charge(None, 60).ok().unwrap().with(Bytes::from_static(b"a reply"));
        let part = bytes.slice(2..);
        drop(bytes);

        assert!(memory.charge(None, 41).is_err());
        drop(part);
        assert!(memory.charge(None, 100).is_ok());
    }

    #[test]
    fn one_source_leaves_memory_to_the_others() {
        let memory = Memory::new(100, 40);
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let mut first = memory.charge(address("2606:4700:1:2::1"), 30).ok().unwrap();

        assert!(memory.charge(address("2606:4700:1:2::2"), 11).is_err());
        assert!(first.grow(11).is_err());
        let other = memory.charge(address("2606:4700:1:3::1"), 40).ok().unwrap();
        let unknown = memory.charge(None, 30).ok().unwrap();
        assert!(memory.charge(None, 1).is_err());

        drop((other, unknown));
        assert!(first.resize(40).is_ok() && first.resize(5).is_ok());
        drop(first);
        assert!(memory.taken().by_source.is_empty());
        assert_eq!(memory.taken().all, 0);
    }
}
