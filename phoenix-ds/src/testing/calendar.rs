//! Months that go by in a group, which lasts as long as somebody commits.

use super::{Member, World};

/// So many days, in which all of these commit every two months.
pub(crate) fn busy(world: &World, members: &mut [&mut Member], days: u64) {
    let mut left = days;
    while left > 0 {
        let step = left.min(60);
        world.advance_days(step);
        left -= step;
        for number in 0..members.len() {
            commit(world, members, number);
        }
    }
}

/// A hundred and thirty days, in which the first of these commits once and the others not at all.
pub(crate) fn idle(world: &World, members: &mut [&mut Member]) {
    world.advance_days(60);
    commit(world, members, 0);
    world.advance_days(70);
}

fn commit(world: &World, members: &mut [&mut Member], number: usize) {
    members[number].update(world).unwrap();
    let arrived = world.delivered();
    for member in members.iter_mut() {
        member.follow(&arrived);
    }
}
