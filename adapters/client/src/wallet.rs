//! Privacy Pass tokens, fetched ahead in batches (05).

use phoenix_core::{
    ErrorCode, Fqdn, Timestamp,
    api::{
        Empty,
        tokens::{IssueTokens, TokenKeys},
    },
    time::HOUR,
    token::{Blinding, Class, KeyListEntry, SignedKeyList, Token, challenge_digest},
    wire::List,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{error::ClientError, session::Session, table::Table};

/// Tokens of every domain and class that we took any of.
#[derive(Debug, Default, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Wallet {
    purses: Table<(Fqdn, Class), Purse>,
}

#[derive(Debug, Default, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Purse {
    tokens: List<Coin, MAX_COINS>,
    /// A batch that was asked for and not answered yet: asked for again, it is the same batch.
    pending: Option<Pending>,
}

/// A token, and the last second in which it can be spent.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Coin {
    token: Token,
    redeem_until: u64,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Pending {
    blinding: Blinding,
    redeem_until: u64,
}

/// A domain's token keys, as everyone sees them.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct KnownKeys {
    pub(crate) list: SignedKeyList,
    /// When; zero where it must be fetched anew before it is used again. It stays, for its successor to be checked.
    fetched: Timestamp,
}

impl Wallet {
    /// Takes a token that can be spent now; those that cannot are thrown away.
    fn take(&mut self, domain: &Fqdn, class: Class, now: Timestamp) -> Option<Token> {
        let purse = self.purses.get_mut(&(domain.clone(), class))?;
        let mut coins = std::mem::take(&mut purse.tokens).into_vec();
        coins.retain(|coin| now.as_secs() < coin.redeem_until);
        let taken = coins.pop();
        // Not more than there were.
        purse.tokens = List::new(coins).unwrap_or_default();
        taken.map(|coin| coin.token)
    }

    fn put(
        &mut self,
        domain: &Fqdn,
        class: Class,
        tokens: Vec<Token>,
        redeem_until: u64,
    ) -> Result<(), ClientError> {
        let purse = self.purse(domain, class);
        let mut coins = std::mem::take(&mut purse.tokens).into_vec();
        coins.extend(tokens.into_iter().map(|token| Coin { token, redeem_until }));
        coins.truncate(MAX_COINS);
        purse.tokens = List::new(coins)?;
        Ok(())
    }

    fn purse(&mut self, domain: &Fqdn, class: Class) -> &mut Purse {
        self.purses.entry((domain.clone(), class)).or_default()
    }

    /// How many tokens there are.
    fn count(&self, domain: &Fqdn, class: Class) -> usize {
        self.purses.get(&(domain.clone(), class)).map_or(0, |purse| purse.tokens.len())
    }

    /// All purses, by domain and class.
    fn known(&self) -> Vec<(Fqdn, Class)> {
        self.purses.keys().cloned().collect()
    }

    /// Throws away the tokens of a key that has ended.
    fn discard(&mut self, domain: &Fqdn, key: &[u8; 32]) {
        for class in Class::ALL {
            let Some(purse) = self.purses.get_mut(&(domain.clone(), class)) else { continue };
            let mut coins = std::mem::take(&mut purse.tokens).into_vec();
            coins.retain(|coin| coin.token.key_id != *key);
            purse.tokens = List::new(coins).unwrap_or_default();
        }
    }
}

impl Session {
    /// A token of a domain; fetches a batch where none is left.
    pub(crate) async fn take_token(&mut self, domain: &Fqdn, class: Class) -> Result<Token, ClientError> {
        let now = self.now();
        if let Some(token) = self.state.wallet.take(domain, class, now) {
            return Ok(token);
        }
        self.fetch_tokens(domain, class).await?;
        self.state.wallet.take(domain, class, now).ok_or(ClientError::Unexpected("tokens that have ended"))
    }

    /// Fetches a batch of tokens of a domain's AS.
    pub(crate) async fn fetch_tokens(&mut self, domain: &Fqdn, class: Class) -> Result<(), ClientError> {
        match self.fetch_batch(domain, class).await {
            // The key has ended, or the batch was made for one: begin anew, once, with the list of today.
            Err(error) if matches!(error.code(), Some(ErrorCode::TokenInvalid | ErrorCode::Malformed)) => {
                self.distrust_keys(domain);
                self.fetch_batch(domain, class).await
            }
            other => other,
        }
    }

    /// Fetches a batch for each purse that is down to a third of one.
    pub(crate) async fn top_up(&mut self) -> Result<(), ClientError> {
        for (domain, class) in self.state.wallet.known() {
            let is_low =
                self.state.wallet.count(&domain, class).saturating_mul(3) <= self.habits.batch.of(class);
            // Home tokens are needed seldom, Alias tokens hardly ever: they are fetched when they are.
            if is_low && matches!(class, Class::Standard | Class::Contact) {
                self.fetch_tokens(&domain, class).await?;
            }
        }
        Ok(())
    }

