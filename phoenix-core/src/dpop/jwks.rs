//! The keys that sign a homeserver's tokens, as it publishes them (RFC 7517 §5).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{
    DpopPublicKey,
    json::Members,
    jws::{ES256, encoded},
    key::Jwk,
};
use crate::Reject;

/// The keys of one homeserver's tokens, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwkSet(BTreeMap<String, DpopPublicKey>);

#[derive(Serialize)]
struct Set {
    keys: Vec<Named>,
}

#[derive(Serialize)]
struct Named {
    #[serde(flatten)]
    key: Jwk,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: String,
}

impl JwkSet {
    /// Writes the keys, each under its thumbprint.
    #[must_use]
    pub fn encode<'a>(keys: impl IntoIterator<Item = &'a DpopPublicKey>) -> Bytes {
        let named =
            |key: &DpopPublicKey| Named { key: key.jwk(), alg: ES256, usage: SIGNING, kid: key_id(key) };
        let set = Set { keys: keys.into_iter().map(named).collect() };
        serde_json::to_vec(&set).unwrap_or_default().into()
    }

    /// Reads what a homeserver publishes. Keys of other kinds, or for other uses, are passed over.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] over [`MAX_JWKS`]; [`Reject::Malformed`] where it is none, has too many keys, or two of one
    /// name.
    pub fn decode(document: &[u8]) -> Result<Self, Reject> {
        if document.len() > MAX_JWKS {
            return Err(Reject::TooLarge("jwks"));
        }
        let document = Members::read(document).ok_or(MALFORMED)?;
        let listed = document.array("keys").filter(|keys| keys.len() <= MAX_KEYS).ok_or(MALFORMED)?;
        let mut keys = BTreeMap::new();
        for (name, key) in listed.iter().filter_map(usable) {
            if keys.insert(name, key).is_some() {
                return Err(MALFORMED);
            }
        }
        Ok(Self(keys))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of a name.
    #[must_use]
    pub fn find(&self, key_id: &str) -> Option<&DpopPublicKey> {
        self.0.get(key_id)
    }
}

/// The name of a key: its thumbprint.
pub(super) fn key_id(key: &DpopPublicKey) -> String {
    encoded(key.thumbprint())
}

fn usable(listed: &Value) -> Option<(String, DpopPublicKey)> {
    let jwk = Members::of(listed)?;
    let is_for = |member: &str, wanted: &str| !jwk.has(member) || jwk.text(member) == Some(wanted);
    let key =
        (is_for("use", SIGNING) && is_for("alg", ES256)).then(|| DpopPublicKey::read(&jwk)).flatten()?;
    Some((jwk.text("kid")?.to_owned(), key))
}

const SIGNING: &str = "sig";
const MALFORMED: Reject = Reject::Malformed("jwks");
/// Keys of one homeserver: two of ours at most, and room for those of others.
const MAX_KEYS: usize = 16;
/// Longest document that is read, in bytes.
pub const MAX_JWKS: usize = 64 << 10;
