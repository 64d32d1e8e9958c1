//! (1) Words of the scenario: identifiers, names and plaintexts, in all forms in which they could lie.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::{
    Engine,
    engine::{
        GeneralPurpose,
        general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
    },
};
use phoenix_core::port::{PartitionKey, Space};

use super::{
    AuditError, Record, declared, fields,
    report::{Findings, Link, Spot},
};

/// What kind of thing a word is: it tells where it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The id of a user or of one of its clients: the AS knows its users.
    User,
    /// The id of a user or of a client at the QS.
    Queue,
    /// The id of a group: the DS keeps no more than a keyed hash of it.
    Group,
    /// An alias.
    Alias,
    /// A name that is shown, or other content of a profile.
    Name,
    /// A password.
    Password,
    /// A push token.
    PushToken,
    /// A plaintext: what someone said.
    Text,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Queue,
        Self::Group,
        Self::Alias,
        Self::Name,
        Self::Password,
        Self::PushToken,
        Self::Text,
    ];

    /// The words for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user ids",
            Self::Queue => "queue ids",
            Self::Group => "group ids",
            Self::Alias => "aliases",
            Self::Name => "names",
            Self::Password => "passwords",
            Self::PushToken => "push tokens",
            Self::Text => "message texts",
        }
    }

    /// Whether a partition may hold such a word (09, "What may be persisted").
    fn may_be_in(self, partition: &PartitionKey) -> bool {
        let place = (self, partition.space(), super::kind(partition));
        declared::NAMING.iter().any(|(word, space, kind, _)| (*word, *space, *kind) == place)
    }
}

/// Something that is searched for.
#[derive(Clone, PartialEq, Eq)]
pub struct Word {
    kind: Kind,
    bytes: Vec<u8>,
}

impl Word {
    /// A word. Sixteen bytes of an id are searched for as an id's text, too.
    ///
    /// # Errors
    /// [`AuditError::Short`].
    pub fn new(kind: Kind, bytes: impl AsRef<[u8]>) -> Result<Self, AuditError> {
        let bytes = bytes.as_ref().to_vec();
        if bytes.len() < LEAST_WORD { Err(AuditError::Short) } else { Ok(Self { kind, bytes }) }
    }

    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    fn is_id(&self) -> bool {
        matches!(self.kind, Kind::User | Kind::Queue | Kind::Group)
    }

    /// All forms that are searched for.
    fn forms(&self) -> Vec<Vec<u8>> {
        let mut forms = encodings(&self.bytes);
        match <[u8; 16]>::try_from(self.bytes.as_slice()) {
            Ok(id) if self.is_id() => {
                let written = phoenix_core::Uuid(id).to_string();
                forms.extend([written.to_uppercase().into_bytes(), mixed(id)]);
                forms.extend(encodings(written.as_bytes()));
            }
            _ => {
                if let Ok(text) = std::str::from_utf8(&self.bytes) {
                    forms.extend([text.to_lowercase().into_bytes(), text.to_uppercase().into_bytes()]);
                    forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
                    forms.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
                }
            }
        }
        forms
    }
}

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Word({})", self.kind.name())
    }
}

/// All words, to be searched for at once.
#[derive(Debug)]
pub struct Words {
    automaton: AhoCorasick,
    /// What kind each form is of.
    kinds: Vec<Kind>,
}

impl Words {
    /// Each word is searched for as it is, in small and large letters, in UTF-16, in hexadecimal digits of both cases,
    /// and in base64 of both alphabets, wherever in a longer text it may begin.
    ///
    /// # Errors
    /// [`AuditError::Search`].
    pub fn new(words: &[Word]) -> Result<Self, AuditError> {
        let forms = |word: &Word| word.forms().into_iter().map(|form| (form, word.kind)).collect::<Vec<_>>();
        let forms: BTreeSet<(Vec<u8>, Kind)> = words.iter().flat_map(forms).collect();
        let (forms, kinds): (Vec<_>, Vec<_>) = forms.into_iter().unzip();
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(forms);
        Ok(Self { automaton: automaton.map_err(|error| AuditError::Search(error.to_string()))?, kinds })
    }

    /// What stands in some bytes, once for each time.
    pub fn found_in(&self, hay: &[u8]) -> impl Iterator<Item = Kind> {
        let found = self.automaton.find_overlapping_iter(hay);
        found.filter_map(|found| self.kinds.get(found.pattern().as_usize()).copied())
    }
}

