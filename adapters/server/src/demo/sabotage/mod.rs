//! Breaks one part of the play for one step, and sees exactly that step fail.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod first_half;
mod second_half;
mod stores;
mod transports;

use std::{
    io::Write,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use phoenix_client::{Habits, Stretch};
use phoenix_core::port::{Store, Transport};
use serde_json::Value;

use self::{
    stores::{BentStore, StoreBreaker},
    transports::{BentTransport, TransportBreaker},
};
use super::{
    Options, exit_code,
    parts::{Parts, Side},
    report::{Format, Report},
    run,
    steps::Step,
};

/// On while the step that is to fail is played.
#[derive(Clone)]
struct Switch {
    step: u8,
    now: Arc<AtomicU8>,
    /// Something that has happened, for breakers that wait for it.
    armed: Arc<AtomicBool>,
}

impl Switch {
    fn is_on(&self) -> bool {
        self.now.load(Ordering::SeqCst) == self.step
    }

    fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    fn is_armed(&self) -> bool {
        self.armed.load(Ordering::SeqCst)
    }
}

/// The play's parts, with breakers where there are any.
struct Sabotaged {
    switch: Switch,
    store: Option<(Side, Arc<dyn StoreBreaker>)>,
    wire: Option<(Side, Arc<dyn TransportBreaker>)>,
    road: Option<Arc<dyn TransportBreaker>>,
}

impl Sabotaged {
    /// Nothing is broken, and what will be is so in this step.
    fn in_step(step: u8) -> Self {
        let switch = Switch { step, now: Arc::default(), armed: Arc::default() };
        Self { switch, store: None, wire: None, road: None }
    }

    fn store(mut self, of: Side, breaker: impl StoreBreaker) -> Self {
        self.store = Some((of, Arc::new(breaker)));
        self
    }

    fn wire(mut self, of: Side, breaker: impl TransportBreaker) -> Self {
        self.wire = Some((of, Arc::new(breaker)));
        self
    }

    fn road(mut self, breaker: impl TransportBreaker) -> Self {
        self.road = Some(Arc::new(breaker));
        self
    }

    /// Plays all steps, and sees exactly one print FAIL, for this reason, and those be skipped that need what it
    /// should have made; all others print ok.
    async fn fails(self, failing: usize, skipped: &[usize], because: &str) {
        let (lines, code) = play(Format::Text, Arc::new(self)).await;
        let steps = lines.get(..Step::ALL.len()).unwrap_or_default();
        let verdicts: Vec<&str> = steps.iter().map(|line| verdict(line)).collect();
        let expected: Vec<&str> = (1..=Step::ALL.len())
            .map(|step| match step {
                step if step == failing => "FAIL",
                step if skipped.contains(&step) => "skipped",
                _ => "ok",
            })
            .collect();
        assert_eq!(verdicts, expected, "{lines:#?}");
        for (step, line) in Step::ALL.into_iter().zip(steps) {
            assert!(line.starts_with(&format!("{:>2}. {}", step.number(), step.name())), "{line}");
        }
        let line = &steps[failing - 1];
        assert!(line.contains("... FAIL: ") && line.contains(because), "{line}");
        assert_eq!(code, ExitCode::FAILURE);
    }
}

/// How a step's line says that it ended.
fn verdict(line: &str) -> &str {
    let (_, end) = line.split_once(" ... ").unwrap_or_default();
    end.split(':').next().unwrap_or_default()
}

impl Parts for Sabotaged {
    fn store(&self, of: Side, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.store {
            Some((side, breaker)) if *side == of => {
                Arc::new(BentStore { inner: store, switch: self.switch.clone(), breaker: breaker.clone() })
            }
            _ => store,
        }
    }

    fn wire(&self, of: Side, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        match &self.wire {
            Some((side, breaker)) if *side == of => self.bend(transport, breaker),
            _ => transport,
        }
    }

    fn road(&self, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        match &self.road {
            Some(breaker) => self.bend(transport, breaker),
            None => transport,
        }
    }

    fn begin(&self, step: u8) {
        self.switch.now.store(step, Ordering::SeqCst);
    }

    fn patience_ms(&self) -> u64 {
        5_000
    }

    fn stretch(&self) -> Stretch {
        Stretch::least()
    }

    fn habits(&self) -> Habits {
        Habits { patience_ms: 1_000, first_wait_ms: 50, tries: 3, jitter_s: 0, ..Habits::default() }
    }
}

impl Sabotaged {
    fn bend(&self, inner: Arc<dyn Transport>, breaker: &Arc<dyn TransportBreaker>) -> Arc<dyn Transport> {
        Arc::new(BentTransport { inner, switch: self.switch.clone(), breaker: breaker.clone() })
    }
}

/// Plays all steps; gives the lines and the exit code.
async fn play(format: Format, parts: Arc<dyn Parts>) -> (Vec<String>, ExitCode) {
    let printed = Printed::default();
    let any_port = "127.0.0.1:0".parse().unwrap();
    let options = Options {
        keep: false,
        seed: SEED,
        json: format == Format::Json,
        folder: None,
        alpha: any_port,
        beta: any_port,
        gamma: any_port,
        until: 12,
    };
    let mut report = Report::new(format, Box::new(printed.clone()));
    run(&options, parts, &mut report).await.unwrap();
    let printed = String::from_utf8(std::mem::take(&mut *printed.0.lock().unwrap())).unwrap();
    (printed.lines().map(ToOwned::to_owned).collect(), exit_code(&report))
}

/// Plays, and sees every step hold.
async fn holds(parts: Sabotaged) {
    let (lines, code) = play(Format::Json, Arc::new(parts)).await;
    let read: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(read.len() == Step::ALL.len() && read.iter().all(|line| line["ok"] == true), "{lines:#?}");
    assert_eq!(code, ExitCode::SUCCESS);
}

/// What was printed.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const SEED: u64 = 11;
