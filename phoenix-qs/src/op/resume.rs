//! `resume`: brings back into a mailbox what was put off, when its time has come.

use bytes::Bytes;
use phoenix_core::{
    Failure, Fault, Fqdn, Timestamp,
    api::{Description, Empty, Endpoint, ServiceName},
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Hint, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, RowKey, Wanted, Write},
    wire::Wire,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    kinds::{ABOVE_NUMBERS, RECORD, later, mailbox},
    record::{LaterKey, read_row, to_row},
    service::QueueService,
};

/// Appends to a mailbox what its destination put off until now. Run it when the alarm of a
/// [`LATER`](crate::LATER) partition rang.
///
/// Order holds though these come behind what was sent meanwhile: behind a delivery that it put off, the destination
/// puts off what follows (08).
pub struct Resume;

impl Endpoint for Resume {
    const DESCRIPTION: Description = Description::new(0x0225, ServiceName::Qs, "resume").internal();
    type Request = ResumeRequest;
    type Reply = Empty;
}

/// Which mailbox.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ResumeRequest {
    /// The key of its partition, without the kind.
    pub mailbox: [u8; 32],
}

/// What was put off, as far as it was read.
pub struct State {
    destination: Option<Fqdn>,
    /// Those whose time has come.
    due: Vec<(RowKey, Bytes)>,
    /// When the next of the others may be sent again; none where there are none.
    next: Option<Timestamp>,
}

impl Operation for Resume {
    type Endpoint = Self;
    type Service = QueueService;
    type State = State;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        _: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let key = &call.request().mailbox;
        let first = Wanted::Range { from: Bytes::new(), below: ABOVE_NUMBERS, limit: PAGE, bytes: MAX_BYTES };
        Ok(vec![
            Reading::change(later(key), first),
            // Written once.
            Reading::glance(later(key), Wanted::Keys(vec![RECORD])),
        ])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let destination = read_row(&found, 1, &RECORD)?;
        let (mut due, mut next) = (Vec::new(), None);
        for (row, sealed) in found.rows(0)? {
            let key = LaterKey::decode(row).map_err(|_| Fault::Broken("a row of what was put off"))?;
            let until = Timestamp(key.until);
            if cx.now < until {
                next = Some(until);
                break;
            }
            due.push((row.clone(), sealed.clone()));
        }
        if next.is_none() && found.place(0)?.more {
            next = Some(cx.now);
        }
        Ok(State { destination, due, next })
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        State { destination, due, next }: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        let key = call.request().mailbox;
        let mut decision = Decision::reply(Empty {});
        let (mut taken, mut moved) = (Vec::new(), Vec::new());
        for (row, sealed) in due {
            taken.push(Write::Delete(row));
            moved.push(Write::Append(sealed));
        }
        if !moved.is_empty() {
            let destination = destination.ok_or(Fault::Broken("what was put off has no destination"))?;
            // The mailbox may have been empty, and gone.
            moved.push(Write::Put(RECORD, to_row(&destination)));
            decision = decision.change(mailbox(&key), moved, Alarm::At(cx.now)).hint(Hint::Ring);
        }
        Ok(match next {
            Some(next) => decision.change(later(&key), taken, Alarm::At(next)),
            None => decision.change(later(&key), vec![Write::Drop], Alarm::Never),
        })
    }
}

/// Messages that are moved at a time: a few, since each may be large.
const PAGE: u32 = 16;
/// Bytes that are moved at a time, unless the first message alone is larger: half of what a batch may hold.
const MAX_BYTES: usize = 4 << 20;
