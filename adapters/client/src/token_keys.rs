//! The token keys of homeservers: the same list for everyone, or nothing of it is used (05, "Rotation").

use std::sync::Arc;

use phoenix_core::{
    Fqdn, Timestamp,
    api::{Empty, Endpoint, auth::AsCredentials, tokens::TokenKeys},
    credential::AsKeys,
    port::Transport,
    time::{DAY, HOUR},
    token::{Class, KeyListEntry, SignedKeyList, TokenType},
    wire::{Flag, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{error::ClientError, event::Event, group::Effort, published::Published, session::Session};

/// A domain's token keys, as everyone sees them.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct KnownKeys {
    pub(crate) list: SignedKeyList,
    /// When; zero where it must be fetched anew before it is used again. It stays, for its successor to be checked.
    fetched: Timestamp,
    /// When it was compared with what a second path shows; zero where it never was.
    compared: Timestamp,
    /// Whether the application was told that the second path does not answer.
    is_silence_told: Flag,
}

impl Session {
    /// The key that issues tokens of a class and a type now, from the list that everyone sees; at most an hour old.
    /// Where there is a second path, no list is used that was not compared.
    pub(crate) async fn token_key(
        &mut self,
        domain: &Fqdn,
        class: Class,
        token_type: TokenType,
    ) -> Result<KeyListEntry, ClientError> {
        let now = self.now();
        let fresh = |fetched: Timestamp| now.millis_since(fetched) <= HOUR.saturating_mul(1_000);
        let issues = |known: &&KnownKeys| known.list.list.issuing_type(class, token_type, now).is_some();
        let cached = self.state.token_keys.get(domain).filter(|known| fresh(known.fetched));
        if cached.filter(issues).is_none() {
            self.fetch_token_keys(domain).await?;
        }
        let is_new = |known: &KnownKeys| known.compared == Timestamp::default();
        if self.ports.witness.is_some() && self.state.token_keys.get(domain).is_some_and(is_new) {
            self.check_token_keys(domain).await?;
        }
        let known = self.state.token_keys.get(domain);
        let key = known.and_then(|known| known.list.list.issuing_type(class, token_type, now));
        key.cloned().ok_or(ClientError::Unexpected("no key issues this class"))
    }

    /// Compares the token keys that a domain shows us with those that it shows on a second path, where it cannot
    /// know that it is us; and those that we hold tokens of with both.
    ///
    /// # Errors
    /// [`ClientError::TokenKeysDiffer`]: no tokens of the domain are spent from then on, until this succeeds.
    pub(crate) async fn check_token_keys(&mut self, domain: &Fqdn) -> Result<(), ClientError> {
        let witness = self.ports.witness.clone().ok_or(ClientError::State("there is no second path"))?;
        let (mut ours, mut others) = self.ask_both(&witness, domain).await?;
        if ours.list.serial != others.list.serial {
            // They were changed in between, or have not reached all of the homeserver: once more, a little later.
            self.pause(self.habits.patience_ms).await;
            (ours, others) = self.ask_both(&witness, domain).await?;
        }
        let is_same = ours.list.serial == others.list.serial && ours.list.keys == others.list.keys;
        let former = self.state.token_keys.get(domain).map(|known| &known.list);
        let leads_on = former.is_none_or(|former| former.accepts_successor(&ours));
        let fits = self.state.wallet.fits(domain, &others.list, self.now());
        self.state.wallet.discard_strange(domain, &others.list);
        if is_same {
            // What both show is the truth, whatever we were shown before.
            self.keep_token_keys(domain, ours);
        }
        if !is_same || !leads_on || !fits {
            return Err(self.suspect(domain));
        }
        self.state.suspects.remove(domain);
        let now = self.now();
        if let Some(known) = self.state.token_keys.get_mut(domain) {
            (known.compared, known.is_silence_told) = (now, Flag::No);
        }
        Ok(())
    }

    /// Compares the token keys of all domains that we have tokens of, once a day, where there is a second path. What
    /// differs is told as an event.
    pub(crate) async fn compare_token_keys(&mut self) {
        if self.ports.witness.is_none() {
            return;
        }
        let now = self.now();
        let is_due = |known: &KnownKeys| now >= known.compared.plus_secs(DAY);
        let due = self.state.token_keys.iter().filter(|(_, known)| is_due(known));
        for domain in due.map(|(domain, _)| domain.clone()).collect::<Vec<_>>() {
            // A path that does not answer now is gone again.
            let _ = self.check_token_keys(&domain).await;
            self.note_silence(&domain);
        }
    }

    fn note_silence(&mut self, domain: &Fqdn) {
        let now = self.now();
        let Some(known) = self.state.token_keys.get_mut(domain) else { return };
        if now >= known.compared.plus_secs(LONGEST_SILENCE) && !known.is_silence_told.is_set() {
            known.is_silence_told = Flag::Yes;
            self.tell(Event::NoWitness { domain: domain.clone() });
        }
    }

    /// Refuses to go on with a domain that shows different keys to different clients.
    pub(crate) fn check_suspicion(&self, domain: &Fqdn) -> Result<(), ClientError> {
        match self.state.suspects.contains_key(domain) {
            true => Err(ClientError::TokenKeysDiffer),
            false => Ok(()),
        }
    }

    /// A domain's key list is fetched anew before it is used again.
    pub(crate) fn distrust_keys(&mut self, domain: &Fqdn) {
        if let Some(known) = self.state.token_keys.get_mut(domain) {
            known.fetched = Timestamp::default();
        }
    }

    /// Fetches the list. It must lead on from the one before: a list that changes without another serial is two.
    async fn fetch_token_keys(&mut self, domain: &Fqdn) -> Result<(), ClientError> {
        let list = self.ask_token_keys(domain).await?;
        let former = self.state.token_keys.get(domain).map(|known| &known.list.list);
        match former {
            Some(former) if former.serial == list.list.serial && former.keys != list.list.keys => {
                Err(self.suspect(domain))
            }
            Some(former) if former.serial > list.list.serial => {
                Err(ClientError::Unexpected("the AS went back to older token keys"))
            }
            _ => {
                self.keep_token_keys(domain, list);
                Ok(())
            }
        }
    }

    /// Asks on both paths, in no order: who is asked first says nothing.
    async fn ask_both(
        &mut self,
        witness: &Arc<dyn Transport>,
        domain: &Fqdn,
    ) -> Result<(SignedKeyList, SignedKeyList), ClientError> {
        let [coin] = self.chance.bytes();
        if coin & 1 == 0 {
            let others = self.witnessed_keys(witness, domain).await?;
            return Ok((self.ask_token_keys(domain).await?, others));
        }
        let ours = self.ask_token_keys(domain).await?;
        Ok((ours, self.witnessed_keys(witness, domain).await?))
    }

    /// Asks for the list, on a circuit of its own: it must be the same for those who do not say who they are.
    async fn ask_token_keys(&mut self, domain: &Fqdn) -> Result<SignedKeyList, ClientError> {
        let authority = self.authority(domain).await?;
        let route = self.fresh_route(domain);
        let list = self.call_free::<TokenKeys>(&route, None, &Empty {}).await?;
        list.verify(&authority, self.now())?;
        Ok(list)
    }

    fn keep_token_keys(&mut self, domain: &Fqdn, list: SignedKeyList) {
        let former = self.state.token_keys.get(domain);
        let same = former.filter(|former| former.list.list.keys == list.list.keys);
        let compared = same.map_or(Timestamp::default(), |same| same.compared);
        let is_silence_told = former.map_or(Flag::No, |former| former.is_silence_told);
        let fetched = self.now();
        self.state.token_keys.insert(domain.clone(), KnownKeys { list, fetched, compared, is_silence_told });
    }

    /// The list as the second path shows it, with the keys of the AS that it shows: those must be ours, too.
    async fn witnessed_keys(
        &mut self,
        witness: &Arc<dyn Transport>,
        domain: &Fqdn,
    ) -> Result<SignedKeyList, ClientError> {
        let now = self.now();
        let mut keys = self.witnessed_authority(witness, domain).await?;
        let mut ours = self.authority(domain).await?;
        if !is_one_authority(&ours, &keys) {
            // Ours may be an hour old, and be it that it was changed in between.
            self.pause(self.habits.patience_ms).await;
            ours = self.fetch_authority(domain, Effort::Patient).await?;
            keys = self.witnessed_authority(witness, domain).await?;
        }
        if !is_one_authority(&ours, &keys) {
            return Err(self.suspect(domain));
        }
        let list = self.ask_witness::<TokenKeys>(witness, domain).await?;
        list.verify(&keys, now)?;
        Ok(list)
    }

    async fn witnessed_authority(
        &mut self,
        witness: &Arc<dyn Transport>,
        domain: &Fqdn,
    ) -> Result<AsKeys, ClientError> {
        let identity = self.ask_witness::<AsCredentials>(witness, domain).await?;
        Ok(AsKeys::verify(identity, domain, self.now())?)
    }

    async fn ask_witness<E: Endpoint<Request = Empty>>(
        &mut self,
        witness: &Arc<dyn Transport>,
        domain: &Fqdn,
    ) -> Result<E::Reply, ClientError> {
        let route = self.fresh_route(domain);
        let outgoing = self.prepare(&E::DESCRIPTION, &route, None, None, Empty {}.encode())?;
        let reply = witness.send(domain, outgoing).await;
        let reply = reply.map_err(ClientError::Unreachable)?.map_err(ClientError::Refused)?;
        E::Reply::decode(&reply).map_err(|_| ClientError::Unexpected(E::DESCRIPTION.name))
    }

    fn suspect(&mut self, domain: &Fqdn) -> ClientError {
        if self.state.suspects.insert(domain.clone(), Flag::Yes).is_none() {
            self.tell(Event::TokenKeysDiffer { domain: domain.clone() });
        }
        ClientError::TokenKeysDiffer
    }
}

/// Whether two clients that were shown these were shown one authority.
fn is_one_authority(one: &AsKeys, other: &AsKeys) -> bool {
    let (one, other) = (one.identity(), other.identity());
    one.roots == other.roots && Published::of(one).agrees_with(&Published::of(other))
}

/// How long a second path may not answer before that is told, in seconds.
const LONGEST_SILENCE: u64 = 3 * DAY;
