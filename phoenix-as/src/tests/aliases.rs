use phoenix_core::{
    AliasHash, Reject,
    api::{
        Empty,
        auth::{AliasOfferRequest, AliasPublishRequest, AliasRegisterRequest, MAX_OFFER, MAX_PACKAGES},
    },
    credential::PackagePayload,
    crypto::{HpkePublicKey, HpkeSecretKey, SigningKey, Suite},
    queue::ClientRatchet,
    time::DAY,
    token::Class,
    wire::{List, Opaque, Wire},
};

use super::world::{By, World, dequeue};
use crate::op;

pub(super) const NAME: AliasHash = AliasHash([0xa5; 32]);

#[test]
fn a_registered_alias_is_reached_by_its_hash_alone() {
    let world = World::new();
    let owner = Owner::new(&world);
    assert_eq!(owner.register(&world), Ok(Empty {}));
    let packages = [world.payload(5 * DAY), world.payload(5 * DAY)];
    owner.publish(&world, &packages).unwrap();

    let served = [take(&world), take(&world), take(&world)];
    enqueue(&world, b"a sealed offer").unwrap();
    let reply = world.ask::<op::AliasDequeue>(dequeue(0, 0, 0), By::Alias(NAME, &owner.key)).unwrap();

    let [first, last] = packages;
    assert_eq!(served, [Ok(first), Ok(last.clone()), Ok(last)]);
    let mut ratchet = ClientRatchet::new(owner.queue_key);
    assert_eq!(ratchet.open(&reply.entries[0]), Ok(None));
    let opened = ratchet.open(&reply.entries[1]).unwrap().unwrap();
    assert_eq!(opened.content.as_slice(), b"a sealed offer");
}

#[test]
fn an_alias_is_stored_nowhere_in_clear() {
    let world = World::new();
    let owner = Owner::new(&world);

    owner.register(&world).unwrap();
    owner.publish(&world, &[world.payload(5 * DAY)]).unwrap();

    assert!(!world.holds(&NAME.as_bytes()[..12]));
}

#[test]
fn an_alias_is_given_to_one_owner_at_a_time() {
    let world = World::new();
    let (owner, other) = (Owner::new(&world), Owner::new(&world));
    owner.register(&world).unwrap();

    assert_eq!(other.register(&world), Err(Reject::AlreadyExists));
    assert_eq!(other.publish(&world, &[world.payload(5 * DAY)]), Err(Reject::Unauthenticated));
    assert_eq!(
        world.ask::<op::AliasDequeue>(dequeue(0, 0, 0), By::Alias(NAME, &other.key)),
        Err(Reject::Unauthenticated)
    );
}

#[test]
fn what_is_asked_of_an_unknown_alias_finds_nothing() {
    let world = World::new();
    let owner = Owner::new(&world);

    assert_eq!(take(&world), Err(Reject::NotFound));
    assert_eq!(enqueue(&world, b"offer"), Err(Reject::NotFound));
    assert_eq!(owner.publish(&world, &[world.payload(5 * DAY)]), Err(Reject::Unauthenticated));
    owner.register(&world).unwrap();
    assert_eq!(take(&world), Err(Reject::NotFound), "no package yet");
}

#[test]
fn as_much_is_read_of_an_unknown_alias_as_of_anothers() {
    let world = World::new();
    let (owner, other) = (Owner::new(&world), Owner::new(&world));
    let reads_of = || {
        world.reads();
        let read = world.ask::<op::AliasDequeue>(dequeue(0, 0, 0), By::Alias(NAME, &other.key));
        assert_eq!(read, Err(Reject::Unauthenticated));
        world.reads()
    };

    let unknown = reads_of();
    owner.register(&world).unwrap();

    assert_eq!(unknown, [2], "its record and its queue's head; no entry before the signature is right");
    assert_eq!(reads_of(), unknown);
}

