//! `publish_add_packages`: a client's AddPackages.

use std::collections::{BTreeMap, BTreeSet};

use phoenix_core::{
    Failure, QsClientId, Reject, Timestamp,
    api::{
        Empty,
        queue::{AddPackage, PublishAddPackages as Endpoint, PublishAddPackagesRequest, Recipient},
    },
    crypto::sha256,
    operation::{Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::{HOUR, Month},
    wire::{Flag, List, Sender, Wire},
};

use crate::{
    delivering::is_genuine,
    key_package::{KeyPackage, Lifetime},
    kinds::{RECORD, client, end_of_use, packages},
    record::{ClientRecord, PackageIndex, PackageNote, from_row, to_row},
    service::QueueService,
};

/// Replaces a client's AddPackages, or adds to them: all of the request, or nothing.
pub struct PublishAddPackages;

/// Who publishes, and what it has published before.
pub struct State {
    record: ClientRecord,
    index: PackageIndex,
}

impl Operation for PublishAddPackages {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = State;
    type Sender = QsClientId;
    const EFFORT: Effort = Effort::Heavy;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        _: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let request = call.request();
        if *call.frame()?.sender() != Sender::QsClient(request.client) {
            return Err(Reject::Unauthenticated.into());
        }
        if request.packages.is_empty() {
            return Err(Reject::Malformed("packages").into());
        }
        Ok(vec![
            Reading::watch(client(&request.client), Wanted::Keys(vec![RECORD])),
            Reading::change(packages(&request.client), Wanted::Keys(vec![RECORD])),
        ])
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<QueueService>) -> Result<State, Failure> {
        // Who does not exist and who cannot sign are told the same.
        let record = from_row(found.row(0, &RECORD)?.ok_or(Reject::Unauthenticated)?)?;
        let index = found.row(1, &RECORD)?.map(|row| from_row(row)).transpose()?.unwrap_or_default();
        Ok(State { record, index })
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsClientId>, Failure> {
        Ok(call.frame()?.prove(&state.record.auth_key, call.request().client)?)
    }

    fn decide(
        State { record, index }: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        let request = call.request();
        let checked = checked(request, &record, cx)?;
        let mut writes = Vec::new();
        let mut next = index.next;
        let mut notes = if request.append.is_set() { index.packages.to_vec() } else { Vec::new() };
        if !request.append.is_set() {
            writes.push(Write::Drop);
        }
        for (package, suite, last_resort, lifetime) in checked {
            let note = PackageNote { number: next, suite, last_resort, not_after: lifetime.not_after };
            next = next.checked_add(1).ok_or(Reject::TooLarge("packages"))?;
            writes.push(Write::Put(note.row(), to_row(package)));
            notes.push(note);
        }
        check_last_resort(&notes)?;
        let packages_now = List::new(notes).map_err(|_| Reject::TooLarge("packages"))?;
        let index = PackageIndex { next, told: Flag::No, packages: packages_now, ..index };
        writes.push(Write::Put(RECORD, to_row(&index)));
        let alarm = Alarm::At(end_of_use(record.active));
        Ok(Decision::reply(Empty {}).change(packages(&request.client), writes, alarm))
    }
}

/// A package that may be published, with its suite, whether it is a last-resort one, and its lifetime.
type Checked<'a> = (&'a AddPackage, u16, Flag, Lifetime);

fn checked<'a>(
    request: &'a PublishAddPackagesRequest,
    record: &ClientRecord,
    cx: &Context<QueueService>,
) -> Result<Vec<Checked<'a>>, Failure> {
    let mut keys = BTreeSet::new();
    let mut checked = Vec::new();
    let ordinary = request.packages.iter().map(|package| (package, Flag::No));
    let last_resort = request.last_resort.iter().map(|package| (package, Flag::Yes));
    for (package, is_last_resort) in ordinary.chain(last_resort) {
        let view = KeyPackage::read(&package.key_package)?;
        if !view.public_keys().into_iter().all(|key| keys.insert(key.to_vec())) {
            return Err(Reject::DuplicateKey.into());
        }
        check_lifetime(view.lifetime(), cx.now)?;
        check_config(package, &view, request.client, record, cx)?;
        checked.push((package, view.cipher_suite, is_last_resort, view.lifetime()));
    }
    Ok(checked)
}

/// One to twelve whole months of the UTC calendar, begun and not over: anything finer would tell packages apart.
fn check_lifetime(Lifetime { not_before, not_after }: Lifetime, now: Timestamp) -> Result<(), Reject> {
    let (begin, end) = (Timestamp::from_secs(not_before), Timestamp::from_secs(not_after).plus_secs(1));
    let (first, next) = (Month::of(begin), Month::of(end));
    let is_whole = first.start() == begin && next.start() == end && next <= first.plus(MAX_MONTHS);
    let is_current = begin <= now.plus_secs(CLOCK_S) && now < end;
    if is_whole && is_current { Ok(()) } else { Err(Reject::Malformed("lifetime")) }
}

/// The queue config must be this client's own, usable by any DS until the package ends, and the one whose hash
/// the package carries.
fn check_config(
    package: &AddPackage,
    view: &KeyPackage,
    client: QsClientId,
    record: &ClientRecord,
    cx: &Context<QueueService>,
) -> Result<(), Reject> {
    const WRONG: Reject = Reject::Malformed("config");
    let config = &package.config;
    if config.domain != cx.domain || !config.any.is_set() || sha256(&config.encode()) != view.config_hash()? {
        return Err(WRONG);
    }
    let recipient = Recipient { any: config.any, config: config.sealed.clone() };
    let opened = cx.keys.service.open_config(&recipient).map_err(|_| WRONG)?;
    let payload = opened.payload();
    let end = Timestamp::from_secs(view.lifetime().not_after);
    let is_long = Month::of(cx.now) <= payload.expires && end <= payload.expires.plus(1).start();
    if payload.client == client && is_genuine(&opened, record) && is_long { Ok(()) } else { Err(WRONG) }
}

/// Each suite offered has one to eight last-resort packages (06).
fn check_last_resort(notes: &[PackageNote]) -> Result<(), Reject> {
    let mut of_suite: BTreeMap<u16, usize> = BTreeMap::new();
    for note in notes {
        let count = of_suite.entry(note.suite).or_default();
        *count = count.saturating_add(usize::from(note.last_resort.is_set()));
    }
    let fits = of_suite.values().all(|count| (1..=MAX_LAST_RESORT).contains(count));
    if fits { Ok(()) } else { Err(Reject::Malformed("last_resort")) }
}

/// Last-resort packages of one suite (06).
const MAX_LAST_RESORT: usize = 8;
/// Months of a package's lifetime (06).
const MAX_MONTHS: u32 = 12;
/// By how much a client's clock may be ahead, in seconds.
const CLOCK_S: u64 = HOUR;
