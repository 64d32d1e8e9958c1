//! Signed JSON in the compact form (RFC 7515 §3.1, §7.1), by ES256 alone (RFC 7518 §3.4).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{DpopKey, DpopPublicKey, json::Members};

/// What was signed. Nothing is verified before [`Jws::is_signed_by`] says so.
pub(super) struct Jws {
    /// The header.
    pub(super) header: Members,
    /// The claims.
    pub(super) claims: Members,
    signed: String,
    signature: [u8; 64],
}

impl Jws {
    /// Reads what is of this type, at most so many bytes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(text: &str, kind: &str, limit: usize) -> Result<Self, &'static str> {
        if text.len() > limit {
            return Err("length");
        }
        let (signed, signature) = text.rsplit_once('.').ok_or("form")?;
        let (header, claims) = signed.split_once('.').ok_or("form")?;
        let header = members(header)?;
        if header.text("typ") != Some(kind) {
            return Err("typ");
        }
        if header.text("alg") != Some(ES256) {
            return Err("alg");
        }
        // Extensions that must be understood: none is (RFC 7515 §4.1.11).
        if header.has("crit") {
            return Err("crit");
        }
        let claims = members(claims)?;
        let signature = array(signature).ok_or("signature")?;
        Ok(Self { header, claims, signed: signed.to_owned(), signature })
    }

    /// Whether it was signed with this key.
    pub(super) fn is_signed_by(&self, key: &DpopPublicKey) -> bool {
        key.verifies(self.signed.as_bytes(), &self.signature)
    }
}

/// Signs claims.
pub(super) fn sign(header: &impl Serialize, claims: &impl Serialize, key: &DpopKey) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", encoded(&signature))
}

/// Bytes in base64url without padding, as all bytes are written here (RFC 7515 §2).
pub(super) fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Just so many bytes, in the only form that they have.
pub(super) fn array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_long = text.len() > N.div_ceil(3).saturating_mul(4);
    let bytes = (!is_long).then(|| BASE64_URL_SAFE_NO_PAD.decode(text).ok()).flatten()?;
    bytes.try_into().ok()
}

fn members(part: &str) -> Result<Members, &'static str> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| "form")?;
    Members::read(&bytes).ok_or("form")
}

/// Our own structs always encode; an empty part verifies nowhere.
fn part(content: &impl Serialize) -> String {
    encoded(&serde_json::to_vec(content).unwrap_or_default())
}

/// The one algorithm.
pub(super) const ES256: &str = "ES256";
