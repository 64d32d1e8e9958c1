//! The server's side of OPAQUE (RFC 9807), and the only place that knows its library.
//!
//! The suite is ristretto255-SHA512 with Argon2id as the client's stretching; the server never runs that, so its
//! cost is the client's choice. The credential identifier is the encoded user id; clients name themselves by that,
//! too, and the server by its domain.

use std::fmt;

use opaque_ke::{
    CipherSuite, RegistrationRequest, RegistrationUpload, Ristretto255, ServerRegistration, ServerSetup,
    TripleDh,
    argon2::Argon2,
    rand::{CryptoRng, Error, RngCore},
};
use phoenix_core::{
    Fault, Reject, UserId,
    api::auth::MAX_OPAQUE,
    crypto::Chance,
    wire::{Opaque, Secret, Wire},
};
use sha2_for_opaque::Sha512;
use zeroize::Zeroize;

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
    ///
    /// # Errors
    /// None in practice: [`Fault::Broken`] where the library's form has another length.
    pub(crate) fn encode(&self) -> Result<Secret<SETUP>, Fault> {
        let mut serialised = self.0.serialize();
        let encoded = serialised.as_slice().try_into().map(Secret::new);
        serialised.as_mut_slice().zeroize();
        encoded.map_err(|_| Fault::Broken("length of the OPAQUE setup"))
    }

    /// Answers a registration request (RFC 9807 §5.2). Keeps nothing: the answer follows from request and user.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the request is none.
    pub(crate) fn register(&self, request: &[u8], user: &UserId) -> Result<Opaque<MAX_OPAQUE>, Reject> {
        let malformed = |_| Reject::Malformed("opaque");
        let request = RegistrationRequest::deserialize(request).map_err(malformed)?;
        let started =
            ServerRegistration::<Suite>::start(&self.0, request, &user.encode()).map_err(malformed)?;
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

/// Bytes of the stored secrets: 64 of seed, 32 of secret key, 32 of a secret key for those who are not there.
pub(crate) const SETUP: usize = 128;
/// Bytes drawn at a time.
const BLOCK: usize = 32;

/// The client's side, for tests; its stretching is as cheap as it can be.
#[cfg(test)]
pub(crate) mod client {
    use opaque_ke::{
        ClientRegistration, ClientRegistrationFinishParameters, Identifiers, RegistrationResponse,
        argon2::{Algorithm, Argon2, Params, Version},
    };
    use phoenix_core::{Fqdn, Reject, UserId, crypto::Chance, wire::Wire};

    use super::{Adapted, Suite};

    pub(crate) struct Started(ClientRegistration<Suite>);

    pub(crate) fn start(chance: &mut Chance) -> Result<(Started, Vec<u8>), Reject> {
        let started = ClientRegistration::start(&mut Adapted(chance), PASSWORD);
        let started = started.map_err(|_| Reject::Internal)?;
        Ok((Started(started.state), started.message.serialize().to_vec()))
    }

    impl Started {
        pub(crate) fn finish(
            self,
            response: &[u8],
            user: &UserId,
            server: &Fqdn,
            chance: &mut Chance,
        ) -> Result<Vec<u8>, Reject> {
            let response =
                RegistrationResponse::deserialize(response).map_err(|_| Reject::Malformed("opaque"))?;
            let user = user.encode();
            let names = Identifiers { client: Some(&user), server: Some(server.as_str().as_bytes()) };
            let cheap = Params::new(Params::MIN_M_COST, 1, 1, None).map_err(|_| Reject::Internal)?;
            let stretching = Argon2::new(Algorithm::Argon2id, Version::V0x13, cheap);
            let parameters = ClientRegistrationFinishParameters::new(names, Some(&stretching));
            let finished = self.0.finish(&mut Adapted(chance), PASSWORD, response, parameters);
            Ok(finished.map_err(|_| Reject::Internal)?.message.serialize().to_vec())
        }
    }

    const PASSWORD: &[u8] = b"correct horse";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{Fqdn, UserId, Uuid, crypto::Chance};

    use super::{OpaqueServer, checked_record, client};

    fn server() -> OpaqueServer {
        OpaqueServer::generate(&mut Chance::from_seed([1; 32]))
    }

    fn user(uuid: u8) -> UserId {
        UserId { uuid: Uuid([uuid; 16]), domain: "alpha.test".parse().unwrap() }
    }

    #[test]
    fn stored_secrets_answer_as_the_fresh_ones_did_and_each_user_otherwise() {
        let (_, request) = client::start(&mut Chance::from_seed([2; 32])).unwrap();

        let restored = OpaqueServer::decode(server().encode().unwrap().expose()).unwrap();

        assert_eq!(server().register(&request, &user(1)), restored.register(&request, &user(1)));
        assert_ne!(server().register(&request, &user(1)), server().register(&request, &user(2)));
    }

    #[test]
    fn a_record_is_stored_as_the_client_made_it() {
        let mut chance = Chance::from_seed([2; 32]);
        let (started, request) = client::start(&mut chance).unwrap();
        let response = server().register(&request, &user(1)).unwrap();
        let domain: Fqdn = "alpha.test".parse().unwrap();

        let record = started.finish(&response, &user(1), &domain, &mut chance).unwrap();

        assert_eq!(record.len(), 192);
        assert_eq!(checked_record(&record).unwrap().as_slice(), record);
        assert!(checked_record(&[record, vec![0]].concat()).is_err());
    }

    #[test]
    fn what_is_no_message_of_the_protocol_is_refused() {
        for bytes in [&[][..], &[0; 32], &[0xff; 32], &[0xff; 192], &[1; 300]] {
            assert!(server().register(bytes, &user(1)).is_err());
            assert!(checked_record(bytes).is_err());
        }
    }
}
