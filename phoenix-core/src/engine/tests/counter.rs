//! The smallest service that shows everything the driver does: one counter.

use bytes::Bytes;

use crate::{
    Failure, Fault, Reject,
    api::{Description, Endpoint, SenderKind, ServiceName},
    limit::{Limit, Load, Loads},
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Delivery, Effort, Hint, Local, Next, OnAlarm,
        Operation, Peers, Proven, Reading, Rows, Service,
    },
    port::{Alarm, Space, Topic, Wanted, Write},
    token::Class,
    wire::{Sender, Wire},
};

pub(super) struct Counter;

impl Service for Counter {
    const NAME: ServiceName = ServiceName::As;
    const SPACE: Space = Space::As;
    type Keys = ();
    type Settings = ();

    fn on_alarm(_kind: u8) -> OnAlarm {
        OnAlarm::Tick
    }
}

macro_rules! endpoint {
    ($name:ident, $description:expr) => {
        endpoint!($name, $description, |_| Ok(Proven::anyone()));
    };
    ($name:ident, $description:expr, $authenticate:expr) => {
        pub(super) struct $name;

        impl Endpoint for $name {
            const DESCRIPTION: Description = $description;
            type Request = u64;
            type Reply = u64;
        }

        impl Operation for $name {
            type Endpoint = Self;
            type Service = Counter;
            type State = u64;
            type Sender = Anyone;
            const EFFORT: Effort = Effort::Heavy;

            fn locate(
                _: &Decoded<Self>,
                found: &Rows,
                _: &Context<Counter>,
            ) -> Result<Vec<Reading>, Failure> {
                Ok(if found.is_empty() {
                    vec![Reading::change(place(), Wanted::first(1))]
                } else {
                    Vec::new()
                })
            }

            fn open(_: &Decoded<Self>, found: Rows, _: &Context<Counter>) -> Result<u64, Failure> {
                let Some((_, count)) = found.rows(0)?.first() else { return Ok(0) };
                u64::decode(count).map_err(|_| Fault::Broken("the count").into())
            }

            fn authenticate(
                call: &Decoded<Self>,
                _: &u64,
                _: &Peers,
                _: &Context<Counter>,
            ) -> Result<Proven<Anyone>, Failure> {
                let authenticate: fn(&Decoded<Self>) -> Result<Proven<Anyone>, Failure> = $authenticate;
                authenticate(call)
            }

            fn subject(call: &Decoded<Self>, _: &u64, _: &Context<Counter>) -> Option<Bytes> {
                JUDGED.contains(call.request()).then(|| call.request().encode())
            }

            fn loads(_: &Decoded<Self>, _: &u64, _: &Anyone, _: &Context<Counter>) -> Loads {
                Loads::All(vec![Load::new(Limit::LeafMessages, "counter", 1)])
            }

            fn decide(
                count: u64,
                call: Authorised<Self>,
                _: &Peers,
                cx: &Context<Counter>,
            ) -> Result<Decision<u64>, Failure> {
                Self::decide_so(count, *call.request(), cx)
            }
        }
    };
}

endpoint!(Add, Description::new(0x0101, ServiceName::As, "add").costs(Class::Standard));
endpoint!(Await, Description::new(0x0102, ServiceName::As, "await").internal());
endpoint!(Ask, Description::new(0x0103, ServiceName::As, "ask").internal());
endpoint!(Tick, Description::new(0x0104, ServiceName::As, "tick").internal());
endpoint!(Sign, Description::new(0x0106, ServiceName::As, "sign").signed_by(SenderKind::NewKey), |call| {
    let frame = call.frame()?;
    let Sender::NewKey(key) = frame.sender() else { return Err(Reject::Unauthenticated.into()) };
    Ok(frame.prove_new_key(&key.clone(), Anyone)?)
});
endpoint!(Carry, Description::new(0x0105, ServiceName::As, "carry").internal());

impl Add {
    fn decide_so(count: u64, amount: u64, cx: &Context<Counter>) -> Result<Decision<u64>, Failure> {
        let added = count + amount;
        let alarm = Alarm::IfNone(cx.now.plus_secs(ALARM_S));
        let sent = |body: u64| Delivery {
            to: cx.domain.clone(),
            service: ServiceName::As,
            lane: Bytes::from_static(b"lane"),
            back: Bytes::new(),
            body: body.encode(),
        };
        let decision = Decision::reply(added).change(place(), vec![Write::Put(ROW, added.encode())], alarm);
        Ok(match amount {
            FORBIDDEN => return Err(Reject::Forbidden.into()),
            REFUSED_BUT_COUNTED => {
                Decision::new(Next::Refuse(Reject::RateLimited(7).into())).put(place(), ROW, added.encode())
            }
            SEND_ONE => decision.deliver(sent(1)),
            SEND_TWO => decision.deliver(sent(2)),
            SEND_UNWANTED => decision.deliver(sent(UNWANTED)),
            _ => decision.hint(Hint::Wake(topic())),
        })
    }
}

impl Await {
    fn decide_so(count: u64, at_least: u64, cx: &Context<Counter>) -> Result<Decision<u64>, Failure> {
        let until = cx.started.plus_secs(30);
        Ok(if count >= at_least || cx.now >= until {
            Decision::reply(count)
        } else {
            Decision::new(Next::Wait { on: topic(), until })
        })
    }
}

impl Ask {
    fn decide_so(_: u64, number: u64, _: &Context<Counter>) -> Result<Decision<u64>, Failure> {
        let square = Box::new(move || number * number);
        Ok(Decision::new(Next::After(square)).put(place(), ROW, number.encode()))
    }
}

impl Tick {
    fn decide_so(count: u64, _: u64, _: &Context<Counter>) -> Result<Decision<u64>, Failure> {
        let ticked = count + TICKED;
        Ok(Decision::reply(ticked).change(place(), vec![Write::Put(ROW, ticked.encode())], Alarm::Never))
    }
}

impl Sign {
    fn decide_so(count: u64, amount: u64, cx: &Context<Counter>) -> Result<Decision<u64>, Failure> {
        Add::decide_so(count, amount, cx)
    }
}

impl Carry {
    fn decide_so(_: u64, body: u64, _: &Context<Counter>) -> Result<Decision<u64>, Failure> {
        if body == UNWANTED {
            Err(Fault::Broken("nobody can carry this").into())
        } else {
            Ok(Decision::reply(body))
        }
    }
}

pub(super) fn place() -> Local {
    Local::new(1, b"counter")
}

fn topic() -> Topic {
    Topic(Bytes::from_static(b"counter"))
}

pub(super) const ROW: Bytes = Bytes::from_static(b"count");
pub(super) const FORBIDDEN: u64 = 403;
pub(super) const REFUSED_BUT_COUNTED: u64 = 429;
pub(super) const SEND_ONE: u64 = 1_001;
pub(super) const SEND_TWO: u64 = 1_002;
pub(super) const SEND_UNWANTED: u64 = 1_003;
const UNWANTED: u64 = 666;
/// What a policy must judge, since the result hinges on it.
pub(super) const JUDGED: [u64; 2] = [701, 702];
pub(super) const ALARM_S: u64 = 60;
pub(super) const TICKED: u64 = 10_000;
pub(super) const INTERFERED: u64 = 500;
