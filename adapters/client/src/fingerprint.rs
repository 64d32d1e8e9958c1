//! A client's key, as users compare it (04).

use std::{fmt, str::FromStr};

use phoenix_core::{
    ClientId,
    crypto::{VerifyingKey, sha256},
    wire::Wire,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::error::ClientError;

/// Stands for a client's signature key where a user compares two screens: eight groups of four hexadecimal digits.
///
/// Half of a SHA-256 over the client's id and key: nobody finds another key to a given one. It is read case by case,
/// spaces and dashes as one likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct KeyFingerprint([u8; 16]);

impl KeyFingerprint {
    /// The fingerprint of a client's key.
    #[must_use]
    pub fn of(client: &ClientId, key: &VerifyingKey) -> Self {
        let hash = sha256(&[PREFIX, &client.encode(), &key.encode()].concat());
        let mut fingerprint = [0; 16];
        fingerprint.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self(fingerprint)
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, [high, low]) in self.0.as_chunks().0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{high:02x}{low:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for KeyFingerprint {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let digits = text.chars().filter(|it| !it.is_whitespace() && *it != '-');
        let digits: Option<Vec<_>> = digits.map(|it| it.to_digit(16)?.try_into().ok()).collect();
        let digits: [u8; 32] = digits.and_then(|it| it.try_into().ok()).ok_or(NONE)?;
        let mut fingerprint = [0; 16];
        for (byte, [high, low]) in fingerprint.iter_mut().zip(digits.as_chunks().0) {
            *byte = (high << 4) | low;
        }
        Ok(Self(fingerprint))
    }
}

/// Begins what is hashed.
const PREFIX: &[u8] = b"phoenix key fingerprint";

const NONE: ClientError = ClientError::State("not a key fingerprint");

#[cfg(test)]
mod tests {
    use super::KeyFingerprint;

    #[test]
    fn a_fingerprint_that_is_read_out_is_the_one_that_was_shown() {
        let fingerprint = KeyFingerprint(*b"\x00\x01\x7f\x80\xff\xfe456789abcdef".first_chunk().expect("16"));

        let shown = fingerprint.to_string();

        assert_eq!(shown, "0001 7f80 fffe 3435 3637 3839 6162 6364");
        for read in [shown.clone(), shown.to_uppercase(), shown.replace(' ', ""), shown.replace(' ', "-")] {
            assert_eq!(read.parse(), Ok(fingerprint), "{read}");
        }
        for wrong in ["", "0001", &format!("{shown} 0"), &shown.replace('f', "g"), &shown.replace('f', "ü")]
        {
            assert!(wrong.parse::<KeyFingerprint>().is_err(), "{wrong}");
        }
    }
}
