//! What a group's DS and its members say to each other through queues (07, "Delivery"): sealed, so that no queue
//! sees what it carries.

use crate::{
    KeyPackageRef, Reject,
    api::{
        delivery::{GroupContent, WelcomeBundle},
        queue::{FanOutMessage, MAX_ENTRY, NotifyClass},
    },
    crypto::{
        Chance, Draft, HpkeCiphertext, HpkePublicKey, HpkeSecretKey, derive, open_with_key, pad, unpad,
    },
    wire::{Flag, Opaque, Secret, Wire},
};

/// What stands in clear beside a message's content, and is authenticated with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHead {
    /// How urgent it is.
    pub notify: NotifyClass,
    /// Whether it goes to open streams only; what was read from a queue is not ephemeral.
    pub ephemeral: Flag,
    /// When the DS accepted it, in seconds.
    pub accepted_at: u64,
}

impl ContentHead {
    /// The head of a message.
    #[must_use]
    pub const fn of(message: &FanOutMessage) -> Self {
        Self { notify: message.notify, ephemeral: message.ephemeral, accepted_at: message.accepted_at }
    }

    /// Seals content for a group's members: padded with Padmé to at least 256 bytes, then AES-256-GCM under a key
    /// derived from the EAR key, with a random nonce in front and this head as associated data.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for more than 2 MiB.
    pub fn seal(
        &self,
        ear_key: &Secret<32>,
        content: &GroupContent,
        chance: &mut Chance,
    ) -> Result<Opaque<MAX_ENTRY>, Reject> {
        let padded = Draft::padded(&[], content, LEAST);
        Ok(Opaque::new(padded.seal(&content_key(ear_key), &self.aad(), chance))?)
    }

    /// Opens the content of a message of one's group.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it was not sealed under this EAR key and head.
    pub fn open(&self, ear_key: &Secret<32>, content: &[u8]) -> Result<GroupContent, Reject> {
        let padded = open_with_key(&content_key(ear_key), &self.aad(), content)?;
        GroupContent::decode(unpad(&padded)?)
    }

    fn aad(&self) -> bytes::Bytes {
        (self.notify, self.ephemeral, self.accepted_at).encode()
    }
}

impl WelcomeBundle {
    /// Seals the bundle to the init key of the KeyPackage that its joiner is added by: padded with Padmé, then
    /// HPKE with the reference of the KeyPackage as associated data. The result, an encoded
    /// [`HpkeCiphertext`], is a message's content by itself.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the init key is none; [`Reject::TooLarge`] for more than 2 MiB.
    pub fn seal(
        &self,
        init_key: &HpkePublicKey,
        package: &KeyPackageRef,
        chance: &mut Chance,
    ) -> Result<Opaque<MAX_ENTRY>, Reject> {
        let padded = pad(&self.encode_secret(), LEAST);
        let sealed = init_key.seal(WELCOME, package.as_bytes(), &padded, chance)?;
        Ok(Opaque::new(sealed.encode())?)
    }

    /// Opens a message's content with the init key of one's KeyPackage.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it was not sealed to this key and package.
    pub fn open(init_key: &HpkeSecretKey, package: &KeyPackageRef, content: &[u8]) -> Result<Self, Reject> {
        let sealed = <HpkeCiphertext>::decode(content)?;
        let padded = init_key.open(WELCOME, package.as_bytes(), &sealed)?;
        Self::decode(unpad(&padded)?)
    }
}

fn content_key(ear_key: &Secret<32>) -> Secret<32> {
    derive(ear_key.expose(), "phoenix fan-out", b"")
}

/// HPKE info of welcome bundles.
const WELCOME: &[u8] = b"phoenix welcome";
/// Shortest padded content: below it, lengths would tell short messages apart.
const LEAST: usize = 256;

#[cfg(test)]
mod tests {
    use super::ContentHead;
    use crate::{
        Epoch, Fqdn, GroupId, KeyPackageRef, LeafIndex, Reject, Uuid,
        api::{
            delivery::{ContentKind, GroupAccess, GroupContent, WelcomeBundle},
            queue::NotifyClass,
        },
        crypto::{Chance, HpkeSecretKey, Suite},
        wire::{Flag, Opaque, Secret},
    };

    const HEAD: ContentHead =
        ContentHead { notify: NotifyClass::Normal, ephemeral: Flag::No, accepted_at: 1_800_000_000 };

    #[test]
    fn content_opens_under_its_groups_key_and_its_own_head_only() -> Result<(), Reject> {
        let (ear_key, chance) = (Secret::new([3; 32]), &mut Chance::from_seed([1; 32]));
        let message = Opaque::new(b"private message".to_vec())?;
        let content = GroupContent { kind: ContentKind::Application, sender: LeafIndex(4), message };

        let sealed = HEAD.seal(&ear_key, &content, chance)?;

        assert_eq!(HEAD.open(&ear_key, &sealed)?, content);
        assert!(HEAD.open(&Secret::new([4; 32]), &sealed).is_err());
        assert!(ContentHead { accepted_at: 1, ..HEAD }.open(&ear_key, &sealed).is_err());
        assert!(ContentHead { ephemeral: Flag::Yes, ..HEAD }.open(&ear_key, &sealed).is_err());
        Ok(())
    }

    #[test]
    fn short_contents_are_all_of_one_length() -> Result<(), Reject> {
        let (ear_key, chance) = (Secret::new([3; 32]), &mut Chance::from_seed([1; 32]));
        let mut lengths = Vec::new();
        for length in [0, 1, 100, 200] {
            let message = Opaque::new(vec![7; length])?;
            let content = GroupContent { kind: ContentKind::Commit, sender: LeafIndex(0), message };
            lengths.push(HEAD.seal(&ear_key, &content, chance)?.len());
        }
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
        Ok(())
    }

    #[test]
    fn a_welcome_bundle_opens_for_its_joiner_and_package_only() -> Result<(), Reject> {
        for suite in [Suite::Ed25519, Suite::P256] {
            let chance = &mut Chance::from_seed([1; 32]);
            let (joiner, other) =
                (HpkeSecretKey::generate(suite, chance), HpkeSecretKey::generate(suite, chance));
            let package = KeyPackageRef([5; 32]);

            let sealed = bundle()?.seal(joiner.public_key(), &package, chance)?;

            assert_eq!(WelcomeBundle::open(&joiner, &package, &sealed)?, bundle()?);
            assert!(WelcomeBundle::open(&other, &package, &sealed).is_err());
            assert!(WelcomeBundle::open(&joiner, &KeyPackageRef([6; 32]), &sealed).is_err());
        }
        Ok(())
    }

    fn bundle() -> Result<WelcomeBundle, Reject> {
        let group = GroupId { uuid: Uuid([1; 16]), domain: "alpha.test".parse::<Fqdn>()? };
        Ok(WelcomeBundle {
            welcome: Opaque::new(b"welcome".to_vec())?,
            attribution: Opaque::default(),
            access: GroupAccess { group, ear_key_id: 0, ear_key: Secret::new([2; 32]) },
            epoch: Epoch(1),
            leaf: LeafIndex(1),
        })
    }
}
