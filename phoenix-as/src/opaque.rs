//! The server's side of OPAQUE (RFC 9807), and the only place that knows its library.
//!
//! The suite is ristretto255-SHA512 with Argon2id as the client's stretching; the server never runs that, so its
//! cost is the client's choice. Clients name themselves by the encoded user id, and the server by its domain.
//!
//! The credential identifier, which makes the OPRF key, is the user id and the registration: what `register_init`
//! evaluates for anyone is worth nothing against the password of a user that is there.

use std::fmt;

use bytes::Bytes;
use opaque_ke::{
    CipherSuite, CredentialFinalization, CredentialRequest, Identifiers, RegistrationRequest,
    RegistrationUpload, Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup,
    TripleDh,
    argon2::Argon2,
    rand::{CryptoRng, Error, RngCore},
};
use phoenix_core::{
    Failure, Fault, Reject, UserId,
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

    /// Answers a registration request (RFC 9807 §5.2). Keeps nothing: the answer follows from request, user and
    /// registration, which is to be fresh.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the request is none.
    pub(crate) fn register(
        &self,
        request: &[u8],
        user: &UserId,
        registration: &[u8; 16],
    ) -> Result<Opaque<MAX_OPAQUE>, Reject> {
        let malformed = |_| Reject::Malformed("opaque");
        let request = RegistrationRequest::deserialize(request).map_err(malformed)?;
        let identifier = identifier(user, registration);
        tracing::trace!(target: "phoenix_core::work", kind = "oprf");
        let started = ServerRegistration::<Suite>::start(&self.0, request, &identifier).map_err(malformed)?;
        Ok(Opaque::new(started.message.serialize().to_vec())?)
    }

    /// Answers KE1 with KE2 (RFC 9807 §6.2); what completes the login is to be kept, sealed. The record comes with its
    /// registration. For a user without a record the answer is made of a fake one, by the same work: nobody can tell
    /// (§10.9), as long as the registration that stands in is always the same.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where KE1 is none; [`Fault::Broken`] where the stored record is none.
    pub(crate) fn login(
        &self,
        ke1: &[u8],
        user: &UserId,
        (registration, record): (&[u8; 16], Option<&[u8]>),
        chance: &mut Chance,
    ) -> Result<(Opaque<MAX_OPAQUE>, Secret<LOGIN>), Failure> {
        let malformed = |_| Reject::Malformed("ke1");
        let request = CredentialRequest::deserialize(ke1).map_err(malformed)?;
        let decoded = ServerRegistration::<Suite>::deserialize(record.unwrap_or(&STAND_IN))
            .map_err(|_| Fault::Broken("stored OPAQUE record"))?;
        let (client, setup) = (user.encode(), &self.0);
        let parameters = ServerLoginParameters { context: None, identifiers: names(&client, user) };
        let record = record.map(|_| decoded);
        let mut chance = Adapted(chance);
        tracing::trace!(target: "phoenix_core::work", kind = "oprf");
        let identifier = identifier(user, registration);
        let started =
            ServerLogin::<Suite>::start(&mut chance, setup, record, request, &identifier, parameters)
                .map_err(malformed)?;
        let mut state = started.state.serialize();
        let kept = state.as_slice().try_into().map(Secret::new);
        state.as_mut_slice().zeroize();
        let kept = kept.map_err(|_| Fault::Broken("length of an OPAQUE login"))?;
        Ok((Opaque::new(started.message.serialize().to_vec()).map_err(Reject::from)?, kept))
    }
}

/// Checks KE3 (RFC 9807 §6.2) against what [`OpaqueServer::login`] said to keep: whether the caller knows the
/// password.
pub(crate) fn completes(login: &Secret<LOGIN>, ke3: &[u8]) -> bool {
    let login = ServerLogin::<Suite>::deserialize(login.expose());
    let ke3 = CredentialFinalization::deserialize(ke3);
    let (Ok(login), Ok(ke3)) = (login, ke3) else { return false };
    login.finish(ke3, ServerLoginParameters::default()).is_ok()
}

