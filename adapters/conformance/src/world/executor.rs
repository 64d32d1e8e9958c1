//! One thread that runs everything, in an order that the tape chooses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use super::{clock::VirtualClock, tape::Tape};

/// Whose a task is: all tasks of one process end together when it crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub u64);

/// Runs tasks one at a time. Which of those that are ready runs next is read from the tape; time passes only
/// when none is.
pub struct Executor {
    clock: VirtualClock,
    tape: Tape,
    spawner: Spawner,
    tasks: BTreeMap<u64, Task>,
    steps: u64,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    process: Process,
    work: Work,
    waker: Waker,
}

/// Starts tasks, from anywhere.
#[derive(Clone, Default)]
pub struct Spawner {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    count: u64,
    processes: u64,
    arriving: Vec<(u64, Process, Work)>,
    ready: BTreeSet<u64>,
    doomed: BTreeSet<Process>,
    fuses: BTreeMap<Process, Fuse>,
}

/// Polls of a process that are left, and what happens after them.
struct Fuse {
    polls: u32,
    then: Box<dyn FnOnce() + Send>,
}

/// Nothing was left to do, and nobody waits for any time: what was waited for never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck;

impl Executor {
    /// An executor without tasks.
    #[must_use]
    pub fn new(clock: VirtualClock, tape: Tape) -> Self {
        Self { clock, tape, spawner: Spawner::default(), tasks: BTreeMap::new(), steps: 0 }
    }

