//! Encryption of pushes (RFC 8291, over RFC 8188).

use aes_gcm::{
    Aes128Gcm, KeyInit,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use p256::{NonZeroScalar, PublicKey, SecretKey, ecdh::diffie_hellman, elliptic_curve::Generate};
use phoenix_core::wire::Secret;
use sha2::Sha256;
use zeroize::Zeroizing;

/// What was given does not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsealable;

/// Encrypts a message of at most [`MAX_CONTENT`] bytes for a subscription, in a body whose length tells nothing.
///
/// # Errors
/// [`Unsealable`] where the subscription's key is none, or the message is too long.
pub(super) fn seal(to: &[u8; 65], auth: &Secret<16>, message: &[u8]) -> Result<Vec<u8>, Unsealable> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| Unsealable)?;
    let padding = MAX_CONTENT.checked_sub(message.len()).ok_or(Unsealable)?;
    let key = Zeroizing::new(NonZeroScalar::try_generate().map_err(|_| Unsealable)?);
    let sender = Sender { key: SecretKey::from(&*key), salt };
    sender.seal(to, auth, message, padding)
}

/// What is drawn for one push.
struct Sender {
    key: SecretKey,
    salt: [u8; 16],
}

impl Sender {
    fn seal(
        &self,
        to: &[u8; 65],
        auth: &Secret<16>,
        message: &[u8],
        padding: usize,
    ) -> Result<Vec<u8>, Unsealable> {
        let own = self.key.public_key().to_sec1_bytes();
        let receiver = PublicKey::from_sec1_bytes(to).map_err(|_| Unsealable)?;
        let shared = diffie_hellman(self.key.to_nonzero_scalar(), receiver.as_affine());

        let info = [b"WebPush: info\0".as_slice(), to, &own].concat();
        let mut input = Zeroizing::new([0; 32]);
        let secret = Hkdf::<Sha256>::new(Some(auth.expose()), shared.raw_secret_bytes().as_slice());
        secret.expand(&info, input.as_mut_slice()).map_err(|_| Unsealable)?;

        let secret = Hkdf::<Sha256>::new(Some(&self.salt), input.as_slice());
        let (mut key, mut nonce) = (Zeroizing::new([0; 16]), [0; 12]);
        secret.expand(b"Content-Encoding: aes128gcm\0", key.as_mut_slice()).map_err(|_| Unsealable)?;
        secret.expand(b"Content-Encoding: nonce\0", &mut nonce).map_err(|_| Unsealable)?;

        let mut record = message.to_vec();
        record.push(LAST_RECORD);
        record.resize(record.len().saturating_add(padding), 0);
        let cipher = Aes128Gcm::new_from_slice(key.as_slice()).map_err(|_| Unsealable)?;
        let payload = Payload { msg: &record, aad: b"" };
        let sealed = cipher.encrypt(&nonce.into(), payload).map_err(|_| Unsealable)?;

        let length = [u8::try_from(own.len()).map_err(|_| Unsealable)?];
        Ok([self.salt.as_slice(), &RECORD_SIZE.to_be_bytes(), &length, &own, &sealed].concat())
    }
}

/// Bytes that a message may have, and that all are padded to.
pub(super) const MAX_CONTENT: usize = 32;
/// What stands behind the content of the last record (RFC 8188 §2).
const LAST_RECORD: u8 = 2;
/// The record size that is announced: more than any body here has, so that there is one record.
const RECORD_SIZE: u32 = 4_096;

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use aes_gcm::{Aes128Gcm, KeyInit, aead::Aead};
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use hkdf::Hkdf;
    use p256::{PublicKey, SecretKey, ecdh::diffie_hellman};
    use phoenix_core::wire::Secret;
    use sha2::Sha256;

    use super::{MAX_CONTENT, Sender, Unsealable, seal};

    #[test]
    fn the_example_of_rfc_8291_appendix_a_comes_out_byte_for_byte() {
        let key = SecretKey::from_slice(&bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap();
        let sender = Sender { key, salt: bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap() };
        let to = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        let auth = Secret::new(bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap());

        let message = b"When I grow up, I want to be a watermelon";
        let sealed = sender.seal(&bytes(to).try_into().unwrap(), &auth, message, 0).unwrap();

        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6\
                        TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(&sealed), expected);
        let receiver = SecretKey::from_slice(&bytes("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")).unwrap();
        assert_eq!(open(&receiver, &auth, &sealed), message);
    }

    #[test]
    fn pushes_open_for_their_subscriber_and_are_of_one_length() {
        let (receiver, auth) = (SecretKey::from_slice(&[3; 32]).unwrap(), Secret::new([5; 16]));
        let to = public(&receiver);

        let empty = seal(&to, &auth, b"").unwrap();
        let full = seal(&to, &auth, &[7; MAX_CONTENT]).unwrap();

        assert_eq!(open(&receiver, &auth, &empty), b"");
        assert_eq!(open(&receiver, &auth, &full), [7; MAX_CONTENT]);
        assert_eq!(empty.len(), full.len());
        assert_ne!(seal(&to, &auth, b"").unwrap(), empty, "never the same twice");
    }

    #[test]
    fn what_is_no_key_and_what_is_too_long_is_refused() {
        let auth = Secret::new([5; 16]);
        let mut to = public(&SecretKey::from_slice(&[3; 32]).unwrap());
        assert_eq!(seal(&to, &auth, &[0; MAX_CONTENT + 1]), Err(Unsealable));
        to[64] ^= 1;
        assert_eq!(seal(&to, &auth, b""), Err(Unsealable));
        assert_eq!(seal(&[0; 65], &auth, b""), Err(Unsealable));
    }

    /// What a browser makes of the body, written down apart from the code above.
    pub(in crate::push) fn open(receiver: &SecretKey, auth: &Secret<16>, body: &[u8]) -> Vec<u8> {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert!(u32::from_be_bytes(size.try_into().unwrap()) as usize >= rest.len());
        assert_eq!(rest[0], 65);
        let (sender, sealed) = rest[1..].split_at(65);
        let shared = diffie_hellman(
            receiver.to_nonzero_scalar(),
            PublicKey::from_sec1_bytes(sender).unwrap().as_affine(),
        );
        let info = [b"WebPush: info\0".as_slice(), &public(receiver), sender].concat();
        let input = expanded::<32>(auth.expose(), shared.raw_secret_bytes().as_slice(), &info);
        let key = expanded::<16>(salt, &input, b"Content-Encoding: aes128gcm\0");
        let nonce = expanded::<12>(salt, &input, b"Content-Encoding: nonce\0");
        let mut record = Aes128Gcm::new_from_slice(&key).unwrap().decrypt(&nonce.into(), sealed).unwrap();
        while record.pop() == Some(0) {}
        // What was popped last is the delimiter.
        record
    }

    pub(in crate::push) fn public(key: &SecretKey) -> [u8; 65] {
        key.public_key().to_sec1_bytes().as_ref().try_into().unwrap()
    }

    fn expanded<const N: usize>(salt: &[u8], input: &[u8], info: &[u8]) -> [u8; N] {
        let mut output = [0; N];
        Hkdf::<Sha256>::new(Some(salt), input).expand(info, &mut output).unwrap();
        output
    }

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }
}
