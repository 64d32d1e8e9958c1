//! What is logged of one call is found together, and names nobody (09).

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use futures::executor::block_on;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use super::{counter::Add, world::World};
use crate::{
    ErrorCode, Origin,
    api::Endpoint,
    engine::bind,
    token::Class,
    wire::{Call, Opaque, VERSION, Wire},
};

#[test]
fn what_a_call_logs_stands_under_its_random_number() {
    // With a number, and without: one of the homeserver's own has none.
    for (request, span) in [(0xabc, "call request=0000000000000abc|"), (0, "")] {
        let world = World::failing(0, true);
        let body = Opaque::new(1_u64.encode()).unwrap();
        let token = Some(world.token(Class::Standard));
        let call = Call { version: VERSION, endpoint: Add::DESCRIPTION.id, auth: None, token, body };
        let (said, origin) = (Said::default(), Origin { request, address: Some([192, 0, 2, 1].into()) });

        let answer = tracing::subscriber::with_default(said.clone(), || {
            block_on(bind::<Add>(&world.engine).handle(call, origin))
        });

        assert!([ErrorCode::Internal, ErrorCode::Unavailable].contains(&answer.unwrap_err().code));
        let log = said.0.lock().unwrap();
        assert_eq!(log.lines.len(), 1, "{:?}", log.lines);
        let (begins, line) = log.lines[0].split_at(span.len());
        assert_eq!(begins, span);
        assert!(line.contains("a call failed") && !line.contains("192.0.2.1"), "{line}");
    }
}

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    spans: Vec<String>,
    entered: Vec<u64>,
    /// All errors, each behind the spans that it stands in.
    lines: Vec<String>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Said {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(span.metadata().name().to_owned());
        span.record(&mut line);
        let mut log = self.0.lock().unwrap();
        log.spans.push(line.0);
        Id::from_u64(log.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut log = self.0.lock().unwrap();
        let spans = log.entered.iter().map(|id| format!("{}|", log.spans[*id as usize - 1]));
        let mut line = Line(spans.collect());
        event.record(&mut line);
        log.lines.push(line.0);
    }

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }
}
