//! The client's side of OPAQUE (RFC 9807): ristretto255-SHA512, 3DH, Argon2id. The only module that knows the library;
//! what it gives and takes are bytes.

use std::sync::Arc;

use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialResponse, Identifiers, RegistrationResponse, Ristretto255,
    TripleDh,
    argon2::{Algorithm, Argon2, Params, Version},
    rand::{CryptoRng, Error, RngCore},
};
use phoenix_core::{Reject, UserId, api::auth::MAX_OPAQUE, port::Entropy, wire::Opaque, wire::Wire};
use sha2_for_opaque::Sha512;

use crate::{error::ClientError, settings::Stretch};

/// A registration that waits for the AS's answer.
pub(crate) struct Registration {
    state: ClientRegistration<Suite>,
    entropy: Arc<dyn Entropy>,
}

impl Registration {
    /// Begins: blinds the password.
    pub(crate) fn start(
        password: &[u8],
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, Opaque<MAX_OPAQUE>), ClientError> {
        let mut rng = Rng(entropy.clone());
        let started = ClientRegistration::<Suite>::start(&mut rng, password).map_err(|_| FAILED)?;
        let request = Opaque::new(started.message.serialize().to_vec())?;
        Ok((Self { state: started.state, entropy }, request))
    }

    /// Finishes: the record that the AS keeps. The client's identity is the encoded user id, the server's its
    /// domain.
    pub(crate) fn finish(
        self,
        password: &[u8],
        response: &[u8],
        user: &UserId,
        stretch: Stretch,
    ) -> Result<Opaque<MAX_OPAQUE>, ClientError> {
        let response = RegistrationResponse::<Suite>::deserialize(response);
        let response = response.map_err(|_| Reject::Malformed("OPAQUE response"))?;
        let (client, argon2) = (user.encode(), argon2(stretch)?);
        let identifiers =
            Identifiers { client: Some(&client), server: Some(user.domain.as_str().as_bytes()) };
        let parameters = ClientRegistrationFinishParameters::new(identifiers, Some(&argon2));
        let mut rng = Rng(self.entropy);
        let finished = self.state.finish(&mut rng, password, response, parameters).map_err(|_| FAILED)?;
        Ok(Opaque::new(finished.message.serialize().to_vec())?)
    }
}

/// A login that waits for the AS's answer.
pub(crate) struct Login {
    state: ClientLogin<Suite>,
    entropy: Arc<dyn Entropy>,
}

impl Login {
    /// Begins: blinds the password. Gives KE1 (RFC 9807 §6.2).
    pub(crate) fn start(
        password: &[u8],
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, Opaque<MAX_OPAQUE>), ClientError> {
        let mut rng = Rng(entropy.clone());
        let started = ClientLogin::<Suite>::start(&mut rng, password).map_err(|_| FAILED)?;
        let ke1 = Opaque::new(started.message.serialize().to_vec())?;
        Ok((Self { state: started.state, entropy }, ke1))
    }

    /// Finishes: KE3, which proves the password. Answers with [`ClientError::WrongPassword`] where KE2 does not
    /// open: the password is wrong, there is no such user, or the server is not the one that was registered with.
    pub(crate) fn finish(
        self,
        password: &[u8],
        ke2: &[u8],
        user: &UserId,
        stretch: Stretch,
    ) -> Result<Opaque<MAX_OPAQUE>, ClientError> {
        let ke2 = CredentialResponse::<Suite>::deserialize(ke2);
        let ke2 = ke2.map_err(|_| Reject::Malformed("OPAQUE response"))?;
        let (client, argon2) = (user.encode(), argon2(stretch)?);
        let identifiers =
            Identifiers { client: Some(&client), server: Some(user.domain.as_str().as_bytes()) };
        let parameters = ClientLoginFinishParameters::new(None, identifiers, Some(&argon2));
        let mut rng = Rng(self.entropy);
        let finished = self.state.finish(&mut rng, password, ke2, parameters);
        let finished = finished.map_err(|_| ClientError::WrongPassword)?;
        Ok(Opaque::new(finished.message.serialize().to_vec())?)
    }
}

/// Argon2id at a cost.
fn argon2(stretch: Stretch) -> Result<Argon2<'static>, ClientError> {
    let params = Params::new(stretch.memory_kib, stretch.passes, 1, None);
    let params = params.map_err(|_| ClientError::State("the cost of the password is out of range"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Argon2id of an alias (01, "AliasHash"), whose cost the specification fixes.
pub(crate) fn hash_alias(alias: &[u8], salt: &[u8; 32]) -> Result<[u8; 32], ClientError> {
    let argon2 = argon2(Stretch { memory_kib: 64 * 1024, passes: 3 })?;
    let mut hash = [0; 32];
    argon2
        .hash_password_into(alias, salt, &mut hash)
        .map_err(|_| ClientError::State("the alias cannot be hashed"))?;
    Ok(hash)
}

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Argon2<'static>;
}

/// The embedder's randomness, in the library's form.
struct Rng(Arc<dyn Entropy>);

impl RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.0.fill(buffer);
        Ok(())
    }
}

impl CryptoRng for Rng {}

const FAILED: ClientError = ClientError::State("OPAQUE failed");
