//! `dequeue` on a homeserver that idles, and on one of which four clients ask for batches without pause.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use phoenix_core::port::{Compute, Job, Saturated};
use phoenix_homeserver::Threads;

use crate::{median, quantile, town::Town};

pub(crate) fn measure() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(compared());
}

async fn compared() {
    let counted = Arc::new(AtomicUsize::new(0));
    let compute = Counted { threads: Threads::new().unwrap(), count: counted.clone() };
    let town = Arc::new(Town::new(compute).await);
    let idle = dequeues(&town).await;
    let (jobs, issued, over) =
        (counted.load(Ordering::Relaxed), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let issuers: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (town, issued, over) = (town.clone(), issued.clone(), over.clone());
            let mut batches = town.batches(client * BATCHES..(client + 1) * BATCHES).into_iter();
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    town.issue(batches.next().unwrap()).await;
                    issued.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let began = Instant::now();
    let busy = dequeues(&town).await;
    let (seconds, issued) = (began.elapsed().as_secs_f64(), issued.load(Ordering::Relaxed));
    over.store(true, Ordering::Relaxed);
    for issuer in issuers {
        issuer.await.unwrap();
    }
    println!(
        "dequeue, idle:                        median {:>8.1}  99 % {:>8.1}",
        median(idle.clone()),
        quantile(idle, 0.99)
    );
    println!(
        "dequeue, while 4 clients issue:       median {:>8.1}  99 % {:>8.1}",
        median(busy.clone()),
        quantile(busy, 0.99)
    );
    println!(
        "meanwhile {issued} batches of 100 in {seconds:.1} s; {} computations, several a batch, ran off the executor's 2 threads",
        counted.load(Ordering::Relaxed) - jobs
    );
}

/// How long each of some calls took, one every few milliseconds.
async fn dequeues(town: &Arc<Town>) -> Vec<Duration> {
    let town = town.clone();
    // On a thread of the executor, as a call that came in.
    let calls = tokio::spawn(async move {
        let mut taken = Vec::new();
        for _ in 0..DEQUEUES {
            tokio::time::sleep(Duration::from_millis(3)).await;
            let began = Instant::now();
            town.dequeue().await;
            taken.push(began.elapsed());
        }
        taken
    });
    calls.await.unwrap()
}

/// The default threads, counting what they are given.
struct Counted {
    threads: Threads,
    count: Arc<AtomicUsize>,
}

impl Compute for Counted {
    fn submit(&self, job: Job) -> Result<(), Saturated> {
        self.threads.submit(job).inspect(|()| {
            self.count.fetch_add(1, Ordering::Relaxed);
        })
    }
}

const CLIENTS: usize = 4;
/// More than are issued in the time.
const BATCHES: usize = 1_500;
const DEQUEUES: usize = 1_000;