#[test]
fn keys_that_are_none_are_not_registered() {
    let world = World::new();
    let owner = Owner::new(&world);
    let mut weak_key = owner.request();
    weak_key.queue_key = HpkePublicKey { suite: Suite::Ed25519, key: Opaque::new(vec![0; 32]).unwrap() };
    let stranger = SigningKey::generate(Suite::Ed25519, &mut world.chance());

    assert!(matches!(
        world.ask::<op::AliasRegister>(weak_key, By::Key(&owner.key)),
        Err(Reject::Malformed(_))
    ));
    assert_eq!(
        world.ask::<op::AliasRegister>(owner.request(), By::Key(&stranger)),
        Err(Reject::Unauthenticated)
    );
    assert_eq!(owner.register(&world), Ok(Empty {}), "nothing of it took the alias");
}

#[test]
fn packages_without_time_left_or_none_at_all_are_not_published() {
    let world = World::new();
    let owner = Owner::new(&world);
    owner.register(&world).unwrap();
    let ended = world.payload(5);
    world.pass(6);

    assert_eq!(owner.publish(&world, &[ended]), Err(Reject::Malformed("lifetime")));
    assert_eq!(owner.publish(&world, &[world.payload(400 * DAY)]), Err(Reject::Malformed("lifetime")));
    assert_eq!(owner.publish(&world, &[]), Err(Reject::Malformed("packages")));
}

#[test]
fn packages_and_offers_fit_up_to_their_bounds() {
    let world = World::new();
    let owner = Owner::new(&world);
    owner.register(&world).unwrap();
    let packages = vec![world.payload(5 * DAY); MAX_PACKAGES + 1];

    assert_eq!(owner.publish(&world, &packages[..MAX_PACKAGES]), Ok(Empty {}));
    assert_eq!(enqueue(&world, &[7; MAX_OFFER]), Ok(Empty {}));

    let token = |class| Some(world.token(class));
    let request = AliasPublishRequest { packages: List::default() };
    let by = By::Alias(NAME, &owner.key);
    let mut publish = world.call::<op::AliasPublishPackages>(&request, by, token(Class::Standard));
    publish.body = Opaque::new(List::<_, { MAX_PACKAGES + 1 }>::new(packages).unwrap().encode()).unwrap();
    assert!(matches!(world.send::<op::AliasPublishPackages>(publish), Err(Reject::Malformed(_))));
    let request = AliasOfferRequest { to: NAME, ciphertext: Opaque::default() };
    let mut offer = world.call::<op::AliasEnqueueOffer>(&request, By::Nobody, token(Class::Contact));
    let longer = Opaque::<{ MAX_OFFER + 1 }>::new(vec![7; MAX_OFFER + 1]).unwrap();
    offer.body = Opaque::new((NAME, longer).encode()).unwrap();
    assert!(matches!(world.send::<op::AliasEnqueueOffer>(offer), Err(Reject::Malformed(_))));
}

pub(super) struct Owner {
    pub(super) key: SigningKey,
    pub(super) queue_key: HpkeSecretKey,
}

impl Owner {
    pub(super) fn new(world: &World) -> Self {
        let mut chance = world.chance();
        let key = SigningKey::generate(Suite::Ed25519, &mut chance);
        Self { key, queue_key: HpkeSecretKey::generate(Suite::Ed25519, &mut chance) }
    }

    pub(super) fn request(&self) -> AliasRegisterRequest {
        let (auth_key, queue_key) = (self.key.verifying_key(), self.queue_key.public_key().clone());
        AliasRegisterRequest { alias: NAME, auth_key, queue_key }
    }

    pub(super) fn register(&self, world: &World) -> Result<Empty, Reject> {
        world.ask::<op::AliasRegister>(self.request(), By::Key(&self.key))
    }

    pub(super) fn publish(&self, world: &World, packages: &[PackagePayload]) -> Result<Empty, Reject> {
        let request = AliasPublishRequest { packages: List::new(packages.to_vec()).unwrap() };
        world.ask::<op::AliasPublishPackages>(request, By::Alias(NAME, &self.key))
    }
}

pub(super) fn take(world: &World) -> Result<PackagePayload, Reject> {
    world.ask::<op::AliasGetPackage>(NAME, By::Nobody)
}

pub(super) fn enqueue(world: &World, offer: &[u8]) -> Result<Empty, Reject> {
    let ciphertext = Opaque::new(offer.to_vec()).unwrap();
    world.ask::<op::AliasEnqueueOffer>(AliasOfferRequest { to: NAME, ciphertext }, By::Nobody)
}
