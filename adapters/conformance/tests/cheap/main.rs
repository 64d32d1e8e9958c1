//! An application message stays cheap, also in large groups: what a whole homeserver asks of its store for one is
//! counted, and so are computations on threads of their own. Nothing is timed.

#![cfg(feature = "world")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    reason = "tests may panic, and report; the benchmarks use more of what is shared with them"
)]

#[path = "../../benches/groups/calls.rs"]
mod calls;
#[path = "../../benches/groups/group.rs"]
mod group;
#[path = "../../benches/groups/home.rs"]
mod home;
mod house;
#[path = "../../benches/groups/people.rs"]
mod people;

use bytes::Bytes;
use phoenix_core::{
    ErrorCode, LeafIndex, MAX_PART, Pseudonym,
    api::{
        Endpoint,
        delivery::{
            MAX_MLS, MessageAad, Mls, Report, ReportReason, ReportRequest, SendMessage, SendMessageRequest,
            SendTargeted, SendTargetedRequest, UpdateClient, UpdateProfileKey, UpdateProfileKeyRequest,
        },
    },
    port::Space,
    token::Class,
    wire::{Call, Flag, Opaque, Sender, Wire},
};

use crate::{
    calls::{Purse, signed},
    group::Group,
    house::{Counts, House},
    people::{Candidate, Person},
};

/// A group of so many clients of one homeserver, in which everything has arrived.
fn grown(members: usize) -> (House, Purse, Group) {
    let (house, purse, group, _) = named(members);
    (house, purse, group)
}

/// The same, with the pseudonyms of all but its creator.
fn named(members: usize) -> (House, Purse, Group, Vec<Pseudonym>) {
    let mut house = House::new();
    let mut purse = Purse::new(&house);
    let creator = Person::new(&house, &mut purse);
    let candidates = (1..members).map(|_| {
        let mut person = Person::new(&house, &mut purse);
        person.publish(&house, &mut purse, 1);
        person.candidate(&house, &mut purse)
    });
    let candidates: Vec<_> = candidates.collect();
    let names = candidates.iter().map(|it: &Candidate| it.leaf.credential.pseudonym).collect();
    let group = Group::new(&house, &mut purse, &creator, candidates);
    house.settle();
    (house, purse, group, names)
}

#[test]
fn a_message_reads_the_roster_and_never_the_tree_and_is_one_commit_and_one_more_for_its_queues() {
    let mut written = Vec::new();
    for members in SIZES {
        let (mut house, mut purse, group) = grown(members);
        let call = group.message(&house, &mut purse, 1);
        let size = call.body.len();

        let (answered, delivered, entries) = house.measured::<SendMessage>(call);

        println!(
            "{members:4} members: answered with {} reads ({} bytes) and {} commit ({} bytes); delivered with {} reads \
             and {} commits to queues",
            answered.reads,
            answered.bytes_read(),
            answered.commits.len(),
            answered.bytes_written(),
            delivered.reads,
            delivered.commits_to(Space::Qs),
        );
        // One read of what is as long in every group and tells whether the sender's key is right, and of whether the
        // message came before; then one of the roster's row.
        assert_eq!((answered.reads, answered.places), (2, 3));
        assert_eq!(read_of_group(&answered), [DOOR, ROSTER]);
        assert_eq!((answered.rows.len(), answered.rows[0].2), (2, DOOR_BYTES));
        // One commit: the token is spent, the message is remembered, its fan-out is stored. The group is watched only.
        let [parts] = &answered.commits[..] else { panic!("{:?}", answered.commits) };
        let of = |space| parts.iter().filter(move |part| part.space == space).collect::<Vec<_>>();
        assert_eq!(parts.len(), 4);
        assert!(of(Space::Spent)[0].is_write);
        let groups: Vec<_> = of(Space::Ds).into_iter().map(|part| (part.kind, part.is_write)).collect();
        assert_eq!(groups, [(GROUP, false), (RECEIPT, true)]);
        assert_eq!(of(Space::Lane).iter().map(|part| part.writes).collect::<Vec<_>>(), [1]);
        assert_eq!(answered.jobs, 0, "nothing of it leaves the executor's thread");
        // Each queue is appended to once, in as few batches as can hold them, the last of which takes the lane's row.
        assert_eq!(entries, members as u64 - 1);
        assert_eq!(delivered.commits_to(Space::Qs), (members - 1).div_ceil(MAX_PART));
        assert_eq!(delivered.commits_to(Space::Ds) + delivered.commits_to(Space::Spent), 0);
        let queues: Vec<_> = delivered.commits.iter().flatten().filter(|it| it.space == Space::Qs).collect();
        let own = queues.iter().filter(|part| part.kind == CLIENT).count();
        assert_eq!(own, members - 1);
        assert!(delivered.rows.iter().all(|(space, ..)| *space != Space::Ds), "no group is read again");
        written.push((members, answered.bytes_read(), answered.bytes_written(), size));
    }
    // Per member a message takes what names its queue, and the roster what it knows of it.
    for pair in written.windows(2) {
        let [(few, read_few, wrote_few, _), (many, read_many, wrote_many, _)] = pair else { panic!() };
        assert!(read_many - read_few <= (many - few) * 1_024, "{pair:?}");
        assert!(wrote_many - wrote_few <= (many - few) * 512, "{pair:?}");
    }
    let (_, _, wrote, size) = written[0];
    assert!(wrote <= size + 2_048, "beside the message itself little is written: {wrote} for {size}");
}

