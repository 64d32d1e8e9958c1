//! `get_add_packages`: one AddPackage of each client of a friend.

use phoenix_core::{
    Failure, Fault, QsClientId, Reject,
    api::queue::{AddPackage, AddPackages, GetAddPackages as Endpoint, KeyPackageBatch, KeyPackageBatchTbs},
    crypto::Chance,
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Hint, Next, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
    wire::{Flag, List, Wire},
};

use crate::{
    clients::lives,
    friendship,
    key_package::KeyPackage,
    kinds::{QUEUE, RECORD, client, packages, topic, user},
    record::{PackageIndex, PackageNote, QueueRecord, UserRecord, from_row, packages_low, read_row, to_row},
    service::QueueService,
};

/// Serves one AddPackage of each client of the user who gave the friendship token, and says, signed, which they
/// were and when.
pub struct GetAddPackages;

/// What is served of one client.
pub struct Served {
    client: QsClientId,
    note: PackageNote,
    /// The client's list after this.
    index: PackageIndex,
    /// Deletes packages that a restore made void.
    void: Vec<Write>,
    /// None where another call is about to win.
    package: Option<AddPackage>,
    /// The client's queue, where it must be told that few packages are left.
    queue: Option<QueueRecord>,
}

/// What is chosen of one client's list.
struct Choice {
    client: QsClientId,
    note: PackageNote,
    index: PackageIndex,
    void: Vec<Write>,
    is_low: bool,
}

