use phoenix_core::{
    AliasHash, Reject,
    api::{Empty, auth::AliasRegisterRequest},
    time::DAY,
};

use super::{
    aliases::{NAME, Owner, enqueue, take},
    world::{By, World, dequeue},
};
use crate::op;

#[test]
fn an_alias_ends_after_a_year_with_all_that_is_its_own() {
    let world = World::new();
    let (owner, heir) = (Owner::new(&world), Owner::new(&world));
    owner.register(&world).unwrap();
    owner.publish(&world, &[world.payload(366 * DAY)]).unwrap();
    enqueue(&world, b"an offer for the owner").unwrap();

    world.pass(364 * DAY);
    let too_early = heir.register(&world);
    world.pass(5 * DAY);

    assert_eq!(too_early, Err(Reject::AlreadyExists));
    assert!(!world.holds(b""), "nothing is left");
    assert_eq!(heir.register(&world), Ok(Empty {}));
}

#[test]
fn nothing_of_an_ended_alias_falls_to_its_next_owner_before_the_sweeper_came() {
    let world = World::new();
    let (owner, heir) = (Owner::new(&world), Owner::new(&world));
    owner.register(&world).unwrap();
    owner.publish(&world, &[world.payload(366 * DAY)]).unwrap();
    enqueue(&world, b"an offer for the owner").unwrap();

    world.pass_unswept(367 * DAY);
    let ended = [take(&world).err(), enqueue(&world, b"an offer").err()];
    heir.register(&world).unwrap();
    let reply = world.ask::<op::AliasDequeue>(dequeue(0, 0, 0), By::Alias(NAME, &heir.key)).unwrap();

    assert_eq!(ended, [Some(Reject::NotFound), Some(Reject::NotFound)]);
    assert_eq!(reply.entries.len(), 1, "the ratchet's first key");
    assert_eq!(take(&world), Err(Reject::NotFound));
}

#[test]
fn a_deleted_alias_leaves_nothing_and_anyone_may_have_it() {
    let world = World::new();
    let (owner, heir) = (Owner::new(&world), Owner::new(&world));
    owner.register(&world).unwrap();
    owner.publish(&world, &[world.payload(5 * DAY)]).unwrap();
    enqueue(&world, b"an offer").unwrap();

    assert_eq!(owner.delete(&world), Ok(Empty {}));

    assert!(!world.holds(b""), "nothing is left");
    assert_eq!(take(&world), Err(Reject::NotFound));
    assert_eq!(owner.delete(&world), Err(Reject::Unauthenticated));
    assert_eq!(heir.register(&world), Ok(Empty {}));
}

#[test]
fn an_old_frame_deletes_no_newer_owners_alias() {
    let world = World::new();
    let (owner, heir) = (Owner::new(&world), Owner::new(&world));
    let delete = |by: &Owner| world.call::<op::AliasDelete>(&Empty {}, By::Alias(NAME, &by.key), None);
    owner.register(&world).unwrap();
    let (used, unused) = (delete(&owner), delete(&owner));
    world.send::<op::AliasDelete>(used.clone()).unwrap();

    owner.register(&world).unwrap();
    assert_eq!(world.send::<op::AliasDelete>(used.clone()), Err(Reject::Unauthenticated), "the same owner's");
    owner.delete(&world).unwrap();
    heir.register(&world).unwrap();

    for frame in [used, unused] {
        assert_eq!(world.send::<op::AliasDelete>(frame), Err(Reject::Unauthenticated));
    }
    assert_eq!(owner.register(&world), Err(Reject::AlreadyExists));
}

