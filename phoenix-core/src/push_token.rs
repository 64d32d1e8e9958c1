//! How push tokens are sealed by clients and opened by their QS (06, "Wake-ups").

use crate::{
    QsClientId, Reject,
    api::queue::{PushToken, SealedPushToken},
    crypto::{Chance, open_with_key, pad_to, seal_with_key, unpad},
    wire::{Opaque, Secret, Wire},
};

impl PushToken {
    /// Seals the token for the QS of the client, which can open it only with this key. The client's queue configs bring
    /// the key where it wants to be pushed to.
    ///
    /// # Errors
    /// None in practice: the longest token fits.
    pub fn seal(
        &self,
        client: &QsClientId,
        key: &Secret<32>,
        chance: &mut Chance,
    ) -> Result<SealedPushToken, Reject> {
        // All of one size: else the length would tell which service it is.
        let padded = pad_to(&self.encode_secret(), PADDED)?;
        let sealed = seal_with_key(key, client.as_bytes(), &padded, chance);
        Ok(SealedPushToken(Opaque::new(sealed)?))
    }
}

impl SealedPushToken {
    /// Opens the token.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it was not sealed for this client with this key, or is none.
    pub fn open(&self, client: &QsClientId, key: &Secret<32>) -> Result<PushToken, Reject> {
        let padded = open_with_key(key, client.as_bytes(), &self.0)?;
        PushToken::decode(unpad(&padded)?)
    }
}

/// Bytes of a token before it is sealed.
const PADDED: usize = 2_048;

#[cfg(test)]
mod tests {
    use crate::{
        QsClientId, Reject,
        api::queue::{MAX_PUSH_ADDRESS, MAX_SEALED_PUSH_TOKEN, PushToken, WebPushSubscription},
        crypto::Chance,
        wire::{Secret, SecretOpaque},
    };

    #[test]
    fn a_push_token_opens_with_its_key_for_its_client_only() {
        let mut chance = Chance::from_seed([1; 32]);
        let (client, key) = (QsClientId([1; 16]), Secret::new([2; 32]));
        let token = web_push("https://push.example/abc");

        let sealed = token.seal(&client, &key, &mut chance).expect("sealed");

        assert_eq!(sealed.open(&client, &key), Ok(token));
        assert_eq!(sealed.open(&QsClientId([9; 16]), &key), Err(Reject::Malformed("ciphertext")));
        assert_eq!(sealed.open(&client, &Secret::new([9; 32])), Err(Reject::Malformed("ciphertext")));
    }

    #[test]
    fn all_push_tokens_are_of_one_size_when_sealed() {
        let mut chance = Chance::from_seed([1; 32]);
        let (client, key) = (QsClientId([1; 16]), Secret::new([2; 32]));
        let longest = "x".repeat(MAX_PUSH_ADDRESS);
        let other = PushToken::Other(SecretOpaque::new(longest.as_bytes()).expect("fits"));

        for token in [web_push("https://push.example"), web_push(&longest), other] {
            let sealed = token.seal(&client, &key, &mut chance).expect("sealed");
            assert_eq!(sealed.0.len(), MAX_SEALED_PUSH_TOKEN);
        }
    }

    fn web_push(endpoint: &str) -> PushToken {
        PushToken::WebPush(WebPushSubscription {
            endpoint: SecretOpaque::new(endpoint.as_bytes()).expect("fits"),
            key: [4; 65],
            auth: Secret::new([5; 16]),
        })
    }
}
