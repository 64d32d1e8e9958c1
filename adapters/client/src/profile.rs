//! Profiles: what a user shows of itself to those who hold the key (04).

use phoenix_core::{
    ErrorCode, Reject, UserId,
    api::auth::{
        GetProfile, GetProfileRequest, LookedUp, Lookup, LookupReply, LookupRequest, Profile, UpdateProfile,
    },
    crypto::{open_with_key, pad, seal_with_key, unpad},
    token::Class,
    wire::{Opaque, Secret, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{error::ClientError, group::Effort, session::Session};

/// Opens one version of a user's profile. Whoever holds it can read that version; the AS does not hold it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ProfileKey {
    /// Which version.
    pub version: u32,
    /// The key.
    pub key: Secret<32>,
}

impl Session {
    /// Publishes a profile as a further version, under a key of its own: who is to read it gets that key, and who
    /// holds the one before is not cut off at once.
    pub(crate) async fn update_profile(&mut self, content: &[u8]) -> Result<ProfileKey, ClientError> {
        let last = self.state.profile.as_ref().map_or(0, |key| key.version);
        match self.publish_profile(content, last.saturating_add(1)).await {
            // A try whose answer was lost has published it.
            Err(error) if error.code() == Some(ErrorCode::Conflict) && self.has_published(content).await => {
                self.state.profile = self.state.profile_sent.take();
                self.state.profile.clone().ok_or(error)
            }
            // Another client of ours was faster: it goes on from there.
            Err(ClientError::Refused(refused)) if refused.code == ErrorCode::Conflict => {
                let latest = refused.current_epoch().and_then(|latest| u32::try_from(latest).ok());
                let latest = latest.ok_or(ClientError::Unexpected("update_profile"))?;
                self.publish_profile(content, latest.saturating_add(1)).await
            }
            other => other,
        }
    }

    async fn publish_profile(&mut self, content: &[u8], version: u32) -> Result<ProfileKey, ClientError> {
        let sent = self.state.profile_sent.clone().filter(|sent| sent.version == version);
        let key = sent.unwrap_or_else(|| ProfileKey { version, key: Secret::new(self.chance.bytes()) });
        let aad = (self.client().user.clone(), version).encode();
        let ciphertext = seal_with_key(&key.key, &aad, &pad(content, LEAST), &mut self.chance);
        let profile = Profile { version, ciphertext: Opaque::new(ciphertext)? };
        // Kept before it is asked for, beside the key that surely opens something: an answer may be lost.
        self.state.profile_sent = Some(key.clone());
        let (route, auth) = self.account_way();
        self.call::<UpdateProfile>(&route, Some(&auth), &profile).await?;
        self.state.profile = Some(key.clone());
        self.state.profile_sent = None;
        Ok(key)
    }

    /// Whether a profile is published by the key of which we do not know that.
    async fn has_published(&mut self, content: &[u8]) -> bool {
        let Some(key) = self.state.profile_sent.clone() else { return false };
        let own = self.client().user.clone();
        self.profile(&own, &key).await.is_ok_and(|published| published == content)
    }

    /// Fetches and opens a version of a user's profile. Nobody is told who asks.
    pub(crate) async fn profile(&mut self, user: &UserId, key: &ProfileKey) -> Result<Vec<u8>, ClientError> {
        let request = GetProfileRequest { user: user.clone(), version: key.version };
        let route = self.fresh_route(&user.domain);
        let ciphertext = self.call::<GetProfile>(&route, None, &request).await?;
        opened(user, key, &ciphertext)
    }

    /// The same, asked of our own AS, which asks the user's and sees whom we look up. Tried once, since the token for the
    /// user's homeserver may be spent by then.
    pub(crate) async fn profile_through_home(
        &mut self,
        user: &UserId,
        key: &ProfileKey,
    ) -> Result<Vec<u8>, ClientError> {
        let token = self.take_token(&user.domain, Class::Standard).await?;
        let request = LookupRequest { user: user.clone(), wanted: LookedUp::Profile(key.version), token };
        let (route, auth) = self.account_way();
        match self.call_with::<Lookup>((&route, Effort::Passing), Some(&auth), &request).await? {
            LookupReply::Profile(ciphertext) => opened(user, key, &ciphertext),
            LookupReply::Refused(refused) => Err(ClientError::Refused(refused)),
            LookupReply::ConnectionPackages(_) => Err(ClientError::Unexpected("lookup")),
        }
    }
}

fn opened(user: &UserId, key: &ProfileKey, ciphertext: &[u8]) -> Result<Vec<u8>, ClientError> {
    let aad = (user.clone(), key.version).encode();
    let opened = open_with_key(&key.key, &aad, ciphertext).map_err(|_| Reject::Unauthenticated)?;
    Ok(unpad(&opened)?.to_vec())
}

/// Shortest padded profile, in bytes: a name and a line.
const LEAST: usize = 512;
