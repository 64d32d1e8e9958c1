//! `visit`: someone comes with a DPoP token (05), who is a federated account from then on.
//!
//! The proof that they came with is the call's fare, so it is spent in the batch that marks the visit. The operator's
//! federation policy decides here, too, so that no embedder who checks tokens in a way of its own goes round it.

use phoenix_core::{
    Failure, Reject, UserId,
    api::{Description, Empty, Endpoint, ServiceName},
    dpop::TOKEN_S,
    operation::{
        Anyone, Authorised, Change, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, RowKey, Wanted, Write},
    time::{DAY, MINUTE, Month},
    wire::Flag,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    AuthService,
    domain_count::{DomainCount, SoFar},
    kinds, record,
};

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

/// What is known of a visitor, and what its domain has had of accounts where this is a further one.
pub struct Found {
    account: Account,
    so_far: Option<SoFar>,
}

enum Account {
    /// The last month in which the user came.
    Of(Month),
    /// There is none yet.
    Missing,
    /// The user's homeserver has said that there is no such user any more.
    Gone,
}

impl Operation for Visit {
    type Endpoint = Self;
    type Service = AuthService;
    type State = Found;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        let VisitRequest { user, comes } = call.request();
        match found.len() {
            0 => {
                if comes.is_set() {
                    cx.federation.admit(&user.domain)?;
                }
                let wanted = Wanted::Keys(vec![record::ROW, GONE]);
                Ok(vec![Reading::watch(kinds::account(user, cx), wanted)])
            }
            1 if is_counted(call.request(), &account(found, cx)?, cx) => {
                Ok(DomainCount::of_accounts(&user.domain, cx).readings().into())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Found, Failure> {
        let account = account(&found, cx)?;
        let of_domain = DomainCount::of_accounts(&call.request().user.domain, cx);
        let is_counted = is_counted(call.request(), &account, cx);
        let so_far = is_counted.then(|| of_domain.found(&found, 1)).transpose()?;
        Ok(Found { account, so_far })
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Found,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        Found { account, so_far }: Found,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Flag>, Failure> {
        let VisitRequest { user, comes } = call.request();
        let last = match account {
            Account::Of(month) => Some(month),
            Account::Missing => None,
            Account::Gone if comes.is_set() => return Err(Reject::NotFound.into()),
            Account::Gone => None,
        };
        let (now, decision) = (Month::of(cx.now), Decision::reply(Flag::from(last.is_some())));
        if !comes.is_set() || last == Some(now) {
            return Ok(decision);
        }
        // A mark of a month counts to the month's end (09).
        let ends = now.plus(1).start().plus_secs(ACCOUNT_S);
        let mark = vec![Write::Put(record::ROW, record::encode(&now)), Write::Delete(GONE)];
        let decision = decision.change(kinds::account(user, cx), mark, Alarm::At(ends));
        let counts = match so_far {
            Some(so_far) => DomainCount::of_accounts(&user.domain, cx).counting(&so_far, 1)?,
            None => Vec::new(),
        };
        let counts = counts.into_iter();
        Ok(counts.fold(decision, |decision, Change { at, writes, alarm }| decision.change(at, writes, alarm)))
    }
}

/// The user is no more: who has a token left is nobody, on all replicas, for as long as one lasts.
pub(super) fn gone(user: &UserId, decision: Decision<Empty>, cx: &Context<AuthService>) -> Decision<Empty> {
    let writes = vec![Write::Delete(record::ROW), Write::Put(GONE, record::encode(&Empty {}))];
    let ends = cx.now.plus_secs(TOKEN_S + CLOCK_S);
    decision.change(kinds::account(user, cx), writes, Alarm::At(ends))
}

fn account(found: &Rows, cx: &Context<AuthService>) -> Result<Account, Failure> {
    let has_ended = found.place(0)?.alarm.is_some_and(|ends| ends <= cx.now);
    if has_ended {
        return Ok(Account::Missing);
    }
    if found.row(0, &GONE)?.is_some() {
        return Ok(Account::Gone);
    }
    Ok(record::found(found, 0, &record::ROW)?.map_or(Account::Missing, Account::Of))
}

/// Whether a new account counts for its domain: those of the homeserver's own users do not.
fn is_counted(request: &VisitRequest, account: &Account, cx: &Context<AuthService>) -> bool {
    let is_new = request.comes.is_set() && matches!(account, Account::Missing);
    is_new && request.user.domain != cx.domain
}

/// How long an account lasts without a visit, in seconds (05).
const ACCOUNT_S: u64 = 90 * DAY;
/// How far the clocks of homeservers may differ (05).
const CLOCK_S: u64 = MINUTE;
/// The row that says that there is no such user.
const GONE: RowKey = RowKey::from_static(b"gone");
