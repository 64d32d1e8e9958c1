//! Homeservers that go on for months after everybody has left: what they let go of, and what they keep.

use std::{collections::BTreeMap, sync::Arc};

use phoenix_core::{
    Fqdn, Timestamp,
    port::Clock,
    store::MemoryStore,
    time::{DAY, MINUTE},
};

use super::{
    executor::{Executor, Stuck},
    ground::Ground,
    story::Photograph,
    tape::Tape,
    town::Scene,
};

/// Homeservers that nobody calls any more, while time passes. Whoever is not among them is out of reach.
pub struct Aging {
    began: Timestamp,
    executor: Executor,
    ground: Arc<Ground>,
}

impl Aging {
    /// The homeservers of a photograph, as they were then, but for those that are gone for ever.
    #[must_use]
    pub fn of(photograph: &Photograph, gone: &[Fqdn]) -> Self {
        let left = photograph.disks.iter().filter(|(domain, _)| !gone.contains(domain));
        let disks = left.map(|(domain, disk)| (domain.clone(), disk.fork()));
        let Scene { executor, ground } = Scene::new(photograph.at, disks, Tape::of_seed(1), None, None);
        Self { began: photograph.at, executor, ground }
    }

    /// Lets time pass until so many days after the photograph. The homeservers work for some minutes of every third day: what
    /// a process that never ends does at its time, one that was away does when it is back.
    ///
    /// # Errors
    /// [`Stuck`], where the world stands still.
    pub fn until_day(&mut self, days: u64) -> Result<(), Stuck> {
        let (ground, until) = (self.ground.clone(), self.began.plus_secs(days.saturating_mul(DAY)));
        self.executor.run(async move {
            while ground.clock.now() < until {
                ground.clock.sleep_until(until.min(ground.clock.now().plus_secs(STEP_S))).await;
                for domain in ground.domains() {
                    ground.start(&domain).await;
                }
                ground.clock.sleep_ms(AT_WORK_MS).await;
                for domain in ground.domains() {
                    let _ = ground.stop(&domain);
                }
            }
        })
    }

    /// What the homeservers hold.
    #[must_use]
    pub fn disks(&self) -> BTreeMap<Fqdn, MemoryStore> {
        self.ground.disks()
    }

    /// Days since the photograph.
    #[must_use]
    pub fn day(&self) -> u64 {
        self.ground.clock.now().millis_since(self.began) / (DAY * 1_000)
    }
}

impl std::fmt::Debug for Aging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Aging(day {})", self.day())
    }
}

/// How long the homeservers are away between two times at work.
const STEP_S: u64 = 3 * DAY;
/// How long they work then: several rounds of every worker.
const AT_WORK_MS: u64 = 2 * MINUTE * 1_000;
