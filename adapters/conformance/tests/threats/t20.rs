//! T20, what needs no sockets: calls to the delivery service whose lengths lie, signed by who may sign them, so that
//! nothing but decoding stands in their way. Counted is what they ask of the store; nothing is timed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use phoenix_conformance::{
    store::{Call as StoreCall, Strike},
    world::{Arena, Tape, recorded},
};
use phoenix_core::{
    ErrorCode,
    api::ServiceName,
    wire::{Call, Opaque},
};

#[test]
fn t20_a_length_that_lies_anywhere_in_a_call_to_the_delivery_service_buys_no_more_than_the_call() {
    let (mut lies, mut most) = (0, 0);
    let of_groups = recorded().into_iter().filter(|it| it.outgoing.service == ServiceName::Ds);
    for (number, recorded) in of_groups.enumerate() {
        let name = recorded.outgoing.name;
        let (counted, tape) = (Counted::default(), Tape::of_seed(200 + number as u64));
        let mut arena = Arena::of(&recorded, 1, &tape, counted.clone().plan()).unwrap();
        let honest = {
            counted.take();
            let answers = arena.give(vec![recorded.outgoing.call.clone()]).unwrap();
            assert!(answers[0].is_ok(), "{name}: {answers:?}");
            arena.rewind();
            counted.take()
        };
        let body = recorded.outgoing.call.body.as_slice();
        for place in places(body.len(), &tape) {
            for lie in LIES {
                let mut body = body.to_vec();
                let end = body.len().min(place + lie.len());
                body[place..end].copy_from_slice(&lie[..end - place]);
                let call = Call { body: Opaque::new(body).unwrap(), ..recorded.outgoing.call.clone() };
                let answer = arena.give(vec![arena.signed(call)]).unwrap().remove(0);
                let work = counted.take();
                // It may be no length, and the call another that is right.
                let code = answer.map(drop).map_err(|error| error.code);
                assert_ne!(code, Err(ErrorCode::Internal), "{name}, byte {place}");
                assert_ne!(code, Err(ErrorCode::Unavailable), "{name}, byte {place}");
                assert!(
                    work <= honest,
                    "{name}, byte {place}: {work} calls of the store, {honest} for an honest one"
                );
                (lies, most) = (lies + 1, most.max(work));
                arena.rewind();
            }
        }
    }
    println!("{lies} lies, each for at most {most} calls of the store");
    assert!(lies > 5_000);
}

/// Places in a body: all of its head and of its end, where most lengths stand, and some between.
fn places(length: usize, tape: &Tape) -> Vec<usize> {
    let mut places: Vec<_> =
        (0..length.min(EACH_END)).chain(length.saturating_sub(EACH_END)..length).collect();
    if length > 2 * EACH_END {
        places.extend((0..BETWEEN).map(|_| EACH_END + tape.below(length - 2 * EACH_END)));
    }
    places
}

/// Counts calls of the store.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }

    fn plan(self) -> impl Fn(u64, StoreCall<'_>) -> Strike + Clone + Send + Sync + 'static {
        move |_, _| {
            self.0.fetch_add(1, Ordering::Relaxed);
            Strike::Spare
        }
    }
}

/// Lengths of a gigabyte, of 64 KiB less one, not minimal, and of a kind that there is not (RFC 9420 §2.1.2).
const LIES: [&[u8]; 5] =
    [&[0xbf, 0xff, 0xff, 0xff], &[0x80, 0x00, 0xff, 0xff], &[0x7f, 0xff], &[0x40, 0x01], &[0xff]];
const EACH_END: usize = 120;
const BETWEEN: usize = 120;
