//! Words as an operator or a researcher writes them down.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Kind, Word};

/// The words of a scenario, and what may occur anywhere.
#[derive(Debug, Default)]
pub struct Wordlist {
    /// What is searched for.
    pub words: Vec<Word>,
    /// What the homeserver publishes: domains, and public keys.
    pub published: Vec<Vec<u8>>,
}

/// A line that is no word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct WordlistError {
    /// Its number, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Wordlist {
    /// Reads a word a line: its kind, a space, and the word: as it is, or `0x` and hexadecimal digits, or `base64:` and
    /// base64url. Ids are written as UUIDs or in digits. Empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// [`WordlistError`], for the first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, WordlistError> {
        let mut list = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            if !line.trim().is_empty() && !line.starts_with('#') {
                list.add(line).map_err(|reason| WordlistError { line: number, reason })?;
            }
        }
        Ok(list)
    }

    fn add(&mut self, line: &str) -> Result<(), &'static str> {
        let (name, value) = line.split_once(' ').ok_or("a kind, a space, and a word")?;
        let Some(kind) = kind(name) else {
            let is_published = name == "published";
            return if is_published { self.publish(value) } else { Err(KINDS) };
        };
        let is_id = matches!(kind, Kind::User | Kind::Queue | Kind::Group);
        let bytes = if is_id { id(value).ok_or("not an id")? } else { bytes(value)? };
        self.words.push(Word::new(kind, bytes).map_err(|_| "too short: it would occur by chance")?);
        Ok(())
    }

    fn publish(&mut self, value: &str) -> Result<(), &'static str> {
        self.published.push(bytes(value)?);
        Ok(())
    }
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "user" => Kind::User,
        "queue" => Kind::Queue,
        "group" => Kind::Group,
        "alias" => Kind::Alias,
        "name" => Kind::Name,
        "password" => Kind::Password,
        "push" => Kind::PushToken,
        "text" => Kind::Text,
        _ => return None,
    })
}

fn bytes(value: &str) -> Result<Vec<u8>, &'static str> {
    if let Some(digits) = value.strip_prefix("0x") {
        hex(digits).ok_or("not hexadecimal digits")
    } else if let Some(digits) = value.strip_prefix("base64:") {
        URL_SAFE_NO_PAD.decode(digits).map_err(|_| "not base64url")
    } else {
        Ok(value.as_bytes().to_vec())
    }
}

/// The sixteen bytes of an id; of `uuid@domain` only the first part is secret.
fn id(value: &str) -> Option<Vec<u8>> {
    let (uuid, _) = value.split_once('@').unwrap_or((value, ""));
    let digits: String = uuid.trim_start_matches("0x").chars().filter(|it| *it != '-').collect();
    hex(&digits).filter(|bytes| bytes.len() == 16)
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Option<Vec<u8>> =
        digits.chars().map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect();
    let nibbles = nibbles.filter(|it| it.len().is_multiple_of(2))?;
    Some(nibbles.chunks(2).map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble)).collect())
}

const KINDS: &str = "the kind is none of user, queue, group, alias, name, password, push, text and published";

#[cfg(test)]
mod tests {
    use super::{KINDS, Wordlist, WordlistError};
    use crate::audit::{Kind, Word};

    #[test]
    fn words_are_read_with_their_kinds_and_in_their_forms() {
        let text = "# the scenario\n\nuser 00112233-4455-6677-8899-aabbccddeeff@alpha.test\n\
                    queue 0x00112233445566778899aabbccddeeff\ntext see you at eight\npush base64:c2VjcmV0\n\
                    published alpha.test\n";

        let list = Wordlist::parse(text).unwrap();

        let id: Vec<u8> = (0..16).map(|it| it * 0x11).collect();
        let expected = [
            (Kind::User, id.as_slice()),
            (Kind::Queue, &id),
            (Kind::Text, b"see you at eight"),
            (Kind::PushToken, b"secret"),
        ];
        let expected = expected.map(|(kind, bytes)| Word::new(kind, bytes).unwrap());
        assert_eq!(list.words, expected);
        assert_eq!(list.published, [b"alpha.test"]);
    }

    #[test]
    fn what_is_no_word_is_told_with_its_line() {
        let refused = |text: &str| Wordlist::parse(text).unwrap_err();

        assert_eq!(refused("text first\nsecond").line, 2);
        assert_eq!(refused("colour green"), WordlistError { line: 1, reason: KINDS });
        assert_eq!(refused("user somebody").reason, "not an id");
        assert_eq!(refused("user 0011").reason, "not an id");
        assert_eq!(refused("text 0xabc").reason, "not hexadecimal digits");
        assert_eq!(refused("push base64:!").reason, "not base64url");
        assert_eq!(refused("alias Bo").reason, "too short: it would occur by chance");
    }
}
