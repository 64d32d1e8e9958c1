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
    record::{ClientRecord, PackageIndex, PackageNote, read_row, to_row},
    service::QueueService,
};

/// Replaces a client's AddPackages, or adds to them: all of the request, or nothing.
pub struct PublishAddPackages;

/// Who publishes, and what it has published before.
pub struct State {
    record: Option<ClientRecord>,
    /// None where there are none, or only those of another user whose client had this id before.
    index: Option<PackageIndex>,
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

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let record = read_row(&found, 0, &RECORD)?;
        let record = record.and_then(|record: ClientRecord| record.current(cx.now));
        let index = read_row(&found, 1, &RECORD)?;
        let is_own = |index: &PackageIndex| record.as_ref().is_some_and(|record| record.user == index.user);
        Ok(State { index: index.filter(is_own), record })
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsClientId>, Failure> {
        // Who does not exist and who cannot sign are told the same.
        let key = state.record.as_ref().map(|record| &record.auth_key);
        Ok(call.frame()?.prove_known(key, call.request().client)?)
    }

    fn decide(
        State { record, index }: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        let request = call.request();
        let record = record.ok_or(Reject::Unauthenticated)?;
        let checked = checked(request, &record, cx)?;
        let is_first = index.is_none();
        let index = index.unwrap_or_else(|| PackageIndex::new(record.user, cx.keys.generation));
        let (index, mut writes) = if request.append.is_set() && !is_first {
            let (index, mut void) = index.restored(cx.keys.generation);
            // Those that are served no more make room.
            let (index, stale) = index.without_stale(cx.now);
            void.extend(stale);
            (index, void)
        } else {
            let (packages, restored) = (List::default(), index.restored.max(cx.keys.generation));
            (PackageIndex { packages, restored, ..index }, vec![Write::Drop])
        };
        let (mut next, mut notes) = (index.next, index.packages.to_vec());
        for Checked { package, suite, last_resort, not_after, generation } in checked {
            let note = PackageNote { number: next, suite, last_resort, generation, not_after };
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

/// A package that may be published.
struct Checked<'a> {
    package: &'a AddPackage,
    suite: u16,
    last_resort: Flag,
    /// Last second of its lifetime.
    not_after: u64,
    /// The generation of its queue config.
    generation: u32,
}

fn checked<'a>(
    request: &'a PublishAddPackagesRequest,
    record: &ClientRecord,
    cx: &Context<QueueService>,
) -> Result<Vec<Checked<'a>>, Failure> {
    let mut keys = BTreeSet::new();
    let mut checked = Vec::new();
    let ordinary = request.packages.iter().map(|package| (package, Flag::No));
    let last_resort = request.last_resort.iter().map(|package| (package, Flag::Yes));
    for (package, last_resort) in ordinary.chain(last_resort) {
        let view = KeyPackage::read(&package.key_package)?;
        if !view.public_keys().into_iter().all(|key| keys.insert(key.to_vec())) {
            return Err(Reject::DuplicateKey.into());
        }
        check_lifetime(view.lifetime(), cx.now)?;
        let generation = check_config(package, &view, (request.client, record), cx)?;
        let (suite, not_after) = (view.cipher_suite, view.lifetime().not_after);
        checked.push(Checked { package, suite, last_resort, not_after, generation });
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
/// the package carries. Its generation.
fn check_config(
    package: &AddPackage,
    view: &KeyPackage,
    (client, record): (QsClientId, &ClientRecord),
    cx: &Context<QueueService>,
) -> Result<u32, Reject> {
    const WRONG: Reject = Reject::Malformed("config");
    let config = &package.config;
    if config.domain != cx.domain || !config.any.is_set() || sha256(&config.encode()) != view.config_hash()? {
        return Err(WRONG);
    }
    let recipient = Recipient { any: config.any, config: config.sealed.clone() };
    let opened = cx.keys.service.open_config(&recipient, &cx.keys.at_rest).map_err(|_| WRONG)?;
    let payload = opened.payload();
    let end = Timestamp::from_secs(view.lifetime().not_after);
    let is_long = Month::of(cx.now) <= payload.expires && end <= payload.expires.plus(1).start();
    let is_own = payload.client == client && is_genuine(&opened, record);
    if is_own && is_long { Ok(payload.generation) } else { Err(WRONG) }
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