impl Operation for GetAddPackages {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = Vec<Served>;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let token = &call.request().token;
        let id = friendship::follow(&cx.keys.at_rest, &token.route)?;
        if found.is_empty() {
            return Ok(vec![Reading::watch(user(&id), Wanted::Keys(vec![RECORD]))]);
        }
        if found.len() == 1 {
            let record = || Wanted::Keys(vec![RECORD]);
            // When a client has ended only changes by the month, so its record need not be checked.
            let of = |id| [Reading::change(packages(id), record()), Reading::glance(client(id), record())];
            return Ok(clients(call, found, cx)?.iter().flat_map(of).collect());
        }
        let mut readings = Vec::new();
        for choice in choices(call, found, cx)? {
            // Packages never change under their number, and the list that names them is checked.
            readings.push(Reading::glance(packages(&choice.client), Wanted::Keys(vec![choice.note.row()])));
            if choice.is_low {
                readings.push(Reading::change(client(&choice.client), Wanted::Keys(vec![QUEUE])));
            }
        }
        Ok(readings)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<Vec<Served>, Failure> {
        let mut place = clients(call, &found, cx)?.len().saturating_mul(2).saturating_add(1);
        let mut all = Vec::new();
        for Choice { client, note, index, void, is_low } in choices(call, &found, cx)? {
            let package = read_row(&found, place, &note.row())?;
            place = place.saturating_add(1);
            let mut queue = None;
            if is_low {
                queue = read_row(&found, place, &QUEUE)?;
                place = place.saturating_add(1);
            }
            all.push(Served { client, note, index, void, package, queue });
        }
        Ok(all)
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Vec<Served>,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        state: Vec<Served>,
        _: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<AddPackages>, Failure> {
        if state.is_empty() {
            return Err(Reject::NotFound.into());
        }
        let all: Option<Vec<AddPackage>> = state.iter().map(|served| served.package.clone()).collect();
        let Some(all) = all else {
            // What was read is checked even so: the race makes a conflict, and the call is decided again.
            return Ok(Decision::new(Next::Refuse(Reject::Unavailable(RACE_RETRY_S).into())));
        };
        let batch = batch(&all, cx)?;
        let reply = AddPackages { packages: List::new(all).map_err(Reject::from)?, batch };
        let mut decision = Decision::reply(reply);
        let mut chance = cx.chance("packages low");
        for served in state {
            decision = written(decision, served, &mut chance, cx)?;
        }
        Ok(decision)
    }
}

/// The clients of the record that the token leads to. A record that does not exist and one whose secret is another
/// are told the same, after the same reads.
fn clients(
    call: &Decoded<GetAddPackages>,
    found: &Rows,
    cx: &Context<QueueService>,
) -> Result<Vec<QsClientId>, Failure> {
    let token = &call.request().token;
    let id = friendship::follow(&cx.keys.at_rest, &token.route)?;
    let record: UserRecord = from_row(found.row(0, &RECORD)?.ok_or(Reject::NotFound)?)?;
    let record = record.current(cx.now).ok_or(Reject::NotFound)?;
    if !record.is_opened_by(&cx.keys.at_rest, &id, &token.secret, cx.now) {
        return Err(Reject::NotFound.into());
    }
    Ok(record.clients.into_vec())
}

fn choices(
    call: &Decoded<GetAddPackages>,
    found: &Rows,
    cx: &Context<QueueService>,
) -> Result<Vec<Choice>, Failure> {
    let owner = friendship::follow(&cx.keys.at_rest, &call.request().token.route)?;
    let mut choices = Vec::new();
    for (place, client) in (1..).step_by(2).zip(clients(call, found, cx)?) {
        if place >= found.len() {
            break;
        }
        // Nobody may have swept away yet what has ended with its client.
        if !lives(found.row(place.saturating_add(1), &RECORD)?, &owner, cx.now)? {
            continue;
        }
        let Some(row) = found.row(place, &RECORD)? else { continue };
        let index: PackageIndex = from_row(row)?;
        if index.user != owner {
            continue;
        }
        let (index, void) = index.restored(cx.keys.generation);
        let Some(note) = index.choose(call.request().suite, cx.now) else { continue };
        let mut index = index.served(&note, cx.now);
        let is_low = index.is_low_in(note.suite, cx.now);
        if is_low {
            index.told = Flag::Yes;
        }
        choices.push(Choice { client, note, index, void, is_low });
    }
    Ok(choices)
}

fn batch(all: &[AddPackage], cx: &Context<QueueService>) -> Result<KeyPackageBatch, Failure> {
    let (key, signer) = cx.keys.service.signer(cx.now)?;
    let references = all.iter().map(|package| KeyPackage::reference(&package.key_package)).collect();
    let payload = KeyPackageBatchTbs {
        domain: cx.domain.clone(),
        packages: List::new(references).map_err(|_| Fault::Broken("more clients than a user has"))?,
        issued_at: cx.now.as_secs(),
        key,
    };
    let signature = signer.sign(BATCH_LABEL, &payload.encode());
    Ok(KeyPackageBatch { payload, signature })
}

/// Takes the served package, unless it is to stay, and tells its client where few are left.
fn written(
    decision: Decision<AddPackages>,
    served: Served,
    chance: &mut Chance,
    cx: &Context<QueueService>,
) -> Result<Decision<AddPackages>, Failure> {
    let Served { client: id, note, index, void: mut writes, queue, .. } = served;
    // What is served no more goes, too.
    let (index, stale) = index.without_stale(cx.now);
    writes.extend(stale);
    writes.push(Write::Put(RECORD, to_row(&index)));
    if !note.last_resort.is_set() {
        writes.push(Write::Delete(note.row()));
    }
    let decision = decision.change(packages(&id), writes, Alarm::Keep);
    let Some(queue) = queue else { return Ok(decision) };
    let (queue, mut rows) = queue.push(&packages_low(cx.now), cx, chance)?;
    rows.push(queue.put());
    Ok(decision.change(client(&id), rows, Alarm::Keep).hint(Hint::Wake(topic(&cx.keys.at_rest, &id))))
}

/// The label of a batch's signature (06).
const BATCH_LABEL: &str = "KeyPackageBatch";
/// When to come back after losing a race for a package.
const RACE_RETRY_S: u32 = 1;
