//! T25, oracles: what does not exist and what is forbidden are answered alike, and cost the same reads, writes, signature
//! checks and OPRF evaluations. A hostile client asks both, and compares.
//!
//! What the specification lets differ, since it is what the endpoint is there to tell, and costs a token each time:
//! `get_connection_package`, `alias_get_package`, `enqueue_offer` and `alias_enqueue_offer` of who exists and who does
//! not; `register_finish` and `alias_register` of a name that is taken.

mod bench;

use bench::{Asked, Bench, call_of};
use futures::executor::block_on;
use phoenix_conformance::world::{Answer, Recorded, recorded};
use phoenix_core::{
    ErrorCode, UserId, Uuid,
    api::{
        Endpoint, ServiceName,
        auth::{
            AddClientInit, AddClientInitRequest, AliasDequeue, EnqueueOffer, EnqueueOfferRequest, GetProfile,
            GetProfileRequest, LoginReply, MAX_OPAQUE, RegisterInit, RegisterInitRequest,
        },
        delivery::{CreateGroup, GroupAccess},
        queue::{GetAddPackages, GetAddPackagesRequest},
    },
    port::{Alarm, Base, Batch, Mark, Outgoing, Part, PartitionKey, Space, Store, Write},
    store::MemoryStore,
    wire::{Call, Opaque, Sender, Wire},
};
use tls_codec::DeserializeBytes;

#[test]
fn t25_an_unknown_group_and_a_wrong_key_are_the_same_to_every_endpoint_of_a_group() {
    let mut compared = Vec::new();
    for recorded in recorded() {
        let Some(access) = access(&recorded) else { continue };
        let mut bench = Bench::new(&recorded);
        let (group, key) = (access.group.uuid.as_bytes(), access.ear_key.expose());
        let unknown = bench.ask(bench.changed(group, &[0x44; 16]));
        let forbidden = bench.ask(bench.changed(key, &[0x45; 32]));

        alike(recorded.outgoing.name, ErrorCode::NotFound, &unknown, &forbidden);
        compared.push(recorded.outgoing.name);
    }
    println!("compared: {compared:?}");
    assert!(compared.len() >= 8 && compared.contains(&"send_message"), "{compared:?}");
}

#[test]
fn t25_an_unknown_route_and_a_wrong_friendship_secret_are_the_same() {
    let recorded = valid::<GetAddPackages>();
    let mut bench = Bench::new(&recorded);
    let request = GetAddPackagesRequest::decode(recorded.outgoing.call.body.as_slice()).unwrap();
    let route = request.token.route.0.as_slice().to_vec();

    let forbidden = bench.ask(bench.changed(request.token.secret.expose(), &[0x44; 32]));
    let made_up = bench.ask(bench.changed(&route, &vec![0x45; route.len()]));
    let unknown = Bench::new(&without(&recorded, |partition| partition.space() == Space::Qs))
        .ask(recorded.outgoing.call.clone());

    alike("get_add_packages", ErrorCode::NotFound, &unknown, &forbidden);
    // A route is sealed by its QS: one that is made up is refused before anything is read, and tells of nobody.
    assert_eq!((made_up.0, made_up.1.computed), (forbidden.0, forbidden.1.computed));
}

#[test]
fn t25_an_unknown_queue_and_a_wrong_signature_are_the_same() {
    let mut compared = Vec::new();
    for recorded in recorded() {
        let Some(frame) = &recorded.outgoing.call.auth else { continue };
        let id = match frame.sender {
            Sender::QsClient(id) => id.0,
            Sender::QsUser(id) => id.0,
            _ => continue,
        };
        let mut bench = Bench::new(&recorded);
        let forbidden = bench.with_sender(|_| {});
        // The id also stands in some bodies. No signature of either call is right.
        let mut unknown = bench.changed(&id, &[0x44; 16]);
        if let (Some(frame), Some(other)) = (&mut unknown.auth, &forbidden.auth) {
            frame.nonce = other.nonce;
        }
        let (unknown, forbidden) = (bench.ask(unknown), bench.ask(forbidden));

        alike(recorded.outgoing.name, ErrorCode::Unauthenticated, &unknown, &forbidden);
        compared.push(recorded.outgoing.name);
    }
    println!("compared: {compared:?}");
    for name in ["dequeue", "publish_add_packages", "get_user", "update_client", "delete_client"] {
        assert!(compared.contains(&name), "{compared:?}");
    }
}

