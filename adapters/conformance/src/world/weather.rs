//! Which faults there are in a run, and which struck.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use phoenix_core::Fqdn;

use super::tape::Tape;

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A request never arrives.
    RequestLost,
    /// An answer never arrives: the caller does not know what became of its request.
    AnswerLost,
    /// A request or an answer takes seconds.
    Delayed,
    /// A request arrives twice.
    Duplicated,
    /// A request arrives after one that was sent later.
    Reordered,
    /// Two homeservers do not reach each other.
    Partitioned,
    /// A homeserver's process ends at a call to its store, and comes up again later.
    Crashed,
    /// A homeserver's process ends between any two steps of its tasks: at any await, and not at its store alone.
    Killed,
    /// The store takes milliseconds, in which others go on.
    StoreSlow,
    /// The store fails before it does anything.
    StoreFailed,
    /// The store does its work, and its answer is lost.
    StoreAnswerLost,
}

impl Fault {
    /// All classes.
    pub const ALL: [Self; 11] = [
        Self::RequestLost,
        Self::AnswerLost,
        Self::Delayed,
        Self::Duplicated,
        Self::Reordered,
        Self::Partitioned,
        Self::Crashed,
        Self::Killed,
        Self::StoreSlow,
        Self::StoreFailed,
        Self::StoreAnswerLost,
    ];
}

/// How often faults struck, by their class.
pub type Struck = BTreeMap<Fault, u64>;

/// The faults of one run.
pub(crate) struct Weather {
    tape: Tape,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    on: BTreeSet<Fault>,
    struck: Struck,
    /// From whom to whom nothing passes.
    cuts: BTreeSet<(Fqdn, Fqdn)>,
}

impl Weather {
    /// No faults.
    pub(crate) fn calm(tape: Tape) -> Self {
        Self { tape, state: Mutex::default() }
    }

    /// Chooses the classes that this run has: each or not, since a run with everything on explores less.
    pub(crate) fn brew(&self) {
        self.brew_of(&Fault::ALL);
    }

    /// The same of these classes alone.
    pub(crate) fn brew_of(&self, faults: &[Fault]) {
        let on = faults.iter().copied().filter(|_| self.tape.strikes(500)).collect();
        self.lock().on = on;
    }

    /// Ends all faults; what is cut stays so.
    pub(crate) fn calm_but_cuts(&self) {
        self.lock().on.clear();
    }

    /// Ends all faults and cuts; what struck stays counted.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.on.clear();
        state.cuts.clear();
    }

    /// Whether the run has faults of this class.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.lock().on.contains(&fault)
    }

    /// Whether a fault strikes now, in a run that has its class; it is counted then.
    pub(crate) fn strikes(&self, fault: Fault, per_mille: u16) -> bool {
        let strikes = self.has(fault) && self.tape.strikes(per_mille);
        if strikes {
            self.count(fault);
        }
        strikes
    }

    /// Counts a fault that struck.
    pub(crate) fn count(&self, fault: Fault) {
        let mut state = self.lock();
        let count = state.struck.entry(fault).or_default();
        *count = count.saturating_add(1);
    }

    /// What struck until now.
    pub(crate) fn struck(&self) -> Struck {
        self.lock().struck.clone()
    }

    /// Cuts two homeservers off from each other.
    pub(crate) fn cut(&self, one: &Fqdn, other: &Fqdn) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Lets nothing that one sends to another arrive.
    pub(crate) fn cut_one_way(&self, from: &Fqdn, to: &Fqdn) {
        self.lock().cuts.insert((from.clone(), to.clone()));
    }

    /// Lets it arrive again. False where it did before.
    pub(crate) fn mend_one_way(&self, from: &Fqdn, to: &Fqdn) -> bool {
        self.lock().cuts.remove(&(from.clone(), to.clone()))
    }

    /// Mends what was cut.
    pub(crate) fn mend(&self, one: &Fqdn, other: &Fqdn) -> bool {
        let (forth, back) = (self.mend_one_way(one, other), self.mend_one_way(other, one));
        forth || back
    }

    /// Whether nothing that one sends to another arrives.
    pub(crate) fn is_cut(&self, from: &Fqdn, to: &Fqdn) -> bool {
        self.lock().cuts.contains(&(from.clone(), to.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.lock().on).finish()
    }
}