#[test]
fn a_repeated_message_writes_nothing_but_its_token() {
    let (mut house, mut purse, group) = grown(10);
    let call = group.message(&house, &mut purse, 1);
    // Another token, and the same request, which is signed anew.
    let request = SendMessageRequest::decode(&call.body).unwrap();
    let again = by_second::<SendMessage>(&house, &mut purse, &group, &request);
    house.measured::<SendMessage>(call);

    let (answered, delivered, entries) = house.measured::<SendMessage>(again);

    assert_eq!(written_to(&answered), [Space::Spent]);
    assert_eq!((delivered.commits.len(), entries), (0, 0));
}

#[test]
fn an_ephemeral_message_writes_its_token_and_reaches_no_queue() {
    let (mut house, mut purse, group) = grown(10);
    let call = group.message(&house, &mut purse, 1);
    let request = SendMessageRequest::decode(&call.body).unwrap();
    let request = SendMessageRequest { ephemeral: Flag::Yes, ..request };
    let call = by_second::<SendMessage>(&house, &mut purse, &group, &request);

    let (answered, delivered, entries) = house.measured::<SendMessage>(call);

    assert_eq!((answered.reads, &written_to(&answered)[..]), (2, &[Space::Spent][..]));
    assert_eq!((delivered.commits.len(), entries), (0, 0));
}

#[test]
fn a_report_writes_its_token_and_reaches_the_operator() {
    let (mut house, mut purse, group, names) = named(3);
    let evidence = Opaque::new(b"what was said".to_vec()).unwrap();
    let (access, accused) = (group.access.clone(), names[1]);
    let request = ReportRequest { access, accused, reason: ReportReason::Abuse, evidence };
    let call = by_second::<Report>(&house, &mut purse, &group, &request);

    let (answered, delivered, _) = house.measured::<Report>(call);

    assert_eq!((answered.reads, &written_to(&answered)[..]), (2, &[Space::Spent][..]));
    assert!(delivered.commits.is_empty());
    let reports = house.home.admin().reports();
    let told: Vec<_> = reports.iter().map(|it| (it.accused, it.reporter, &it.evidence[..])).collect();
    assert_eq!(told, [(names[1], names[0], &b"what was said"[..])]);
    assert_eq!(house.home.admin().reports(), [], "they are fetched once");
}

#[test]
fn a_message_to_one_and_a_new_profile_key_read_the_roster_alone() {
    let (mut house, mut purse, group, names) = named(10);
    let said = private_message(&group, MessageAad::Targeted(names[4]), 200);
    let message = SendMessageRequest::decode(&group.message(&house, &mut purse, 1).body).unwrap();
    let SendMessageRequest { access, id, ephemeral, notify, .. } = message;
    let one = SendTargetedRequest {
        access: access.clone(),
        target: names[4],
        message: said,
        id,
        ephemeral,
        notify,
    };
    let key = UpdateProfileKeyRequest { access, profile_key: Opaque::new(vec![2; 60]).unwrap() };

    let call = by_second::<SendTargeted>(&house, &mut purse, &group, &one);
    let (answered, _, entries) = house.measured::<SendTargeted>(call);
    assert_eq!((read_of_group(&answered), answered.commits.len(), answered.jobs), (vec![DOOR, ROSTER], 1, 0));
    assert_eq!(entries, 1);

    let call = by_second::<UpdateProfileKey>(&house, &mut purse, &group, &key);
    let (answered, _, entries) = house.measured::<UpdateProfileKey>(call);
    assert_eq!((read_of_group(&answered), answered.commits.len(), answered.jobs), (vec![DOOR, ROSTER], 1, 0));
    assert_eq!(entries, 9);
}

