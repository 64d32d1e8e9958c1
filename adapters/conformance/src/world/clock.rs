//! Time that passes only when nothing else happens.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use phoenix_core::{Timestamp, port::Clock};

/// A clock that stands still until it is told to jump to the next time that somebody waits for. Clones are one
/// clock.
#[derive(Clone)]
pub struct VirtualClock {
    state: Arc<Mutex<State>>,
}

struct State {
    started: Timestamp,
    now: Timestamp,
    sleepers: u64,
    timers: BTreeMap<(Timestamp, u64), Waker>,
}

impl VirtualClock {
    /// A clock that stands at this time.
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        let state = State { started: now, now, sleepers: 0, timers: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Milliseconds since the clock was started.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        let state = self.lock();
        state.now.millis_since(state.started)
    }

    /// Jumps to the next time that somebody waits for, and wakes who waits for it. False where nobody waits.
    #[must_use]
    pub fn advance(&self) -> bool {
        let next = self.lock().timers.first_key_value().map(|(&(at, _), _)| at);
        let Some(at) = next else { return false };
        self.jump_to(at);
        true
    }

    /// Jumps over so many milliseconds, in which nothing happens: who waited for a time within them wakes after them.
    /// For months of which each second would be played.
    pub fn leap_ms(&self, millis: u64) {
        self.jump_to(self.now().plus_millis(millis));
    }

    /// Goes back by so many milliseconds, as a clock does that was wrong and is set.
    pub fn set_back_ms(&self, millis: u64) {
        let mut state = self.lock();
        state.now = Timestamp(state.now.0.saturating_sub(millis));
    }

    fn jump_to(&self, at: Timestamp) {
        let mut state = self.lock();
        state.now = state.now.max(at);
        let later = state.timers.split_off(&(Timestamp(at.0.saturating_add(1)), 0));
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
    }

    /// Waits for so many milliseconds.
    pub async fn sleep_ms(&self, millis: u64) {
        self.sleep_until(self.now().plus_millis(millis)).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    async fn sleep_until(&self, at: Timestamp) {
        let number = {
            let mut state = self.lock();
            state.sleepers = state.sleepers.saturating_add(1);
            state.sleepers
        };
        Sleep { clock: self, key: (at, number) }.await;
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtualClock({} ms)", self.elapsed_ms())
    }
}

struct Sleep<'a> {
    clock: &'a VirtualClock,
    key: (Timestamp, u64),
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.lock();
        if state.now >= self.key.0 {
            return Poll::Ready(());
        }
        state.timers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.clock.lock().timers.remove(&self.key);
    }
}