#[test]
fn an_alias_is_deleted_and_renewed_by_its_owner_only() {
    let world = World::new();
    let (owner, other) = (Owner::new(&world), Owner::new(&world));
    let attempts = || [other.delete(&world), other.renew(&world)];

    let unknown = attempts();
    owner.register(&world).unwrap();

    assert_eq!(unknown, [Err(Reject::Unauthenticated), Err(Reject::Unauthenticated)]);
    assert_eq!(attempts(), unknown);
    let unsigned = world.ask::<op::AliasDelete>(Empty {}, By::Nobody);
    assert_eq!(unsigned, Err(Reject::Unauthenticated));
    assert_eq!(owner.register(&world), Err(Reject::AlreadyExists), "it stands");
}

#[test]
fn as_much_is_read_and_written_of_an_unknown_alias_that_is_deleted_as_of_anothers() {
    let world = World::new();
    let (owner, other) = (Owner::new(&world), Owner::new(&world));
    let work = || {
        world.reads();
        let partitions = world.store.dump().len();
        let refused = [other.delete(&world), other.renew(&world)].map(Result::err);
        (refused, world.reads(), world.store.dump().len() - partitions)
    };

    let unknown = work();
    owner.register(&world).unwrap();

    assert_eq!(work(), unknown);
}

#[test]
fn a_renewed_alias_lasts_another_year_with_its_queue_and_its_packages() {
    let world = World::new();
    let owner = Owner::new(&world);
    owner.register(&world).unwrap();
    world.pass(360 * DAY);
    owner.publish(&world, &[world.payload(300 * DAY)]).unwrap();

    assert_eq!(owner.renew(&world), Ok(Empty {}));
    world.pass(299 * DAY);

    assert!(take(&world).is_ok(), "its package would have ended with it before");
    assert_eq!(enqueue(&world, b"an offer"), Ok(Empty {}));
    let read = world.ask::<op::AliasDequeue>(dequeue(0, 0, 0), By::Alias(NAME, &owner.key)).unwrap();
    assert_eq!(read.entries.len(), 2);
    world.pass(3 * DAY);
    assert_eq!(take(&world), Err(Reject::NotFound), "a package ends by itself");
    world.pass(68 * DAY);
    assert!(!world.holds(b""), "nothing is left");
}

#[test]
fn an_alias_has_its_queue_to_the_end() {
    let world = World::new();
    let owner = Owner::new(&world);
    let names = [1, 2, 3, 4].map(|name| AliasHash([name; 32]));
    for alias in names {
        let request = AliasRegisterRequest { alias, ..owner.request() };
        world.ask::<op::AliasRegister>(request, By::Key(&owner.key)).unwrap();
    }
    world.pass(365 * DAY);

    let (mut read, mut gone) = (0, 0);
    for _ in 0..48 {
        world.pass(DAY / 24);
        for alias in names {
            match world.ask::<op::AliasDequeue>(dequeue(0, 0, 0), By::Alias(alias, &owner.key)) {
                Ok(_) => read += 1,
                Err(reject) => {
                    assert_eq!(reject, Reject::Unauthenticated);
                    gone += 1;
                }
            }
        }
    }

    assert!(read > 0 && gone > 0);
}

#[test]
fn an_alias_is_renewed_for_a_token_while_it_lives() {
    let world = World::new();
    let owner = Owner::new(&world);
    owner.register(&world).unwrap();
    let unpaid = world.call::<op::AliasRenew>(&Empty {}, By::Alias(NAME, &owner.key), None);
    assert_eq!(world.send::<op::AliasRenew>(unpaid), Err(Reject::TokenRequired));

    world.pass_unswept(368 * DAY);

    assert_eq!(owner.renew(&world), Err(Reject::Unauthenticated));
    assert_eq!(owner.delete(&world), Err(Reject::Unauthenticated));
}

impl Owner {
    fn delete(&self, world: &World) -> Result<Empty, Reject> {
        world.ask::<op::AliasDelete>(Empty {}, By::Alias(NAME, &self.key))
    }

    fn renew(&self, world: &World) -> Result<Empty, Reject> {
        world.ask::<op::AliasRenew>(Empty {}, By::Alias(NAME, &self.key))
    }
}
