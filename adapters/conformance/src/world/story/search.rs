//! What homeservers hold is searched for what they must not know (09).

use std::collections::BTreeMap;

use phoenix_core::{Fqdn, port::Space, store::MemoryStore};

use super::{Narrator, Turn, people::ALIAS};
use crate::world::town::password;

impl Narrator {
    /// Keeps what all homeservers hold now, for the search at the end.
    pub(super) fn photograph(&mut self) {
        self.photographs.push(self.ground.disks());
    }

    pub(super) fn the_stores_are_searched(&mut self) -> Result<(), Turn> {
        self.photograph();
        let mut secrets = Needles::default();
        secrets.add(ALIAS.as_bytes());
        secrets.add(ALIAS.to_lowercase().as_bytes());
        let (mut users, mut texts) = (Needles::default(), 0_usize);
        for (name, actor) in &self.people {
            secrets.add(password(name).as_bytes());
            users.add(actor.user.uuid.as_bytes());
            users.add(actor.user.uuid.to_string().as_bytes());
            for text in actor.diary().groups.values().flat_map(|chapter| &chapter.texts) {
                secrets.add(text.as_bytes());
                texts += 1;
            }
        }
        self.expect(texts > 0, "there was nothing to search for")?;
        for disks in &self.photographs {
            let found = occurrences(disks, &secrets);
            self.expect(found.is_empty(), &format!("aliases, passwords or texts are stored: {found:?}"))?;
            let mut found = occurrences(disks, &users);
            found.retain(|(_, space), _| *space != Space::As);
            self.expect(found.is_empty(), &format!("user ids are stored: {found:?}"))?;
        }
        self.users_are_found_where_they_registered()?;
        let rows: usize = self.photographs.iter().flat_map(BTreeMap::values).map(rows).sum();
        self.done(format!("{rows} rows hold no text and no name, and user ids only where users registered"));
        Ok(())
    }

    /// Shows that the search finds what is there: who registered is known to their own AS, and to no other.
    fn users_are_found_where_they_registered(&self) -> Result<(), Turn> {
        let disks = self.ground.disks();
        for (name, actor) in &self.people {
            let mut needles = Needles::default();
            needles.add(actor.user.uuid.as_bytes());
            let found = occurrences(&disks, &needles);
            let places: Vec<_> = found.keys().collect();
            let is_known = places == [&(actor.user.domain.clone(), Space::As)];
            self.expect(is_known, &format!("the id of {name} is found in {places:?}"))?;
        }
        Ok(())
    }
}

/// What is searched for, by its first byte: as it is, and in hexadecimal digits.
#[derive(Default)]
struct Needles {
    by_first: BTreeMap<u8, Vec<Vec<u8>>>,
}

impl Needles {
    fn add(&mut self, needle: &[u8]) {
        let lower: String = needle.iter().map(|byte| format!("{byte:02x}")).collect();
        let upper = lower.to_uppercase();
        for form in [needle.to_vec(), lower.into_bytes(), upper.into_bytes()] {
            let Some(first) = form.first() else { continue };
            let forms = self.by_first.entry(*first).or_default();
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
    }

    /// How often any of them occurs.
    fn count_in(&self, hay: &[u8]) -> usize {
        let found = |(place, first): (usize, &u8)| {
            let rest = hay.get(place..).unwrap_or_default();
            self.by_first.get(first).map_or(0, |forms| forms.iter().filter(|it| rest.starts_with(it)).count())
        };
        hay.iter().enumerate().map(found).sum()
    }
}

/// How often something occurs, in which homeserver's which space: in keys as well as in values.
fn occurrences(disks: &BTreeMap<Fqdn, MemoryStore>, needles: &Needles) -> BTreeMap<(Fqdn, Space), usize> {
    let mut found: BTreeMap<_, usize> = BTreeMap::new();
    for (domain, disk) in disks {
        for (partition, snapshot) in disk.dump() {
            let rows = snapshot
                .rows
                .iter()
                .map(|(key, value)| needles.count_in(key.as_ref()) + needles.count_in(value));
            let count = needles.count_in(partition.key()) + rows.sum::<usize>();
            if count > 0 {
                *found.entry((domain.clone(), partition.space())).or_default() += count;
            }
        }
    }
    found
}

fn rows(disk: &MemoryStore) -> usize {
    disk.dump().iter().map(|(_, found)| found.rows.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::Needles;

    #[test]
    fn what_is_searched_for_is_found_as_it_is_and_in_digits() {
        let mut needles = Needles::default();
        needles.add(b"Carol");

        assert_eq!(needles.count_in(b"CCarol, 4361726f6c and 4361726F6C"), 3);
        assert_eq!(needles.count_in(b"Caro"), 0);
    }
}
