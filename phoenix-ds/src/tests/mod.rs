//! Attacks on groups, each named after its row of the threats (10), and the bounds of what a request may bring.

mod bounds;
mod t13;
mod t14;
mod t15;
mod t25;

use phoenix_core::limit::Limits;

use crate::testing::{Member, World};

/// A DS that lets through whatever comes: each attack is refused for itself, not for being one of many.
fn world() -> World {
    World::limited(Limits::unlimited())
}

/// A group of these many, the first of which made it and is its admin.
fn group<const N: usize>(world: &World) -> [Member; N] {
    let mut members = std::array::from_fn(|_| Member::new(world, "alpha.test"));
    let (first, others) = members.split_first_mut().unwrap();
    first.create(world, None).unwrap();
    first.add(world, &mut others.iter_mut().collect::<Vec<_>>()).unwrap();
    world.delivered();
    members
}
