//! The document of an AS.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::json::{Base64, Key, MALFORMED, Validity, read, write};
use crate::{
    Fingerprint, Fqdn, Reject, Timestamp,
    api::ServiceName,
    credential::{
        AsCredential, AsCredentialPayload, AsIdentity, AsIntermediateCredential, AsIntermediatePayload,
        AsKeys, AuthorityStatement, AuthorityStatementTbs, RevocationEntry, RevocationList,
        RevocationListTbs,
    },
    token::{Class, KeyList, KeyListEntry, SignedKeyList},
    wire::List,
};

/// The document of an AS, at `/.well-known/phoenix/as-keys`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsDocument {
    domain: String,
    roots: Vec<Root>,
    statement: Statement,
    intermediates: Vec<Intermediate>,
    revocations: Revocations,
    token_keys: Tokens,
    /// Where the keys of DPoP tokens are (05).
    jwks: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    validity: Validity,
    key: Key,
    self_signature: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    serial: u64,
    expires: u64,
    intermediates: Vec<Base64>,
    revoked: Vec<Base64>,
    signer: Base64,
    signature: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intermediate {
    validity: Validity,
    key: Key,
    signer: Base64,
    self_signature: Base64,
    signature: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocations {
    serial: u64,
    expires: u64,
    entries: Vec<Revoked>,
    signer: Base64,
    signature: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoked {
    credential: Base64,
    revoked_at: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    serial: u64,
    keys: Vec<TokenKey>,
    signer: Base64,
    signature: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenKey {
    class: ClassName,
    token_type: u16,
    public_key: Base64,
    not_before: u64,
    not_after: u64,
    redeem_until: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClassName {
    Standard,
    Home,
    Contact,
    Alias,
}

impl AsDocument {
    /// Writes the document.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] over its bound.
    pub fn encode(identity: &AsIdentity, tokens: &SignedKeyList) -> Result<Bytes, Reject> {
        let AsIdentity { roots, statement, intermediates, revocations } = identity;
        let document = Self {
            domain: statement.payload.as_domain.to_string(),
            roots: roots.iter().map(Root::from).collect(),
            statement: statement.into(),
            intermediates: intermediates.iter().map(Intermediate::from).collect(),
            revocations: revocations.into(),
            token_keys: tokens.into(),
            jwks: JWKS.into(),
        };
        write(ServiceName::As, &document)
    }

    /// Reads the document and verifies all of it, as of `now`.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it is not the document of this domain; [`Reject::Unauthenticated`] where
    /// something in it does not verify; [`Reject::TooLarge`] over its bound.
    pub fn decode(bytes: &[u8], domain: &Fqdn, now: Timestamp) -> Result<(AsKeys, SignedKeyList), Reject> {
        let document: Self = read(ServiceName::As, bytes)?;
        if document.domain != domain.as_str() {
            return Err(MALFORMED);
        }
        let Self { domain: _, roots, statement, intermediates, revocations, token_keys, jwks: _ } = document;
        let identity = AsIdentity {
            roots: list(roots.into_iter().map(|root| root.credential(domain)))?,
            statement: statement.signed(domain)?,
            intermediates: list(
                intermediates.into_iter().map(|intermediate| intermediate.credential(domain)),
            )?,
            revocations: revocations.signed(domain)?,
        };
        let tokens = token_keys.signed(domain)?;
        let keys = AsKeys::verify(identity, domain, now)?;
        tokens.verify(&keys, now)?;
        Ok((keys, tokens))
    }
}

impl From<&AsCredential> for Root {
    fn from(AsCredential { payload, self_signature }: &AsCredential) -> Self {
        let AsCredentialPayload { as_domain: _, validity, key } = payload;
        let self_signature = Base64::of(&*self_signature.0);
        Self { validity: (*validity).into(), key: key.into(), self_signature }
    }
}

impl Root {
    fn credential(self, domain: &Fqdn) -> Result<AsCredential, Reject> {
        let (validity, key) = (self.validity.into(), self.key.verifying()?);
        let payload = AsCredentialPayload { as_domain: domain.clone(), validity, key };
        Ok(AsCredential { payload, self_signature: self.self_signature.signature()? })
    }
}

impl From<&AsIntermediateCredential> for Intermediate {
    fn from(
        AsIntermediateCredential { payload, self_signature, signature }: &AsIntermediateCredential,
    ) -> Self {
        let AsIntermediatePayload { as_domain: _, validity, key, signer } = payload;
        Self {
            validity: (*validity).into(),
            key: key.into(),
            signer: Base64::of(signer.as_bytes()),
            self_signature: Base64::of(&*self_signature.0),
            signature: Base64::of(&*signature.0),
        }
    }
}

impl Intermediate {
    fn credential(self, domain: &Fqdn) -> Result<AsIntermediateCredential, Reject> {
        let payload = AsIntermediatePayload {
            as_domain: domain.clone(),
            validity: self.validity.into(),
            key: self.key.verifying()?,
            signer: fingerprint(&self.signer)?,
        };
        let (self_signature, signature) = (self.self_signature.signature()?, self.signature.signature()?);
        Ok(AsIntermediateCredential { payload, self_signature, signature })
    }
}

impl From<&AuthorityStatement> for Statement {
    fn from(AuthorityStatement { payload, signature }: &AuthorityStatement) -> Self {
        let AuthorityStatementTbs { as_domain: _, serial, expires, intermediates, revoked, signer } = payload;
        Self {
            serial: *serial,
            expires: *expires,
            intermediates: intermediates.iter().map(|it| Base64::of(it.as_bytes())).collect(),
            revoked: revoked.iter().map(|it| Base64::of(it.as_bytes())).collect(),
            signer: Base64::of(signer.as_bytes()),
            signature: Base64::of(&*signature.0),
        }
    }
}

impl Statement {
    fn signed(self, domain: &Fqdn) -> Result<AuthorityStatement, Reject> {
        let payload = AuthorityStatementTbs {
            as_domain: domain.clone(),
            serial: self.serial,
            expires: self.expires,
            intermediates: list(self.intermediates.iter().map(fingerprint))?,
            revoked: list(self.revoked.iter().map(fingerprint))?,
            signer: fingerprint(&self.signer)?,
        };
        Ok(AuthorityStatement { payload, signature: self.signature.signature()? })
    }
}

impl From<&RevocationList> for Revocations {
    fn from(RevocationList { payload, signature }: &RevocationList) -> Self {
        let RevocationListTbs { as_domain: _, serial, expires, entries, signer } = payload;
        let entry = |it: &RevocationEntry| Revoked {
            credential: Base64::of(it.credential.as_bytes()),
            revoked_at: it.revoked_at,
        };
        Self {
            serial: *serial,
            expires: *expires,
            entries: entries.iter().map(entry).collect(),
            signer: Base64::of(signer.as_bytes()),
            signature: Base64::of(&*signature.0),
        }
    }
}

impl Revocations {
    fn signed(self, domain: &Fqdn) -> Result<RevocationList, Reject> {
        let entry = |it: Revoked| {
            Ok(RevocationEntry { credential: fingerprint(&it.credential)?, revoked_at: it.revoked_at })
        };
        let payload = RevocationListTbs {
            as_domain: domain.clone(),
            serial: self.serial,
            expires: self.expires,
            entries: list(self.entries.into_iter().map(entry))?,
            signer: fingerprint(&self.signer)?,
        };
        Ok(RevocationList { payload, signature: self.signature.signature()? })
    }
}

impl From<&SignedKeyList> for Tokens {
    fn from(SignedKeyList { list, signature }: &SignedKeyList) -> Self {
        let KeyList { domain: _, serial, keys, signer } = list;
        Self {
            serial: *serial,
            keys: keys.iter().map(TokenKey::from).collect(),
            signer: Base64::of(signer.as_bytes()),
            signature: Base64::of(&*signature.0),
        }
    }
}

impl Tokens {
    fn signed(self, domain: &Fqdn) -> Result<SignedKeyList, Reject> {
        let keys = list(self.keys.into_iter().map(TokenKey::entry))?;
        let signer = fingerprint(&self.signer)?;
        let list = KeyList { domain: domain.clone(), serial: self.serial, keys, signer };
        Ok(SignedKeyList { list, signature: self.signature.signature()? })
    }
}

impl From<&KeyListEntry> for TokenKey {
    fn from(entry: &KeyListEntry) -> Self {
        let KeyListEntry { class, token_type, public_key, not_before, not_after, redeem_until } = entry;
        let class = match class {
            Class::Standard => ClassName::Standard,
            Class::Home => ClassName::Home,
            Class::Contact => ClassName::Contact,
            Class::Alias => ClassName::Alias,
        };
        let (not_before, not_after, redeem_until) = (*not_before, *not_after, *redeem_until);
        Self {
            class,
            token_type: *token_type,
            public_key: Base64::of(&**public_key),
            not_before,
            not_after,
            redeem_until,
        }
    }
}

impl TokenKey {
    fn entry(self) -> Result<KeyListEntry, Reject> {
        let Self { class, token_type, public_key, not_before, not_after, redeem_until } = self;
        let class = match class {
            ClassName::Standard => Class::Standard,
            ClassName::Home => Class::Home,
            ClassName::Contact => Class::Contact,
            ClassName::Alias => Class::Alias,
        };
        Ok(KeyListEntry {
            class,
            token_type,
            public_key: public_key.opaque()?,
            not_before,
            not_after,
            redeem_until,
        })
    }
}

fn fingerprint(value: &Base64) -> Result<Fingerprint, Reject> {
    value.array().map(Fingerprint)
}

fn list<T, const MAX: usize>(
    elements: impl Iterator<Item = Result<T, Reject>>,
) -> Result<List<T, MAX>, Reject> {
    let elements = elements.collect::<Result<Vec<_>, _>>()?;
    List::new(elements).map_err(|_| MALFORMED)
}

/// Where the keys of DPoP tokens are published (05).
const JWKS: &str = "/.well-known/jwks.json";
