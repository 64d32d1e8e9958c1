//! The server's side of OPAQUE (RFC 9807), and the only place that knows its library.
//!
//! The suite is ristretto255-SHA512 with Argon2id as the client's stretching; the server never runs that, so its
//! cost is the client's choice. The credential identifier is the encoded user id; clients name themselves by that,
//! too, and the server by its domain.

use std::fmt;

use opaque_ke::{
    CipherSuite, RegistrationRequest, RegistrationUpload, Ristretto255, ServerRegistration, ServerSetup, TripleDh,
    argon2::Argon2,
    rand::{CryptoRng, Error, RngCore},
};
use phoenix_core::{Fault, Reject, UserId, api::auth::MAX_OPAQUE, crypto::Chance, wire::Opaque, wire::Wire};
use sha2_for_opaque::Sha512;
use zeroize::{Zeroize, Zeroizing};

/// The long-term secrets of OPAQUE: the seed of all users' OPRF keys, and the server's key pair.
pub(crate) struct OpaqueServer(ServerSetup<Suite>);

impl OpaqueServer {
    /// Fresh secrets.
    pub(crate) fn generate(chance: &mut Chance) -> Self {
        Self(ServerSetup::new(&mut Adapted(chance)))
    }

    /// The secrets that were stored.
    ///
    /// # Errors
    /// [`Fault::Broken`] where the bytes are none.
    pub(crate) fn decode(stored: &[u8]) -> Result<Self, Fault> {
        ServerSetup::deserialize(stored).map(Self).map_err(|_| Fault::Broken("stored OPAQUE setup"))
    }

    /// The secrets, for sealed storage.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut serialised = self.0.serialize();
        let encoded = Zeroizing::new(serialised.to_vec());
        serialised.as_mut_slice().zeroize();
        encoded
    }

    /// Answers a registration request (RFC 9807 §5.2). Keeps nothing: the answer follows from request and user.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the request is none.
    pub(crate) fn register(&self, request: &[u8], user: &UserId) -> Result<Opaque<MAX_OPAQUE>, Reject> {
        let malformed = |_| Reject::Malformed("opaque");
        let request = RegistrationRequest::deserialize(request).map_err(malformed)?;
        let started = ServerRegistration::<Suite>::start(&self.0, request, &user.encode()).map_err(malformed)?;
        Ok(Opaque::new(started.message.serialize().to_vec())?)
    }
}

impl fmt::Debug for OpaqueServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueServer")
    }
}

/// Takes the record that ends a registration (RFC 9807 §5.2), in the one form in which it is stored.
///
/// # Errors
/// [`Reject::Malformed`] where it is none.
pub(crate) fn checked_record(record: &[u8]) -> Result<Opaque<MAX_OPAQUE>, Reject> {
    let upload = RegistrationUpload::<Suite>::deserialize(record).map_err(|_| Reject::Malformed("record"))?;
    let stored = ServerRegistration::finish(upload).serialize().to_vec();
    if stored != record {
        return Err(Reject::Malformed("record"));
    }
    Ok(Opaque::new(stored)?)
}

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Argon2<'static>;
}

/// The randomness of an attempt, for the generation of traits that the library knows.
struct Adapted<'a>(&'a mut Chance);

impl RngCore for Adapted<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(BLOCK) {
            let mut block = self.0.bytes::<BLOCK>();
            chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
            block.zeroize();
        }
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(buffer);
        Ok(())
    }
}

impl CryptoRng for Adapted<'_> {}

/// Bytes drawn at a time.
const BLOCK: usize = 32;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use opaque_ke::ClientRegistration;
    use phoenix_core::{Uuid, crypto::Chance};

    use super::{Adapted, OpaqueServer, Suite, checked_record};
    use phoenix_core::UserId;

    #[test]
    fn stored_secrets_answer_as_the_fresh_ones_did() {
        let server = OpaqueServer::generate(&mut Chance::from_seed([1; 32]));
        let user = UserId { uuid: Uuid([1; 16]), domain: "alpha.test".parse().unwrap() };
        let mut chance = Chance::from_seed([2; 32]);
        let started = ClientRegistration::<Suite>::start(&mut Adapted(&mut chance), b"password").unwrap();
        let request = started.message.serialize();

        let restored = OpaqueServer::decode(&server.encode()).unwrap();

        assert_eq!(server.register(&request, &user), restored.register(&request, &user));
        let other = UserId { uuid: Uuid([2; 16]), ..user.clone() };
        assert_ne!(server.register(&request, &user), server.register(&request, &other));
    }

    #[test]
    fn what_is_no_message_of_the_protocol_is_refused() {
        let server = OpaqueServer::generate(&mut Chance::from_seed([1; 32]));
        let user = UserId { uuid: Uuid([1; 16]), domain: "alpha.test".parse().unwrap() };

        for bytes in [&[][..], &[0; 32], &[0xff; 32], &[1; 192], &[1; 300]] {
            assert!(server.register(bytes, &user).is_err());
            assert!(checked_record(bytes).is_err());
        }
    }
}