#[test]
fn t25_an_unknown_alias_and_a_wrong_key_are_the_same_to_every_endpoint_of_its_owner() {
    let mut compared = Vec::new();
    for recorded in recorded() {
        let by_alias =
            |call: &Call| call.auth.as_ref().is_some_and(|it| matches!(it.sender, Sender::Alias(_)));
        if !by_alias(&recorded.outgoing.call) {
            continue;
        }
        let mut bench = Bench::new(&recorded);
        let unknown = bench.ask(bench.with_sender(|sender| match sender {
            Sender::Alias(hash) => hash.0 = [0x44; 32],
            other => panic!("{other:?}"),
        }));
        let forbidden = bench.ask(bench.with_sender(|_| {}));

        alike(recorded.outgoing.name, ErrorCode::Unauthenticated, &unknown, &forbidden);
        compared.push(recorded.outgoing.name);
    }
    assert!(compared.contains(&AliasDequeue::DESCRIPTION.name), "{compared:?}");
}

#[test]
fn t25_a_client_that_is_gone_and_a_wrong_signature_are_the_same_to_every_endpoint_of_a_client() {
    let mut compared = Vec::new();
    for recorded in recorded() {
        let by_client = |call: &Call| {
            call.auth.as_ref().is_some_and(|it| matches!(it.sender, Sender::ClientCredential(_)))
        };
        if !by_client(&recorded.outgoing.call) {
            continue;
        }
        let mut bench = Bench::new(&recorded);
        let forbidden = bench.ask(bench.with_sender(|_| {}));
        let mut bench = Bench::new(&without_client(&recorded));
        let gone = bench.ask(bench.with_sender(|_| {}));

        alike(recorded.outgoing.name, ErrorCode::Unauthenticated, &gone, &forbidden);
        compared.push(recorded.outgoing.name);
    }
    println!("compared: {compared:?}");
    for name in ["dequeue_offers", "change_password", "delete_user", "remove_client"] {
        assert!(compared.contains(&name), "{compared:?}");
    }
}

#[test]
fn t25_an_unknown_user_and_an_unknown_client_or_profile_are_the_same() {
    let recorded = valid::<EnqueueOffer>();
    let mut bench = Bench::new(&recorded);
    let request = EnqueueOfferRequest::decode(recorded.outgoing.call.body.as_slice()).unwrap();
    let no_user = bench.ask(bench.changed(request.to.user.uuid.as_bytes(), &[0x44; 16]));
    let no_client = bench.ask(bench.changed(request.to.client.as_bytes(), &[0x44; 16]));
    alike("enqueue_offer", ErrorCode::NotFound, &no_user, &no_client);

    let user = request.to.user;
    let ask = |user: UserId| {
        let body = GetProfileRequest { user, version: 77 }.encode();
        let mut bench = Bench::new(&standing_for::<GetProfile>(&valid::<GetAddPackages>(), body.to_vec()));
        bench.ask(bench.arena.recorded().outgoing.call.clone())
    };
    alike("get_profile", ErrorCode::NotFound, &ask(stranger(&user)), &ask(user));
}

#[test]
fn t25_logging_in_as_nobody_is_as_logging_in_as_somebody_with_a_wrong_password() {
    let (user, ke1) = login();
    let mut bench = Bench::new(&begun(&user, &ke1));
    let mut begin = |user: &UserId| {
        bench.arena.rewind();
        bench.keep(begun(user, &ke1).outgoing.call)
    };
    let (one, known) = begin(&user);
    let (other, unknown) = begin(&stranger(&user));
    let (one, other) = (reply(&one), reply(&other));
    assert_eq!(known, unknown, "the work of beginning");
    assert!(known.computed.oprfs > 0, "{known:?}");
    assert_eq!(one.ke2.len(), other.ke2.len());
    // The evaluated element stays for a user, and differs from user to user, whether there is such a user or not.
    let element = |reply: &LoginReply| reply.ke2.as_slice()[..32].to_vec();
    for user in [&user, &stranger(&user)] {
        let again = [reply(&begin(user).0), reply(&begin(user).0)];
        assert_eq!(element(&again[0]), element(&again[1]), "an element that changes shows a fake record");
        assert_ne!(again[0].ke2, again[1].ke2);
    }
    assert_ne!(element(&one), element(&other));

    let finish = |user: &UserId| {
        let mut bench = Bench::new(&begun(user, &ke1));
        let begun = reply(&bench.keep(begun(user, &ke1).outgoing.call).0);
        bench.finish(user, begun.login)
    };
    alike("add_client_finish", ErrorCode::Unauthenticated, &finish(&stranger(&user)), &finish(&user));
}

