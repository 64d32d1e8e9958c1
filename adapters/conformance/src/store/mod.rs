//! The exam of the [`Store`] port.
//!
//! An adapter implements [`Candidate`] for its store and puts one line into a test file:
//! `phoenix_conformance::store_exam!(fresh);`, with a function that makes a candidate. That makes one test of
//! every [`Case`], named after the clause that it examines, twice: plainly, and with faults injected between the
//! store and its caller. A store that cannot take a part of the exam says so in that line:
//! `store_exam!(fresh, excused: [s5])`, with names from [`EXCUSES`].

pub mod broken;
mod case;
mod checked;
mod exam;
mod faulty;
mod killed;
mod model;
mod sitting;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;
use phoenix_core::port::Store;

pub use checked::Checked;
pub use exam::{CASES, Case, Conditions, EXCUSES, sit};
pub use faulty::{Call, Faulty, Persistent, Plan, Strike, every_third};
pub use killed::{commit_until_killed, verify_after_kill};
pub use model::Model;
pub use sitting::Sitting;
pub use walk::walk;

/// A store that takes the exam: one value is one store of its own, empty to begin with.
#[async_trait]
pub trait Candidate: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// What a new process would open if the machine that runs this store were killed now; none where a store
    /// claims no durability, which must be excused by name.
    async fn revived(&self) -> Option<Arc<dyn Store>>;

    /// Another replica on the same state; none where a store has no replicas, which must be excused by name.
    async fn replica(&self) -> Option<Arc<dyn Store>>;
}

/// What a case found a store to break.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{case}: {what}")]
pub struct Violation {
    /// The name of the case, which begins with that of its clause.
    pub case: &'static str,
    /// What was expected, and not found.
    pub what: String,
}
