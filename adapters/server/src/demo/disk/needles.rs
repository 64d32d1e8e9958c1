//! What is searched for.

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};
use base64::{
    Engine,
    engine::{
        GeneralPurpose,
        general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
    },
};

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    UserId,
    Alias,
    Name,
    Text,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] = [Self::UserId, Self::Alias, Self::Name, Self::Text];

    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UserId => "user ids",
            Self::Alias => "aliases",
            Self::Name => "names",
            Self::Text => "message texts",
        }
    }
}

/// All that is searched for, in all its forms, at once.
pub(crate) struct Needles {
    automaton: AhoCorasick,
    /// What kind each form is of.
    kinds: Vec<Kind>,
}

impl Needles {
    /// Everything is searched for as raw bytes, as hexadecimal digits of both cases, and in base64 of both
    /// alphabets, wherever in a longer text it may begin.
    pub(crate) fn new<'a>(things: impl IntoIterator<Item = (Kind, &'a [u8])>) -> Result<Self, BuildError> {
        let (mut forms, mut kinds) = (Vec::new(), Vec::new());
        for (kind, thing) in things {
            let all = forms_of(thing);
            kinds.extend(all.iter().map(|_| kind));
            forms.extend(all);
        }
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(forms)?;
        Ok(Self { automaton, kinds })
    }

    /// What stands in some bytes, once for each time.
    pub(crate) fn found_in(&self, hay: &[u8]) -> impl Iterator<Item = Kind> {
        self.automaton
            .find_overlapping_iter(hay)
            .filter_map(|found| self.kinds.get(found.pattern().as_usize()).copied())
    }
}

fn forms_of(thing: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = thing.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![thing.to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()];
    for before in 0..3 {
        forms.extend([&STANDARD_NO_PAD, &URL_SAFE_NO_PAD].map(|alphabet| core(alphabet, thing, before)));
    }
    forms.sort();
    forms.dedup();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };

    use super::{Kind, Needles};

    #[test]
    fn a_needle_is_found_in_every_form_wherever_it_begins() {
        let thing = b"\xfb\xefcompass-of-jelena\xff";
        let needles = Needles::new([(Kind::Alias, thing.as_slice())]).unwrap();
        for before in ["", "x", "xy", "xyz", "and then"] {
            let hay = [before.as_bytes(), thing, b"?!"].concat();
            let hex: String = hay.iter().map(|byte| format!("{byte:02x}")).collect();
            let forms = [hay.clone(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
            let encoded = [STANDARD.encode(&hay), URL_SAFE_NO_PAD.encode(&hay)].map(String::into_bytes);
            for form in forms.into_iter().chain(encoded) {
                assert_eq!(
                    needles.found_in(&form).next(),
                    Some(Kind::Alias),
                    "{}",
                    String::from_utf8_lossy(&form)
                );
            }
        }
        assert_eq!(needles.found_in(b"compass-of-jelena").next(), None);
    }
}
