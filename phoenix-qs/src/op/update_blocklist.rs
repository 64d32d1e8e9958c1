//! `update_blocklist`: what a client does not want to hear.

use std::collections::BTreeMap;

use bytes::Bytes;
use phoenix_core::{
    Failure, Fault, QsClientId, Reject, Timestamp,
    api::{
        Empty,
        queue::{ConfigRule, RuleChange, UpdateBlocklist as Endpoint},
    },
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::Month,
};

use crate::{
    callers::{claimed_client, signed},
    kinds::{RECORD, client, rule},
    reading::rules,
    record::{ClientRecord, MAX_RULES, RuleRecord, from_row, to_row},
    service::QueueService,
};

/// Blocks, mutes and frees queue configs.
pub struct UpdateBlocklist;

/// The client, if there is one, and its rules, by their rows.
pub struct State {
    record: Option<ClientRecord>,
    rules: BTreeMap<Bytes, RuleRecord>,
}

impl Operation for UpdateBlocklist {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = State;
    type Sender = QsClientId;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let at = client(&claimed_client(call)?);
        match found.len() {
            0 => {
                check(&call.request().changes, cx.now)?;
                Ok(vec![Reading::change(at, Wanted::Keys(vec![RECORD]))])
            }
            1 => {
                signed(call, record(found, cx)?)?;
                // Of the same partition, which is checked to be as it was at the first read.
                Ok(vec![Reading::glance(at, rules())])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let mut rules = BTreeMap::new();
        for (key, row) in found.rows(1)? {
            rules.insert(key.clone(), from_row(row)?);
        }
        Ok(State { record: record(&found, cx)?, rules })
    }

    fn authenticate(
        call: &Decoded<Self>,
        State { record, .. }: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsClientId>, Failure> {
        let key = record.as_ref().map(|record| &record.auth_key);
        Ok(call.frame()?.prove_known(key, claimed_client(call)?)?)
    }

    fn decide(
        State { record, rules: before }: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        record.ok_or(Reject::Unauthenticated)?;
        let mut rules = before.clone();
        for RuleChange { config, rule: what, expires } in &call.request().changes {
            match what {
                ConfigRule::Free => rules.remove(&rule(config)),
                ConfigRule::Muted | ConfigRule::Blocked => {
                    rules.insert(rule(config), RuleRecord { rule: *what, expires: *expires })
                }
            };
        }
        let ended = rules.iter().filter(|(_, rule)| !rule.holds(cx.now)).map(|(key, _)| key.clone());
        for key in ended.take(MOST_ENDED).collect::<Vec<_>>() {
            rules.remove(&key);
        }
        if rules.len() > MAX_RULES {
            return Err(Reject::TooLarge("rules").into());
        }
        let gone = before.keys().filter(|key| !rules.contains_key(*key)).cloned().map(Write::Delete);
        let new = rules.iter().filter(|(key, rule)| before.get(*key) != Some(rule));
        let writes = gone.chain(new.map(|(key, rule)| Write::Put(key.clone(), to_row(rule)))).collect();
        Ok(Decision::reply(Empty {}).change(client(call.sender()), writes, Alarm::Keep))
    }
}

/// Some changes, of rules that have not ended and do not last for ever.
fn check(changes: &[RuleChange], now: Timestamp) -> Result<(), Reject> {
    if changes.is_empty() {
        return Err(Reject::Malformed("changes"));
    }
    let month = Month::of(now);
    let lasts = month..=month.plus(MOST_MONTHS);
    let is_good = |it: &RuleChange| it.rule == ConfigRule::Free || lasts.contains(&it.expires);
    if changes.iter().all(is_good) { Ok(()) } else { Err(Reject::Malformed("expires")) }
}

fn record(found: &Rows, cx: &Context<QueueService>) -> Result<Option<ClientRecord>, Failure> {
    let record = found.row(0, &RECORD)?.map(from_row::<ClientRecord>);
    let record: Result<Option<ClientRecord>, Fault> = record.transpose();
    Ok(record?.and_then(|record| record.current(cx.now)))
}

/// Months for which a rule may last: longer than any queue config that a client makes need be good.
const MOST_MONTHS: u32 = 24;
/// Rules that have ended and are removed in one call: the rest goes with the next, since a batch takes no more.
const MOST_ENDED: usize = 2_048;