/// Two answers that must tell nothing, and cost the same.
fn alike(name: &str, code: ErrorCode, one: &Asked, other: &Asked) {
    println!("{name}: {one:?}");
    assert_eq!(one.0.as_ref().map_err(|error| error.code), Err(code), "{name}");
    assert_eq!(one, other, "{name}");
}

/// The user whose offers were recorded, and a KE1 made of what a registration sent: any two elements will do.
fn login() -> (UserId, Opaque<MAX_OPAQUE>) {
    let offer = EnqueueOfferRequest::decode(valid::<EnqueueOffer>().outgoing.call.body.as_slice()).unwrap();
    let registration = valid::<RegisterInit>().outgoing.call;
    let element = RegisterInitRequest::decode(registration.body.as_slice()).unwrap().opaque;
    let ke1 = [element.as_slice(), &[0x51; 32], element.as_slice()].concat();
    (offer.to.user, Opaque::new(ke1).unwrap())
}

/// As if a login had been recorded.
fn begun(user: &UserId, ke1: &Opaque<MAX_OPAQUE>) -> Recorded {
    let request = AddClientInitRequest { user: user.clone(), ke1: ke1.clone(), work: None };
    standing_for::<AddClientInit>(&valid::<EnqueueOffer>(), request.encode().to_vec())
}

fn reply(answer: &Answer) -> LoginReply {
    LoginReply::decode(answer.as_ref().unwrap()).unwrap()
}

/// The same call, where the client that signs it is gone: all that is stored under its id.
fn without_client(recorded: &Recorded) -> Recorded {
    let sender = &recorded.outgoing.call.auth.as_ref().unwrap().sender;
    let Sender::ClientCredential(credential) = sender else { panic!("{sender:?}") };
    let id = credential.payload.client.client.as_bytes();
    let is_its = |partition: &PartitionKey| {
        partition.space() == Space::As && partition.key().windows(id.len()).any(|it| it == id)
    };
    without(recorded, is_its)
}

/// The same call, where its homeserver has lost some of what it stored.
fn without(recorded: &Recorded, is_lost: impl Fn(&PartitionKey) -> bool) -> Recorded {
    let mut recorded = recorded.clone();
    let store: &mut MemoryStore = recorded.before.disks.get_mut(&recorded.to).unwrap();
    *store = store.fork();
    let stored = store.dump().len();
    for (partition, _) in store.dump().into_iter().filter(|(partition, _)| is_lost(partition)) {
        let part = Part {
            partition,
            base: Base::Any,
            mark: Mark([0; 16]),
            writes: vec![Write::Drop],
            alarm: Alarm::Never,
        };
        let _done = block_on(store.commit(&Batch { parts: vec![part] })).unwrap();
    }
    assert!(store.dump().len() < stored, "nothing was lost");
    recorded
}

/// What the world was like when a call was recorded, with another call.
fn standing_for<E: Endpoint>(recorded: &Recorded, body: Vec<u8>) -> Recorded {
    let token = recorded.outgoing.call.token.clone().filter(|_| E::DESCRIPTION.token.is_some());
    let call = Call { token, ..call_of::<E>(body) };
    let outgoing = Outgoing {
        service: E::DESCRIPTION.service,
        name: E::DESCRIPTION.name,
        call,
        circuit: recorded.outgoing.circuit,
    };
    Recorded { outgoing, ..recorded.clone() }
}

fn valid<E: Endpoint>() -> Recorded {
    recorded().into_iter().find(|it| it.outgoing.name == E::DESCRIPTION.name).unwrap()
}

fn stranger(user: &UserId) -> UserId {
    UserId { uuid: Uuid([0x52; 16]), domain: user.domain.clone() }
}

/// How a call to an endpoint of a group shows that its caller may: group and key come first in each.
fn access(recorded: &Recorded) -> Option<GroupAccess> {
    // What is created is none yet.
    let is_of_group = recorded.outgoing.service == ServiceName::Ds
        && recorded.outgoing.name != CreateGroup::DESCRIPTION.name;
    GroupAccess::tls_deserialize_bytes(recorded.outgoing.call.body.as_slice())
        .ok()
        .filter(|(access, _)| is_of_group && access.group.domain == recorded.to)
        .map(|(access, _)| access)
}
