//! Showing other homeservers' APIs who we are (05, "DPoP").

use std::fmt;

use phoenix_core::{
    Fqdn, Timestamp,
    api::tokens::{self, DpopTokenRequest},
    crypto::Chance,
    dpop::{DPOP_SCHEME, DpopKey, ProofOf, token_target},
    wire::{List, Opaque},
};

use crate::{error::ClientError, ports::ClientPorts, session::Session};

/// A token that says who the user is, to the APIs of the homeservers that it is for, for some minutes
/// ([`Client::dpop_token`](crate::Client::dpop_token)).
///
/// It works together with a key that was made for it and stays in here, so a token that gets lost is worth nothing.
/// Requests carry the header `Authorization` with [`DpopToken::authorization`], and the header `DPoP` with a
/// [`DpopToken::proof`] of their own.
#[derive(Clone)]
pub struct DpopToken {
    key: DpopKey,
    token: String,
    expires: Timestamp,
    ports: ClientPorts,
}

impl DpopToken {
    /// The value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("{DPOP_SCHEME} {}", self.token)
    }

    /// The value of `DPoP` for one request, made now and good once, within a minute. `uri` is the whole URI of the
    /// request; `nonce` is what the server has told in `DPoP-Nonce`, where it has.
    #[must_use]
    pub fn proof(&self, method: &str, uri: &str, nonce: Option<&str>) -> String {
        let mut chance = Chance::from_seed(self.ports.seed());
        let request = ProofOf { method, uri, token: Some(&self.token), nonce };
        self.key.prove(&request, self.ports.clock.now(), &mut chance)
    }

    /// When the token ends.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }
}

impl fmt::Debug for DpopToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DpopToken")
    }
}

impl Session {
    /// Gets a token, bound to a key that is made for it.
    pub(crate) async fn dpop_token(&mut self, audiences: &[Fqdn]) -> Result<DpopToken, ClientError> {
        let key = DpopKey::generate(&mut self.chance.child("dpop"));
        let uri = token_target(self.domain());
        let about = ProofOf { method: "POST", uri: &uri, token: None, nonce: None };
        let proof = key.prove(&about, self.now(), &mut self.chance);
        let request =
            DpopTokenRequest { proof: Opaque::new(proof)?, audiences: List::new(audiences.to_vec())? };
        let (route, auth) = self.account_way();
        let reply = self.call::<tokens::DpopToken>(&route, Some(&auth), &request).await?;
        let token = String::from_utf8(reply.token.to_vec());
        let token = token.map_err(|_| ClientError::Unexpected("a token that is no text"))?;
        Ok(DpopToken { key, token, expires: Timestamp::from_secs(reply.expires), ports: self.ports.clone() })
    }
}