#[test]
fn commits_leave_the_executors_thread_and_where_no_thread_is_free_messages_go_on() {
    let (mut house, mut purse, mut group) = grown(10);
    let (commit, _) = group.update(&house, &mut purse);

    let (answered, ..) = house.measured::<UpdateClient>(commit);
    assert!(answered.jobs >= 3, "locating, proving and deciding: {}", answered.jobs);
    assert!(answered.rows.iter().any(|(space, row, _)| *space == Space::Ds && row[..] == TREE[..]));

    let (commit, _) = group.update(&house, &mut purse);
    let message = group.message(&house, &mut purse, 1);
    house.saturate(true);
    let refused = house.try_ask::<UpdateClient>(commit).unwrap_err();
    assert_eq!((refused.code, refused.retry_after_s), (ErrorCode::Unavailable, Some(1)));
    assert!(house.try_ask::<SendMessage>(message).is_ok());
    house.saturate(false);
}

#[test]
fn a_large_message_leaves_the_executors_thread_too() {
    let (mut house, mut purse, mut group) = grown(2);

    for (length, is_heavy) in [(60 << 10, false), (70 << 10, true)] {
        group.said = private_message(&group, MessageAad::Application, length);
        let call = group.message(&house, &mut purse, 1);
        let (answered, ..) = house.measured::<SendMessage>(call);
        assert_eq!(answered.jobs > 0, is_heavy);
        assert_eq!(answered.commits.len(), 1);
    }
}

/// A call of the group's second member.
fn by_second<E: Endpoint>(house: &House, purse: &mut Purse, group: &Group, request: &E::Request) -> Call {
    let sender = Sender::Leaf(group.access.group.clone(), LeafIndex(1));
    let token = purse.take(house, Class::Standard);
    signed::<E>(request, token, sender, &[&group.keys[1]])
}

/// The spaces that one commit wrote to.
fn written_to(counts: &Counts) -> Vec<Space> {
    let [parts] = &counts.commits[..] else { panic!("{:?}", counts.commits) };
    parts.iter().filter(|part| part.is_write).map(|part| part.space).collect()
}

/// The rows that were read of groups.
fn read_of_group(counts: &Counts) -> Vec<Bytes> {
    counts.rows.iter().filter(|(space, ..)| *space == Space::Ds).map(|(_, row, _)| row.clone()).collect()
}

/// What is an application message of this group to the DS, which opens none (RFC 9420 §6.3).
fn private_message(group: &Group, aad: MessageAad, length: usize) -> Mls {
    let (aad, nothing) = (aad.encode(), vec![7_u8; length]);
    let head = (1_u16, 2_u16, Opaque::<512>::new(group.access.group.encode()).unwrap()).encode();
    let content_type = (1_u64, 1_u8).encode();
    let (aad, sender) = (Opaque::<64>::new(aad).unwrap(), Opaque::<256>::new(vec![7; 32]).unwrap());
    let content = Opaque::<MAX_MLS>::new(nothing).unwrap();
    let parts = [head, content_type, aad.encode(), sender.encode(), content.encode()];
    Opaque::new(parts.concat()).unwrap()
}

/// The last takes more than one batch.
const SIZES: [usize; 4] = [2, 10, 100, 300];
/// Rows of a group.
const DOOR: Bytes = Bytes::from_static(b"k");
const ROSTER: Bytes = Bytes::from_static(b"r");
const TREE: Bytes = Bytes::from_static(b"t");
/// A key and its padding, sealed.
const DOOR_BYTES: usize = 92;
/// Kinds of the DS's partitions.
const GROUP: u8 = 1;
const RECEIPT: u8 = 2;
/// The kind of the QS's partitions that hold a client's record and its queue.
const CLIENT: u8 = 2;