    /// How many steps of tasks were run.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// A handle that starts tasks.
    #[must_use]
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Runs everything until this is done.
    ///
    /// # Errors
    /// [`Stuck`], where it can never be done.
    pub fn run<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Stuck> {
        let result = Arc::new(Mutex::new(None));
        let slot = result.clone();
        let main = self.spawner.process();
        self.spawner.spawn(main, async move {
            let done = work.await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        });
        loop {
            if let Some(done) = result.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Ok(done);
            }
            if !self.step() && !self.clock.advance() {
                return Err(Stuck);
            }
        }
    }

    /// Polls one task that is ready. False where none is.
    fn step(&mut self) -> bool {
        self.bury();
        let Some(number) = self.next() else { return false };
        let Some(task) = self.tasks.get_mut(&number) else { return true };
        let process = task.process;
        self.steps = self.steps.saturating_add(1);
        let mut cx = Context::from_waker(&task.waker);
        if task.work.as_mut().poll(&mut cx) == Poll::Ready(()) {
            self.tasks.remove(&number);
        }
        self.spawner.burn(process);
        self.bury();
        true
    }

    /// Takes in what arrived, and chooses among what is ready.
    fn next(&mut self) -> Option<u64> {
        let arriving = std::mem::take(&mut self.spawner.lock().arriving);
        for (number, process, work) in arriving {
            let waker = Waker::from(Arc::new(Bell { number, spawner: self.spawner.clone() }));
            self.tasks.insert(number, Task { process, work, waker });
        }
        let mut state = self.spawner.lock();
        let chosen = match state.ready.len() {
            0 => return None,
            1 => 0,
            several => self.tape.below(several),
        };
        let number = state.ready.iter().nth(chosen).copied()?;
        state.ready.remove(&number);
        Some(number)
    }

    /// Drops all tasks of processes that ended.
    fn bury(&mut self) {
        loop {
            let doomed = std::mem::take(&mut self.spawner.lock().doomed);
            if doomed.is_empty() {
                return;
            }
            let arriving = std::mem::take(&mut self.spawner.lock().arriving);
            let (dropped, kept): (Vec<_>, Vec<_>) =
                arriving.into_iter().partition(|(_, process, _)| doomed.contains(process));
            self.spawner.lock().arriving.extend(kept);
            drop(dropped);
            self.tasks.retain(|_, task| !doomed.contains(&task.process));
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl Spawner {
    /// A process of its own.
    #[must_use]
    pub fn process(&self) -> Process {
        let mut state = self.lock();
        state.processes = state.processes.saturating_add(1);
        Process(state.processes)
    }

    /// Starts a task of a process.
    pub fn spawn(&self, process: Process, work: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        state.count = state.count.saturating_add(1);
        let number = state.count;
        state.arriving.push((number, process, Box::pin(work)));
        state.ready.insert(number);
    }

    /// Ends a process: none of its tasks is polled again.
    pub fn kill(&self, process: Process) {
        let mut state = self.lock();
        state.doomed.insert(process);
        let fuse = state.fuses.remove(&process);
        drop(state);
        drop(fuse);
    }

    /// Does something after so many further polls of a process's tasks, unless it is killed before.
    pub fn light(&self, process: Process, polls: u32, then: impl FnOnce() + Send + 'static) {
        let former = self.lock().fuses.insert(process, Fuse { polls, then: Box::new(then) });
        drop(former);
    }

    /// A task of a process was polled.
    fn burn(&self, process: Process) {
        let mut state = self.lock();
        match state.fuses.get_mut(&process) {
            Some(Fuse { polls: polls @ 1.., .. }) => *polls = polls.saturating_sub(1),
            Some(_) => {
                let burnt = state.fuses.remove(&process);
                drop(state);
                if let Some(Fuse { then, .. }) = burnt {
                    then();
                }
            }
            None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spawner")
    }
}

struct Bell {
    number: u64,
    spawner: Spawner,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.spawner.lock().ready.insert(self.number);
    }
}

/// Lets others run first.
pub async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use phoenix_core::Timestamp;

    use super::{Executor, Stuck, pause};
    use crate::world::{clock::VirtualClock, tape::Tape};

    #[test]
    fn time_passes_only_when_nothing_else_can_be_done() {
        let clock = VirtualClock::starting_at(Timestamp(1_000));
        let mut executor = Executor::new(clock.clone(), Tape::of_seed(1));
        let sleeper = clock.clone();

        let slept = executor.run(async move {
            for _ in 0..100 {
                pause().await;
            }
            let before = sleeper.elapsed_ms();
            sleeper.sleep_ms(60_000).await;
            (before, sleeper.elapsed_ms())
        });

        assert_eq!(slept, Ok((0, 60_000)));
    }

    #[test]
    fn what_never_comes_is_noticed() {
        let mut executor = Executor::new(VirtualClock::starting_at(Timestamp(0)), Tape::of_seed(1));

        assert_eq!(executor.run(std::future::pending::<()>()), Err(Stuck));
    }

    #[test]
    fn a_process_that_is_killed_does_nothing_more() {
        let clock = VirtualClock::starting_at(Timestamp(0));
        let mut executor = Executor::new(clock.clone(), Tape::of_seed(1));
        let (spawner, steps) = (executor.spawner(), Arc::new(AtomicU64::new(0)));
        let (process, count, ticking) = (spawner.process(), steps.clone(), clock.clone());
        spawner.spawn(process, async move {
            loop {
                count.fetch_add(1, Ordering::Relaxed);
                ticking.sleep_ms(1_000).await;
            }
        });

        let killed = executor.run(async move {
            clock.sleep_ms(2_500).await;
            spawner.kill(process);
            clock.sleep_ms(10_000).await;
        });

        assert_eq!(killed, Ok(()));
        assert_eq!(steps.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_fuse_burns_with_the_polls_of_its_process_alone() {
        let mut executor = Executor::new(VirtualClock::starting_at(Timestamp(0)), Tape::of_seed(1));
        let (spawner, steps) = (executor.spawner(), Arc::new(AtomicU64::new(0)));
        let (process, count, killer) = (spawner.process(), steps.clone(), executor.spawner());
        spawner.light(process, 3, move || killer.kill(process));
        spawner.spawn(process, async move {
            loop {
                count.fetch_add(1, Ordering::Relaxed);
                pause().await;
            }
        });

        let others = executor.run(async {
            for _ in 0..100 {
                pause().await;
            }
        });

        assert_eq!(others, Ok(()));
        assert_eq!(steps.load(Ordering::Relaxed), 4);
    }
}
