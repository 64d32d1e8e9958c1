//! Identifiers of users, clients, queues and groups.

use std::{fmt, str::FromStr};

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::Fqdn;
use crate::Reject;

macro_rules! bytes_id {
    ($(#[doc = $doc:literal] $name:ident[$length:literal];)*) => { $(
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// The identifier's bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        // Identifiers are nobody's business in a log.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )* };
}

bytes_id! {
    #[doc = "A random universally unique identifier (RFC 9562), as its sixteen bytes."]
    Uuid[16];
    #[doc = "A user's record at the QS: random, chosen by the client (06)."]
    QsUserId[16];
    #[doc = "A client's record and queue at the QS: random, chosen by the client (06)."]
    QsClientId[16];
    #[doc = "Names one sealed queue config, so that its owner can tell and block what came through it (06)."]
    ConfigId[16];
    #[doc = "The random pseudonym that a member keeps in one group (03)."]
    Pseudonym[16];
    #[doc = "The sender's own name for an application message, for idempotent sends (07)."]
    MessageId[16];
    #[doc = "Names a server key: the first 16 bytes of the SHA-256 of its encoding."]
    KeyId[16];
    #[doc = "SHA-256 of an encoded credential (03)."]
    Fingerprint[32];
    #[doc = "The hash reference of a KeyPackage (RFC 9420 §5.2); both suites hash with SHA-256."]
    KeyPackageRef[32];
    #[doc = "Argon2id of an alias, computed by clients (01); no server sees the alias."]
    AliasHash[32];
}

/// A user, `uuid@domain`. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UserId {
    /// Chosen by the user's first client.
    pub uuid: Uuid,
    /// The user's homeserver.
    pub domain: Fqdn,
}

/// One client of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientId {
    /// Whose client it is.
    pub user: UserId,
    /// Chosen by the client.
    pub client: Uuid,
}

/// A group; its encoding is the MLS group id (01).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GroupId {
    /// Made by the DS.
    pub uuid: Uuid,
    /// The homeserver whose DS orders the group.
    pub domain: Fqdn,
}

/// A leaf's place in a group's ratchet tree (RFC 9420 §4.1.1). Reused after removals: never a right.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
pub struct LeafIndex(pub u32);

/// A group's epoch (RFC 9420 §2).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
pub struct Epoch(pub u64);

impl Uuid {
    /// A random (version 4) identifier from sixteen random bytes (RFC 9562 §5.4).
    #[must_use]
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = Reject;

    /// Reads the one form that is written: small digits, in five groups.
    fn from_str(text: &str) -> Result<Self, Reject> {
        let digits: String = text.split('-').collect();
        let uuid = u128::from_str_radix(&digits, 16).map(|number| Self(number.to_be_bytes()));
        uuid.ok().filter(|uuid| uuid.to_string() == text).ok_or(Reject::Malformed("uuid"))
    }
}

impl FromStr for UserId {
    type Err = Reject;

    fn from_str(text: &str) -> Result<Self, Reject> {
        let (uuid, domain) = text.split_once('@').ok_or(Reject::Malformed("user"))?;
        Ok(Self { uuid: uuid.parse()?, domain: domain.parse()? })
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.uuid, self.domain)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{UserId, Uuid};

    #[test]
    fn a_user_is_read_as_it_is_written_and_in_no_other_form() {
        let uuid = Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        let user = UserId { uuid, domain: "alpha.test".parse().unwrap() };
        let written = "00010203-0405-0607-0809-0a0b0c0d0eff@alpha.test";

        assert_eq!((written.parse(), user.to_string().as_str()), (Ok(user), written));
        for other in [
            "00010203-0405-0607-0809-0A0B0C0D0EFF@alpha.test",
            "000102030405060708090a0b0c0d0eff@alpha.test",
            "00010203-0405-0607-0809-0a0b0c0d0eff0@alpha.test",
            "00010203-0405-0607-0809-0a0b0c0d0e@alpha.test",
            "0001020304050607-0809-0a0b0c0d0eff-@alpha.test",
            "00010203-0405-0607-0809-0a0b0c0d0eff@alpha",
            "00010203-0405-0607-0809-0a0b0c0d0eff",
            "@alpha.test",
        ] {
            assert!(other.parse::<UserId>().is_err(), "{other}");
        }
    }
}
