//! What happened in a run, in words.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::clock::VirtualClock;

/// The event log of a run. It shows times since the start and no ciphertext, and so is the same byte for byte
/// whenever the same tape is played.
#[derive(Clone)]
pub(crate) struct Log {
    clock: VirtualClock,
    text: Arc<Mutex<String>>,
}

impl Log {
    pub(crate) fn new(clock: VirtualClock) -> Self {
        Self { clock, text: Arc::default() }
    }

    /// Adds a line.
    pub(crate) fn line(&self, what: impl fmt::Display) {
        let line = format!("{:>9} {what}\n", self.clock.elapsed_ms());
        self.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
    }

    /// The whole log.
    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
