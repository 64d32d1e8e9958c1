//! A homeserver with a group.

use crate::{
    calls::Purse,
    group::Group,
    house::{House, Kind},
    people::Person,
};

pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) purse: Purse,
    pub(crate) group: Group,
}

impl Scene {
    /// A group of so many members, and all of what making it has caused still on its lane.
    pub(crate) fn new(kind: Kind, members: usize) -> Self {
        let house = House::new(kind);
        let mut purse = Purse::new(&house);
        let creator = Person::new(&house, &mut purse);
        let candidates = (1..members).map(|_| {
            let mut person = Person::new(&house, &mut purse);
            person.publish(&house, &mut purse, 1);
            person.candidate(&house, &mut purse)
        });
        let candidates = candidates.collect();
        let group = Group::new(&house, &mut purse, &creator, candidates);
        assert_eq!(group.members(), members);
        Self { house, purse, group }
    }

    /// The same, with all of it delivered.
    pub(crate) fn settled(kind: Kind, members: usize) -> Self {
        let mut scene = Self::new(kind, members);
        scene.house.work();
        scene.house.arrive(scene.group.entries);
        scene
    }
}
