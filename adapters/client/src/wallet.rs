//! Privacy Pass tokens, fetched ahead in batches (05).

use std::collections::BTreeSet;

use phoenix_core::{
    ErrorCode, Fqdn, Timestamp,
    api::tokens::{IssueTokens, TokenRequest},
    port::TransportError,
    token::{Blinding, Class, KeyList, SingleBlinding, Token, TokenType, challenge_digest},
    wire::List,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{error::ClientError, group::Effort, session::Session, table::Table};

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
    /// From when on the next batch is fetched: a while after it was seen that few are left. Zero where there are
    /// enough.
    due: Timestamp,
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

impl Wallet {
    /// Takes a token that can be spent now; those that cannot are thrown away.
    fn take(&mut self, domain: &Fqdn, class: Class, now: Timestamp) -> Option<Token> {
        let purse = self.purses.get_mut(&(domain.clone(), class))?;
        purse.retain(|coin| now.as_secs() < coin.redeem_until);
        let mut coins = std::mem::take(&mut purse.tokens).into_vec();
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
        purse.due = Timestamp::default();
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
    pub(crate) fn known(&self) -> BTreeSet<(Fqdn, Class)> {
        self.purses.keys().cloned().collect()
    }

    /// Domains that we took tokens of, each once.
    pub(crate) fn domains(&self) -> impl Iterator<Item = Fqdn> {
        let domains: BTreeSet<Fqdn> = self.purses.keys().map(|(domain, _)| domain.clone()).collect();
        domains.into_iter()
    }

    /// Whether all tokens of a domain that can be spent still are of keys in this list.
    pub(crate) fn fits(&self, domain: &Fqdn, list: &KeyList, now: Timestamp) -> bool {
        let keys: BTreeSet<_> = list.keys.iter().map(|key| key.key_id()).collect();
        let purses = self.purses.iter().filter(|((of, _), _)| of == domain);
        let mut coins = purses.flat_map(|(_, purse)| &purse.tokens);
        coins.all(|coin| now.as_secs() >= coin.redeem_until || keys.contains(&coin.token.key_id))
    }

    /// Throws away the tokens of a domain whose keys are not in this list: they would tell who we are.
    pub(crate) fn discard_strange(&mut self, domain: &Fqdn, list: &KeyList) {
        let keys: BTreeSet<_> = list.keys.iter().map(|key| key.key_id()).collect();
        for (_, purse) in self.purses.iter_mut().filter(|((of, _), _)| of == domain) {
            purse.retain(|coin| keys.contains(&coin.token.key_id));
            // A batch that was begun may be of such a key.
            purse.pending = None;
        }
    }

    /// Throws away the tokens of a key that has ended.
    fn discard(&mut self, domain: &Fqdn, key: &[u8; 32]) {
        for class in Class::ALL {
            let Some(purse) = self.purses.get_mut(&(domain.clone(), class)) else { continue };
            purse.retain(|coin| coin.token.key_id != *key);
        }
    }
}

impl Purse {
    fn retain(&mut self, keep: impl FnMut(&Coin) -> bool) {
        let mut coins = std::mem::take(&mut self.tokens).into_vec();
        coins.retain(keep);
        // Not more than there were.
        self.tokens = List::new(coins).unwrap_or_default();
    }
}

impl Session {
    /// A token of a domain; fetches a batch where none is left.
    pub(crate) async fn take_token(&mut self, domain: &Fqdn, class: Class) -> Result<Token, ClientError> {
        self.take_token_with(domain, class, Effort::Patient).await
    }

    /// As [`Session::take_token`]; in passing, none is fetched from a homeserver that did not answer a while ago.
    pub(crate) async fn take_token_with(
        &mut self,
        domain: &Fqdn,
        class: Class,
        effort: Effort,
    ) -> Result<Token, ClientError> {
        self.check_suspicion(domain)?;
        let now = self.now();
        if let Some(token) = self.state.wallet.take(domain, class, now) {
            return Ok(token);
        }
        match effort {
            Effort::Patient => self.fetch_tokens(domain, class).await?,
            Effort::Passing => self.fetch_in_passing(domain, class).await?,
        }
        self.state.wallet.take(domain, class, now).ok_or(ClientError::Unexpected("tokens that have ended"))
    }

    /// Fetches a batch of tokens of a domain's AS.
    pub(crate) async fn fetch_tokens(&mut self, domain: &Fqdn, class: Class) -> Result<(), ClientError> {
        self.check_suspicion(domain)?;
        match self.fetch_batch(domain, class).await {
            // The key has ended, or the batch was made for one: begin anew, once, with the list of today.
            Err(error) if matches!(error.code(), Some(ErrorCode::TokenInvalid | ErrorCode::Malformed)) => {
                self.distrust_keys(domain);
                self.fetch_batch(domain, class).await
            }
            other => other,
        }
    }

    /// Fetches a batch for each purse that is down to a third of one, a random while after that was seen: neither
    /// the need nor its cause is to be read from the time. The same for all domains that we may need tokens of.
    pub(crate) async fn top_up(&mut self) -> Result<(), ClientError> {
        let mut purses = self.state.wallet.known();
        let friends = self.state.friends.keys().map(|user| &user.domain);
        let domains = friends.chain(self.state.groups.keys().map(|group| &group.domain));
        purses.extend(domains.map(|domain| (domain.clone(), Class::Standard)));
        let mut first = Ok(());
        for (domain, class) in purses {
            // Home tokens are needed seldom, Alias tokens hardly ever: they are fetched when they are.
            let is_needed = matches!(class, Class::Standard | Class::Contact);
            if is_needed && self.is_due(&domain, class) && self.check_suspicion(&domain).is_ok() {
                first = first.and(self.fetch_in_passing(&domain, class).await);
            }
        }
        first
    }

    /// Fetches a batch, unless its homeserver did not answer a while ago.
    async fn fetch_in_passing(&mut self, domain: &Fqdn, class: Class) -> Result<(), ClientError> {
        if self.silent.is_resting(domain, self.now()) {
            return Err(ClientError::Unreachable(TransportError::Unreachable));
        }
        let fetched = self.fetch_tokens(domain, class).await;
        if let Err(ClientError::Unreachable(_)) = &fetched {
            self.silent.failed(domain.clone(), self.now());
        }
        fetched
    }

    /// Whether the time has come to fetch tokens ahead; sets it, where few are left.
    fn is_due(&mut self, domain: &Fqdn, class: Class) -> bool {
        if self.state.wallet.count(domain, class).saturating_mul(3) > self.habits.batch.of(class) {
            return false;
        }
        let now = self.now();
        let longest_ms = u64::from(self.habits.jitter_s).saturating_mul(1_000);
        let after_ms = u64::from_be_bytes(self.chance.bytes()) % longest_ms.saturating_add(1);
        let purse = self.state.wallet.purse(domain, class);
        if purse.due == Timestamp::default() {
            purse.due = now.plus_millis(after_ms);
        }
        now >= purse.due
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

    /// A token of type 0x0001, which any Privacy Pass client can get and spend (RFC 9578).
    pub(crate) async fn request_token(&mut self, domain: &Fqdn, class: Class) -> Result<Token, ClientError> {
        self.check_suspicion(domain)?;
        let key = self.token_key(domain, class, TokenType::P384).await?;
        let challenge = TokenType::P384.challenge_digest(domain);
        let blinding = SingleBlinding::new(&key.public_key, challenge, &mut self.chance)?;
        let (route, auth) = (self.identity_route(domain), self.identity());
        let reply = self.call_free::<TokenRequest>(&route, Some(&auth), &blinding.request()).await?;
        Ok(blinding.finalize(&reply)?)
    }

    async fn begin_batch(&mut self, domain: &Fqdn, class: Class) -> Result<Pending, ClientError> {
        let key = self.token_key(domain, class, TokenType::Ristretto255).await?;
        let size = self.habits.batch.of(class);
        let blinding = Blinding::new(&key.public_key, challenge_digest(domain), size, &mut self.chance)?;
        let pending = Pending { blinding, redeem_until: key.redeem_until };
        self.state.wallet.purse(domain, class).pending = Some(pending.clone());
        Ok(pending)
    }
}

/// Tokens of one class and domain at once: those of some days, and no more than an answer's bound allows.
const MAX_COINS: usize = 1_000;

#[cfg(test)]
mod tests {
    use phoenix_core::{
        Fqdn, Timestamp,
        token::{Authenticator, Class, Token},
    };

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
            nonce: [key; 32],
            challenge_digest: [0; 32],
            key_id: [key; 32],
            authenticator: Authenticator::Ristretto255([0; 64]),
        }
    }
}