/// Finds words where they must not be, and counts them where they may.
pub(super) fn find(
    words: &Words,
    records: &[Record],
    findings: &mut Findings,
) -> BTreeMap<(Kind, Space), u64> {
    let mut in_place: BTreeMap<_, u64> = BTreeMap::new();
    for record in records {
        let space = record.0.space();
        for (part, field) in fields(record) {
            for kind in words.found_in(field) {
                if kind.may_be_in(&record.0) {
                    let times = in_place.entry((kind, space)).or_default();
                    *times = times.saturating_add(1);
                } else {
                    findings.add(Link::Word(kind), Spot::of(&record.0, part.clone()), None);
                }
            }
        }
    }
    in_place
}

/// An id as some systems write it, the first three fields with their lowest byte first.
fn mixed([a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16]) -> Vec<u8> {
    [[d, c, b, a, f, e, h, g], rest].concat()
}

fn encodings(thing: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = thing.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![thing.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for before in 0..3 {
        forms.extend([&STANDARD_NO_PAD, &URL_SAFE_NO_PAD].map(|alphabet| core(alphabet, thing, before)));
    }
    forms
}

/// The digits of a thing's base64 that do not depend on what stands before or behind it, where it begins `before`
/// bytes behind a multiple of three.
fn core(alphabet: &GeneralPurpose, thing: &[u8], before: usize) -> Vec<u8> {
    let encoded = alphabet.encode([vec![0; before].as_slice(), thing].concat()).into_bytes();
    // Six bits a digit: the first digits hold bits of what stands before, the last one may hold some of what follows.
    let (first, last) = ((before * 8).div_ceil(6), (before + thing.len()) * 8 / 6);
    encoded.get(first..last).unwrap_or_default().to_vec()
}

/// Shorter words occur by chance in the ciphertexts of a large store.
pub const LEAST_WORD: usize = 5;

#[cfg(test)]
mod tests {
    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };

    use super::{Kind, Word, Words};
    use crate::audit::AuditError;

    #[test]
    fn a_word_is_found_in_every_form_wherever_it_begins() {
        let thing = b"\xfb\xefcompass-of-jelena\xff";
        let words = words(&[(Kind::Alias, thing.as_slice())]);
        for before in ["", "x", "xy", "xyz", "and then"] {
            let hay = [before.as_bytes(), thing, b"?!"].concat();
            let hex: String = hay.iter().map(|byte| format!("{byte:02x}")).collect();
            let forms = [hay.clone(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
            let encoded = [STANDARD.encode(&hay), URL_SAFE_NO_PAD.encode(&hay)].map(String::into_bytes);
            for form in forms.into_iter().chain(encoded) {
                let found = words.found_in(&form).next();
                assert_eq!(found, Some(Kind::Alias), "{}", String::from_utf8_lossy(&form));
            }
        }
        assert_eq!(words.found_in(b"compass-of-jelena").next(), None);
    }

    #[test]
    fn a_text_is_found_in_letters_of_either_size_and_of_two_bytes() {
        let words = words(&[(Kind::Name, "Jörg of Åland".as_bytes())]);
        let wide: Vec<u8> = "Jörg of Åland".encode_utf16().flat_map(u16::to_le_bytes).collect();

        for hay in ["jörg of åland".as_bytes(), "JÖRG OF ÅLAND".as_bytes(), &wide] {
            assert_eq!(words.found_in(hay).next(), Some(Kind::Name));
        }
    }

    #[test]
    fn an_id_is_found_as_its_bytes_and_as_its_texts() {
        let words = words(&[(Kind::User, [0xab; 16].as_slice())]);

        for hay in [[0xab; 20].as_slice(), b"<abababab-abab-abab-abab-abababababab>", &b"ABAB".repeat(8)] {
            assert_eq!(words.found_in(hay).next(), Some(Kind::User));
        }
        assert_eq!(words.found_in(&[0xab; 15]).next(), None);
    }

    #[test]
    fn a_word_that_occurs_by_chance_is_refused() {
        assert_eq!(Word::new(Kind::Text, "four"), Err(AuditError::Short));
        assert!(Word::new(Kind::Text, "fives").is_ok());
    }

    fn words(given: &[(Kind, &[u8])]) -> Words {
        let words: Vec<Word> = given.iter().map(|(kind, bytes)| Word::new(*kind, bytes).unwrap()).collect();
        Words::new(&words).unwrap()
    }
}
