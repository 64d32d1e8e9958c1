//! `visit`: someone comes with a DPoP token (05), who is a federated account from then on.
//!
//! The proof that they came with is the call's fare, so it is spent in the batch that marks the visit.

use phoenix_core::{
    Failure, UserId,
    api::{Description, Endpoint, ServiceName},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::{DAY, Month},
    wire::Flag,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{AuthService, kinds, record};

/// Marks a visit, or only looks. Answers whether there was an account before.
pub struct Visit;

/// Whose account.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct VisitRequest {
    /// The user, of whatever domain.
    pub user: UserId,
    /// Whether the user is there; else the account is only looked at.
    pub comes: Flag,
}

impl Endpoint for Visit {
    const DESCRIPTION: Description = Description::new(0x01f2, ServiceName::As, "visit").internal();
    type Request = VisitRequest;
    type Reply = Flag;
}

impl Operation for Visit {
    type Endpoint = Self;
    type Service = AuthService;
    /// The last month in which the user came, if there is an account.
    type State = Option<Month>;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let at = kinds::account(&call.request().user, cx);
        Ok(vec![Reading::watch(at, Wanted::Keys(vec![record::ROW]))])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Option<Month>, Failure> {
        let has_ended = found.place(0)?.alarm.is_some_and(|ends| ends <= cx.now);
        let stored = found.row(0, &record::ROW)?.filter(|_| !has_ended);
        Ok(stored.map(|stored| record::decode(stored)).transpose()?)
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Option<Month>,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        last: Option<Month>,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Flag>, Failure> {
        let VisitRequest { user, comes } = call.request();
        let (now, decision) = (Month::of(cx.now), Decision::reply(Flag::from(last.is_some())));
        if !comes.is_set() || last == Some(now) {
            return Ok(decision);
        }
        // A mark of a month counts to the month's end (09).
        let ends = now.plus(1).start().plus_secs(ACCOUNT_S);
        let mark = vec![Write::Put(record::ROW, record::encode(&now))];
        Ok(decision.change(kinds::account(user, cx), mark, Alarm::At(ends)))
    }
}

/// How long an account lasts without a visit, in seconds (05).
const ACCOUNT_S: u64 = 90 * DAY;