/// What the OPRF key of a registration is made of.
fn identifier(user: &UserId, registration: &[u8; 16]) -> Bytes {
    (user.clone(), *registration).encode()
}

/// Whom the key exchange names: as in registration.
fn names<'a>(client: &'a [u8], user: &'a UserId) -> Identifiers<'a> {
    Identifiers { client: Some(client), server: Some(user.domain.as_str().as_bytes()) }
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
/// Bytes of what completes a login: 64 of session key, which nothing uses, and 64 of the KE3 that is expected.
pub(crate) const LOGIN: usize = 128;
/// Decoded in place of the record of a user that is not there, so that decoding takes as long: the group's generator
/// (RFC 9496 §4) as the public key.
const STAND_IN: [u8; 192] = {
    let mut record = [0; 192];
    let (key, _) = record.split_at_mut(32);
    key.copy_from_slice(&[
        0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9, 0x61, 0xc5, 0x00, 0x51, 0x5f, 0x58,
        0xe3, 0x0b, 0x6a, 0xa5, 0x82, 0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76,
    ]);
    record
};
/// Bytes drawn at a time.
const BLOCK: usize = 32;

/// The client's side, for tests; its stretching is as cheap as it can be.
#[cfg(test)]
pub(crate) mod client {
    use opaque_ke::{
        ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
        CredentialResponse, RegistrationResponse,
        argon2::{Algorithm, Argon2, Params, Version},
    };
    use phoenix_core::{Fqdn, Reject, UserId, crypto::Chance, wire::Wire};

    use super::{Adapted, Suite, names};

    pub(crate) struct Started(ClientRegistration<Suite>, &'static [u8]);

    pub(crate) fn start(chance: &mut Chance) -> Result<(Started, Vec<u8>), Reject> {
        start_with(PASSWORD, chance)
    }

    pub(crate) fn start_with(
        password: &'static [u8],
        chance: &mut Chance,
    ) -> Result<(Started, Vec<u8>), Reject> {
        let started = ClientRegistration::start(&mut Adapted(chance), password);
        let started = started.map_err(|_| Reject::Internal)?;
        Ok((Started(started.state, password), started.message.serialize().to_vec()))
    }

    impl Started {
        pub(crate) fn finish(
            self,
            response: &[u8],
            user: &UserId,
            server: &Fqdn,
            chance: &mut Chance,
        ) -> Result<Vec<u8>, Reject> {
            assert_eq!(user.domain, *server);
            let response =
                RegistrationResponse::deserialize(response).map_err(|_| Reject::Malformed("opaque"))?;
            let (client, stretching) = (user.encode(), stretching());
            let parameters = ClientRegistrationFinishParameters::new(names(&client, user), Some(&stretching));
            let finished = self.0.finish(&mut Adapted(chance), self.1, response, parameters);
            Ok(finished.map_err(|_| Reject::Internal)?.message.serialize().to_vec())
        }
    }

    pub(crate) struct LoggingIn(ClientLogin<Suite>, &'static [u8]);

    /// Begins a login: KE1.
    pub(crate) fn log_in(
        password: &'static [u8],
        chance: &mut Chance,
    ) -> Result<(LoggingIn, Vec<u8>), Reject> {
        let started = ClientLogin::start(&mut Adapted(chance), password).map_err(|_| Reject::Internal)?;
        Ok((LoggingIn(started.state, password), started.message.serialize().to_vec()))
    }

    impl LoggingIn {
        /// Completes it: KE3. None where the password is wrong.
        pub(crate) fn ke3(self, ke2: &[u8], user: &UserId, chance: &mut Chance) -> Option<Vec<u8>> {
            let (client, stretching) = (user.encode(), stretching());
            let parameters = ClientLoginFinishParameters::new(None, names(&client, user), Some(&stretching));
            let response = CredentialResponse::deserialize(ke2).ok()?;
            let finished = self.0.finish(&mut Adapted(chance), self.1, response, parameters).ok()?;
            Some(finished.message.serialize().to_vec())
        }
    }

    fn stretching() -> Argon2<'static> {
        let cheap = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap_or_default();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, cheap)
    }

    pub(crate) const PASSWORD: &[u8] = b"correct horse";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{Fqdn, UserId, Uuid, crypto::Chance};

    use super::{OpaqueServer, checked_record, client, completes};

    fn server() -> OpaqueServer {
        OpaqueServer::generate(&mut Chance::from_seed([1; 32]))
    }

    fn user(uuid: u8) -> UserId {
        UserId { uuid: Uuid([uuid; 16]), domain: "alpha.test".parse().unwrap() }
    }

    #[test]
    fn stored_secrets_answer_as_the_fresh_ones_did_and_each_registration_otherwise() {
        let (_, request) = client::start(&mut Chance::from_seed([2; 32])).unwrap();

        let restored = OpaqueServer::decode(server().encode().unwrap().expose()).unwrap();

        assert_eq!(
            server().register(&request, &user(1), &[5; 16]),
            restored.register(&request, &user(1), &[5; 16])
        );
        assert_ne!(
            server().register(&request, &user(1), &[5; 16]),
            server().register(&request, &user(2), &[5; 16])
        );
        assert_ne!(
            server().register(&request, &user(1), &[5; 16]),
            server().register(&request, &user(1), &[6; 16])
        );
    }

    #[test]
    fn a_record_is_stored_as_the_client_made_it() {
        let mut chance = Chance::from_seed([2; 32]);
        let (started, request) = client::start(&mut chance).unwrap();
        let response = server().register(&request, &user(1), &[5; 16]).unwrap();
        let domain: Fqdn = "alpha.test".parse().unwrap();

        let record = started.finish(&response, &user(1), &domain, &mut chance).unwrap();

        assert_eq!(record.len(), 192);
        assert_eq!(checked_record(&record).unwrap().as_slice(), record);
        assert!(checked_record(&[record, vec![0]].concat()).is_err());
    }

    #[test]
    fn a_login_completes_with_the_password_of_its_user_only() {
        let mut chance = Chance::from_seed([2; 32]);
        let (started, request) = client::start(&mut chance).unwrap();
        let response = server().register(&request, &user(1), &[5; 16]).unwrap();
        let record = started.finish(&response, &user(1), &user(1).domain, &mut chance).unwrap();
        let mut log_in = |password, record: Option<&[u8]>| {
            let (started, ke1) = client::log_in(password, &mut chance).unwrap();
            let (ke2, kept) = server().login(&ke1, &user(1), (&[5; 16], record), &mut chance).unwrap();
            (started.ke3(&ke2, &user(1), &mut chance), ke2.len(), kept)
        };

        let (ke3, length, kept) = log_in(client::PASSWORD, Some(&record));
        let (wrong, ..) = log_in(b"wrong", Some(&record));
        let (fake, fake_length, fake_kept) = log_in(client::PASSWORD, None);

        let ke3 = ke3.unwrap();
        assert!(completes(&kept, &ke3));
        assert!(!completes(&fake_kept, &ke3) && !completes(&kept, &[0; 64]) && !completes(&kept, &ke3[1..]));
        assert_eq!((wrong, fake), (None, None));
        assert_eq!((length, fake_length), (320, 320));
    }

    #[test]
    fn what_is_no_message_of_the_protocol_is_refused() {
        let mut chance = Chance::from_seed([2; 32]);
        for bytes in [&[][..], &[0; 32], &[0xff; 32], &[0xff; 192], &[1; 300]] {
            assert!(server().register(bytes, &user(1), &[5; 16]).is_err());
            assert!(server().login(bytes, &user(1), (&[5; 16], None), &mut chance).is_err());
            assert!(checked_record(bytes).is_err());
        }
    }
}
