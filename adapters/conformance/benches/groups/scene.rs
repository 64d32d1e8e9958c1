//! A homeserver with a group.

use crate::{
    calls::Purse,
    group::Group,
    house::{House, Kind},
    people::{Person, Reader},
};

pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) purse: Purse,
    pub(crate) group: Group,
    /// Its members.
    readers: Vec<Reader>,
}

impl Scene {
    /// A group of so many members, and all of what making it has caused still on its lane.
    pub(crate) fn new(kind: Kind, members: usize) -> Self {
        let mut house = House::new(kind);
        let mut purse = Purse::new(&house);
        let creator = Person::new(&house, &mut purse);
        let mut readers = Vec::new();
        let candidates = (1..members).map(|_| {
            let mut person = Person::new(&house, &mut purse);
            person.publish(&house, &mut purse, 1);
            let candidate = person.candidate(&house, &mut purse);
            readers.push(Reader::new(person));
            candidate
        });
        let candidates: Vec<_> = candidates.collect();
        // Each was told that few packages are left.
        house.arrive(candidates.len() as u64);
        let group = Group::new(&house, &mut purse, &creator, candidates);
        assert_eq!(group.members(), members);
        Self { house, purse, group, readers }
    }

    /// The same, with all of it delivered.
    pub(crate) fn settled(kind: Kind, members: usize) -> Self {
        let mut scene = Self::new(kind, members);
        scene.house.work();
        scene.house.arrive(scene.group.entries);
        scene.read();
        scene
    }

    /// Those who were added read their queues: where a group is talked in, queues do not fill up.
    pub(crate) fn read(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.read(&self.house));
    }
}