    /// How many tokens of a domain there are.
    pub(crate) fn tokens_left(&self, domain: &Fqdn, class: Class) -> usize {
        self.state.wallet.count(domain, class)
    }

    /// Throws away what a homeserver takes no more, and its key list with it.
    pub(crate) fn discard_tokens(&mut self, domain: &Fqdn, key: &[u8; 32]) {
        self.state.wallet.discard(domain, key);
        self.distrust_keys(domain);
    }

    /// A domain's key list is fetched anew before it is used again.
    fn distrust_keys(&mut self, domain: &Fqdn) {
        if let Some(known) = self.state.token_keys.get_mut(domain) {
            known.fetched = Timestamp::default();
        }
    }

    async fn fetch_batch(&mut self, domain: &Fqdn, class: Class) -> Result<(), ClientError> {
        let pending = match self.state.wallet.purse(domain, class).pending.clone() {
            Some(pending) => pending,
            None => self.begin_batch(domain, class).await?,
        };
        let request = pending.blinding.request(class)?;
        let (route, auth) = (self.identity_route(domain), self.identity());
        let reply = match self.call_free::<IssueTokens>(&route, Some(&auth), &request).await {
            Ok(reply) => reply,
            Err(error) => {
                if !error.is_transient() {
                    self.state.wallet.purse(domain, class).pending = None;
                }
                return Err(error);
            }
        };
        self.state.wallet.purse(domain, class).pending = None;
        let tokens = pending.blinding.finalize(&reply)?;
        self.state.wallet.put(domain, class, tokens, pending.redeem_until)
    }

    async fn begin_batch(&mut self, domain: &Fqdn, class: Class) -> Result<Pending, ClientError> {
        let key = self.token_key(domain, class).await?;
        let size = self.habits.batch.of(class);
        let blinding = Blinding::new(&key.public_key, challenge_digest(domain), size, &mut self.chance)?;
        let pending = Pending { blinding, redeem_until: key.redeem_until };
        self.state.wallet.purse(domain, class).pending = Some(pending.clone());
        Ok(pending)
    }

    /// The key that issues a class now, from the list that everyone sees; at most an hour old.
    async fn token_key(&mut self, domain: &Fqdn, class: Class) -> Result<KeyListEntry, ClientError> {
        let now = self.now();
        let fresh = |fetched: Timestamp| now.millis_since(fetched) <= HOUR.saturating_mul(1_000);
        let cached = self.state.token_keys.get(domain).filter(|known| fresh(known.fetched));
        if let Some(key) = cached.and_then(|known| known.list.list.issuing(class, now)) {
            return Ok(key.clone());
        }
        let authority = self.authority(domain).await?;
        // On a circuit of its own: the list must be the same for those who do not say who they are.
        let route = self.fresh_route(domain);
        let list = self.call_free::<TokenKeys>(&route, None, &Empty {}).await?;
        let key = list.verify(&authority, now)?.issuing(class, now).cloned();
        let former = self.state.token_keys.get(domain);
        if former.is_some_and(|former| !former.list.accepts_successor(&list)) {
            return Err(ClientError::Unexpected("the AS went back to older token keys"));
        }
        self.state.token_keys.insert(domain.clone(), KnownKeys { list, fetched: now });
        key.ok_or(ClientError::Unexpected("no key issues this class"))
    }
}

/// Tokens of one class and domain at once: those of some days, and no more than an answer's bound allows.
const MAX_COINS: usize = 1_000;

#[cfg(test)]
mod tests {
    use phoenix_core::{Fqdn, Timestamp, token::Class, token::Token};

    use super::Wallet;

    #[test]
    fn a_token_is_taken_once_and_not_after_its_end() {
        let domain: Fqdn = "alpha.test".parse().expect("domain");
        let mut wallet = Wallet::default();
        wallet.put(&domain, Class::Home, vec![token(1), token(2)], 100).expect("few");

        assert!(wallet.take(&domain, Class::Standard, Timestamp::from_secs(50)).is_none());
        assert!(wallet.take(&domain, Class::Home, Timestamp::from_secs(50)).is_some());
        assert_eq!(wallet.count(&domain, Class::Home), 1);
        assert!(wallet.take(&domain, Class::Home, Timestamp::from_secs(100)).is_none());
        assert_eq!(wallet.count(&domain, Class::Home), 0);
    }

    #[test]
    fn tokens_of_an_ended_key_are_thrown_away() {
        let domain: Fqdn = "alpha.test".parse().expect("domain");
        let mut wallet = Wallet::default();
        wallet.put(&domain, Class::Home, vec![token(1), token(2)], 100).expect("few");

        wallet.discard(&domain, &[1; 32]);

        assert_eq!(wallet.take(&domain, Class::Home, Timestamp::from_secs(1)), Some(token(2)));
        assert_eq!(wallet.count(&domain, Class::Home), 0);
    }

    fn token(key: u8) -> Token {
        Token {
            token_type: 5,
            nonce: [key; 32],
            challenge_digest: [0; 32],
            key_id: [key; 32],
            authenticator: [0; 64],
        }
    }
}
