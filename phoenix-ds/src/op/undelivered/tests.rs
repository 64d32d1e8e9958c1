#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use futures::executor::block_on;
use phoenix_core::{
    Failure,
    api::{
        Empty,
        delivery::{Undeliverable, UndeliveredRequest},
    },
    crypto::Suite,
    operation::Fare,
    wire::{List, Opaque},
};

use super::Undelivered;
use crate::{
    kinds,
    sealed::NOTES,
    testing::{Member, World, rejected},
};

fn back(world: &World) -> (Member, bytes::Bytes) {
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(world, it));
    a.create(world, None).unwrap();
    a.add(world, &mut [&mut b]).unwrap();
    a.send(world, b"x").unwrap();
    let back = world.delivered().remove(0).back;
    (a, back)
}

fn tell(world: &World, back: &[u8], gone: Vec<[u8; 32]>) -> Result<Empty, Failure> {
    let (back, queues) = (Opaque::new(back.to_vec()).unwrap(), List::new(gone).unwrap());
    let (cause, seen_at) = (Undeliverable::Gone, world.now().as_secs());
    let request = UndeliveredRequest { back, cause, seen_at, queues };
    block_on(world.engine.internal::<Undelivered>(request, Fare::Free))
}

fn notes(world: &World, member: &Member) -> usize {
    world.group(member.access.as_ref().unwrap()).graveyard.notes.len()
}

#[test]
fn the_first_and_the_latest_note_of_a_queue_are_kept() {
    let world = World::new();
    let (mut a, back) = back(&world);

    for _ in 0..3 {
        tell(&world, &back, vec![[1; 32], [2; 32]]).unwrap();
    }

    assert_eq!(notes(&world, &a), 4);
    assert!(a.send(&world, b"the group goes on").is_ok());
}

#[test]
fn a_group_has_room_for_a_few_notes_only() {
    let world = World::new();
    let (a, back) = back(&world);

    for part in 0..3_u8 {
        tell(&world, &back, (0..60).map(|number| [part * 60 + number; 32]).collect()).unwrap();
    }

    assert_eq!(notes(&world, &a), 64);
}

#[test]
fn an_address_that_is_not_ours_is_refused() {
    let world = World::new();
    let (a, back) = back(&world);
    let mut back = back.to_vec();
    back[20] ^= 1;

    assert_eq!(rejected(tell(&world, &back, vec![[1; 32]])), phoenix_core::Reject::NotFound);
    assert_eq!(notes(&world, &a), 0);
}

#[test]
fn how_many_notes_a_group_has_does_not_show() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let world = World::new();
        let mut a = Member::with(&world, "alpha.test", suite);
        let mut b = Member::with(&world, "alpha.test", suite);
        a.create(&world, None).unwrap();
        a.add(&world, &mut [&mut b]).unwrap();
        a.send(&world, b"x").unwrap();
        let back = world.delivered().remove(0).back;

        let lengths = || -> Vec<_> {
            let rows = world.group_rows().into_iter().filter(|(row, _)| *row == kinds::NOTES);
            rows.map(|(_, value)| value.len()).collect()
        };

        for number in 0..64 {
            tell(&world, &back, vec![[number; 32]]).unwrap();
            assert_eq!(lengths(), [NOTES]);
        }
        assert_eq!(notes(&world, &a), 64);
        // Also as a commit leaves them: it keeps none of queues that are nobody's.
        a.update(&world).unwrap();
        assert_eq!((notes(&world, &a), lengths()), (0, vec![]));
        tell(&world, &back, vec![[1; 32], b.config.sealed.digest()]).unwrap();
        a.update(&world).unwrap();
        assert_eq!((notes(&world, &a), lengths()), (1, vec![NOTES]));
    }
}
