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

    /// Plays up to a step, and sees `failing` fail for this reason, all before it hold, and none after it fail.
    async fn fails(self, (failing, until): (u8, u8), because: &str) {
        let (lines, code) = play(until, Arc::new(self)).await;
        assert_eq!(lines.len(), usize::from(until), "{lines:#?}");
        for line in &lines {
            let step = line["step"].as_u64().unwrap();
            let (failed, held) = (line.get("reason").is_some(), line["ok"] == true);
            assert_eq!(failed, step == u64::from(failing), "{line}");
            assert!(!failed || line["reason"].as_str().unwrap().contains(because), "{line}");
            assert!(held || step >= u64::from(failing), "{line}");
        }
        assert_eq!(code, ExitCode::FAILURE);
    }
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
        2_500
    }

    fn stretch(&self) -> Stretch {
        Stretch::least()
    }

    fn habits(&self) -> Habits {
        Habits { patience_ms: 500, first_wait_ms: 50, tries: 3, ..Habits::default() }
    }
}

impl Sabotaged {
    fn bend(&self, inner: Arc<dyn Transport>, breaker: &Arc<dyn TransportBreaker>) -> Arc<dyn Transport> {
        Arc::new(BentTransport { inner, switch: self.switch.clone(), breaker: breaker.clone() })
    }
}

/// Plays up to a step; gives the lines and the exit code.
async fn play(until: u8, parts: Arc<dyn Parts>) -> (Vec<Value>, ExitCode) {
    let printed = Printed::default();
    let any_port = "127.0.0.1:0".parse().unwrap();
    let options =
        Options { keep: false, seed: SEED, json: true, folder: None, alpha: any_port, beta: any_port, until };
    let mut report = Report::new(Format::Json, Box::new(printed.clone()));
    run(&options, parts, &mut report).await.unwrap();
    let printed = String::from_utf8(std::mem::take(&mut *printed.0.lock().unwrap())).unwrap();
    (printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), exit_code(&report))
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
