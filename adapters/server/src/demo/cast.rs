//! Who plays, and what they say: all of it from one seed.

use phoenix_core::{Uuid, crypto::Chance};

/// A person of the play.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// The letter that lines call them by.
    pub(crate) letter: char,
    /// The user id's unique part.
    pub(crate) uuid: Uuid,
    /// The name that they introduce themselves by.
    pub(crate) name: String,
    /// What strangers may find them by.
    pub(crate) alias: String,
    pub(crate) password: String,
}

/// Draws everything that the play leaves to chance.
pub(crate) struct Dice(Chance);

impl Dice {
    /// The same seed draws the same.
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().zip(seed.to_be_bytes()) {
            *place = byte;
        }
        Self(Chance::from_seed(bytes))
    }

    /// A number below `below`; 0 where that is 0.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0.below(below)
    }

    /// One of the items.
    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let place = usize::try_from(self.below(count)).unwrap_or_default();
        items.get(place).copied().unwrap_or_default()
    }

    /// Puts items into another order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let drawn = self.below(u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1));
            items.swap(last, usize::try_from(drawn).unwrap_or(last));
        }
    }

    /// A person.
    pub(crate) fn person(&mut self, letter: char) -> Person {
        let number = self.below(1_000_000);
        let (given, family) = (self.pick(GIVEN), self.pick(FAMILY));
        Person {
            letter,
            uuid: Uuid::from_random(self.0.bytes()),
            name: format!("{given} {family} the {number}th"),
            alias: format!("{}-{}-{number:06}", given.to_lowercase(), self.pick(NOUNS)),
            password: format!(
                "{} {} {} {}",
                self.pick(NOUNS),
                self.pick(NOUNS),
                self.pick(VERBS),
                self.below(10_000)
            ),
        }
    }

    /// Something to say, unlike anything said before: `number` is its number.
    pub(crate) fn text(&mut self, speaker: &Person, number: usize) -> String {
        let mut text = format!("{} says ({number}):", speaker.name);
        for _ in 0..=self.below(12) {
            let sentence =
                [" the ", self.pick(NOUNS), " ", self.pick(VERBS), " the ", self.pick(NOUNS), ";"].concat();
            text.push_str(&sentence);
        }
        text
    }
}

const GIVEN: &[&str] = &[
    "Amelia", "Benedikt", "Chidinma", "Dariusz", "Eluned", "Fatima", "Giacomo", "Hanneke", "Ikaika", "Jelena",
];
const FAMILY: &[&str] = &[
    "Abernathy",
    "Brandvold",
    "Castellano",
    "Drakulic",
    "Eriksson",
    "Fujimoto",
    "Grigoryan",
    "Hakimi",
    "Okonkwo",
];
const NOUNS: &[&str] = &[
    "lighthouse",
    "harbour",
    "kettle",
    "sparrow",
    "orchard",
    "compass",
    "violin",
    "glacier",
    "lantern",
    "bakery",
    "meadow",
    "anchor",
    "chimney",
    "saddle",
    "parchment",
    "turnip",
];
const VERBS: &[&str] = &[
    "admires",
    "carries",
    "follows",
    "borrows",
    "outlives",
    "repairs",
    "mistrusts",
    "forgets",
    "paints",
    "weighs",
];

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn a_seed_fixes_who_plays_and_what_they_say() {
        let drawn = |seed| {
            let mut dice = Dice::new(seed);
            let person = dice.person('a');
            let text = dice.text(&person, 1);
            (person.name, person.uuid, text)
        };

        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn shuffling_loses_nothing() {
        let mut items: Vec<u8> = (0..50).collect();

        Dice::new(3).shuffle(&mut items);

        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.into_iter().eq(0..50));
    }
}
