//! Leaves: pseudonymous, with an encrypted link to their client (03).

use phoenix_core::{
    Pseudonym, Timestamp,
    api::queue::MAX_LINK_KEY,
    credential::{ClientCredential, IdentityLink, LeafCredential, MonthRange},
    crypto::{Chance, Signer, SigningKey, Suite, open_with_key, seal_with_key},
    time::Month,
    wire::{Opaque, Secret, Wire},
};

/// A link key under the key of those who may open the link.
pub(crate) type SealedLinkKey = Opaque<MAX_LINK_KEY>;

/// A leaf of one's own, with its secrets.
#[derive(Clone)]
pub(crate) struct OwnLeaf {
    pub(crate) key: SigningKey,
    pub(crate) credential: LeafCredential,
    link_key: Secret<32>,
}

impl OwnLeaf {
    /// A fresh leaf: new key, new pseudonym, new link.
    pub(crate) fn generate(
        suite: Suite,
        (credential, signer): (&ClientCredential, &dyn Signer),
        now: Timestamp,
        chance: &mut Chance,
    ) -> Self {
        let (key, link_key) = (SigningKey::generate(suite, chance), Secret::new(chance.bytes()));
        let pseudonym = Pseudonym(chance.bytes());
        let leaf_key = key.verifying_key().key;
        let link = IdentityLink::sign(credential.clone(), signer, pseudonym, &leaf_key).unwrap();
        let credential = LeafCredential {
            pseudonym,
            validity: validity(now),
            encrypted_identity_link: link.seal(&link_key, pseudonym, chance).unwrap(),
        };
        Self { key, credential, link_key }
    }

    /// The link key, for whoever has this key.
    pub(crate) fn seal_link_key(&self, key: &Secret<32>, chance: &mut Chance) -> SealedLinkKey {
        let aad = self.credential.pseudonym.encode();
        Opaque::new(seal_with_key(key, &aad, self.link_key.expose(), chance)).unwrap()
    }
}

/// Opens a link key, and the link with it; nothing of it is verified yet.
pub(crate) fn open_link(
    credential: &LeafCredential,
    sealed: &SealedLinkKey,
    key: &Secret<32>,
) -> IdentityLink {
    let pseudonym = credential.pseudonym;
    IdentityLink::open(&credential.encrypted_identity_link, &open_link_key(pseudonym, sealed, key), pseudonym)
        .unwrap()
}

/// Opens a link key.
pub(crate) fn open_link_key(pseudonym: Pseudonym, sealed: &SealedLinkKey, key: &Secret<32>) -> Secret<32> {
    let opened = open_with_key(key, &pseudonym.encode(), sealed).unwrap();
    Secret::new(opened.as_slice().try_into().unwrap())
}

/// Twelve months from this one on.
pub(crate) fn validity(now: Timestamp) -> MonthRange {
    let first = Month::of(now);
    MonthRange { first, last: first.plus(11) }
}

/// The first and the last second of months.
pub(crate) fn seconds(months: MonthRange) -> (u64, u64) {
    (months.first.start().as_secs(), months.last.plus(1).start().as_secs() - 1)
}
