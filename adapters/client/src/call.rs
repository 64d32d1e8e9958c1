//! Calls to homeservers: frames, tokens, and trying again.

use std::sync::Arc;

use bytes::Bytes;
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn,
    api::{Description, Endpoint},
    crypto::{Chance, Signer},
    port::{Circuit, Outgoing},
    token::{Class, Token},
    wire::{Audience, AuthFrame, Call, CallTbs, CoSignature, List, Opaque, Sender, VERSION, Wire},
};

use crate::{error::ClientError, group::Effort, session::Session, settings::Habits};

/// Where a call goes, and on which circuit.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) domain: Fqdn,
    pub(crate) circuit: Circuit,
}

/// Who signs a call.
#[derive(Clone)]
pub(crate) struct Auth {
    sender: Sender,
    key: Arc<dyn Signer>,
    co_signer: Option<Arc<dyn Signer>>,
}

impl Auth {
    pub(crate) fn new(sender: Sender, key: Arc<dyn Signer>) -> Self {
        Self { sender, key, co_signer: None }
    }

    /// With a further key, which the body introduces.
    pub(crate) fn with_co_signer(mut self, key: Arc<dyn Signer>) -> Self {
        self.co_signer = Some(key);
        self
    }

    /// Signs a call for its audience (02).
    fn frame(
        &self,
        call: &Call,
        audience: Audience,
        issued_at: u64,
        nonce: [u8; 16],
    ) -> Result<AuthFrame, ClientError> {
        let mut frame = AuthFrame {
            sender: self.sender.clone(),
            issued_at,
            nonce,
            signature: Default::default(),
            co_signatures: List::default(),
        };
        let covered = CallTbs::encoding(call, &frame, audience);
        frame.signature = self.key.sign(LABEL, &covered)?;
        if let Some(key) = &self.co_signer {
            let signature = key.sign(LABEL, &covered)?;
            frame.co_signatures = List::new(vec![CoSignature { key: key.verifying_key(), signature }])?;
        }
        Ok(frame)
    }
}

impl Session {
    /// Calls an endpoint: takes a token where it costs one, signs where someone is to sign, and tries again where
    /// no answer came. Each try has a frame and a token of its own, since a token may have been spent on a try
    /// whose answer was lost: what must not happen twice has an id in its body, or ends in a conflict.
    pub(crate) async fn call<E: Endpoint>(
        &mut self,
        to: &Route,
        auth: Option<&Auth>,
        request: &E::Request,
    ) -> Result<E::Reply, ClientError> {
        self.call_with::<E>((to, Effort::Patient), auth, request).await
    }

    /// As [`Session::call`], with so much effort: in passing, it is tried once where no answer comes.
    pub(crate) async fn call_with<E: Endpoint>(
        &mut self,
        to: (&Route, Effort),
        auth: Option<&Auth>,
        request: &E::Request,
    ) -> Result<E::Reply, ClientError> {
        let reply = self.exchange(&E::DESCRIPTION, to, auth, request.encode()).await?;
        E::Reply::decode(&reply).map_err(|_| ClientError::Unexpected(E::DESCRIPTION.name))
    }

    /// As [`Session::call`], for endpoints that cost nothing: getting tokens must not need tokens.
    pub(crate) async fn call_free<E: Endpoint>(
        &mut self,
        to: &Route,
        auth: Option<&Auth>,
        request: &E::Request,
    ) -> Result<E::Reply, ClientError> {
        let mut patience = Patience::new(&self.habits, Effort::Patient);
        let body = request.encode();
        loop {
            match self.attempt(&E::DESCRIPTION, to, auth, None, body.clone()).await {
                Ok(reply) => {
                    return E::Reply::decode(&reply)
                        .map_err(|_| ClientError::Unexpected(E::DESCRIPTION.name));
                }
                Err(error) => self.wait_after(error, &mut patience).await?,
            }
        }
    }

    /// As [`Session::call_free`], but tried only once.
    pub(crate) async fn call_once<E: Endpoint>(
        &mut self,
        to: &Route,
        request: &E::Request,
    ) -> Result<E::Reply, ClientError> {
        let reply = self.attempt(&E::DESCRIPTION, to, None, None, request.encode()).await?;
        E::Reply::decode(&reply).map_err(|_| ClientError::Unexpected(E::DESCRIPTION.name))
    }

    /// Calls an endpoint by its description, with an encoded body.
    pub(crate) async fn exchange(
        &mut self,
        description: &Description,
        (to, effort): (&Route, Effort),
        auth: Option<&Auth>,
        body: Bytes,
    ) -> Result<Bytes, ClientError> {
        let mut patience = Patience::new(&self.habits, effort);
        self.uncertain = false;
        let mut has_learned = false;
        loop {
            let price = self.price(description, &to.domain);
            let token = match price {
                Some(class) => Some(self.take_token_with(&to.domain, class, effort).await?),
                None => None,
            };
            let key = token.as_ref().map(|token| token.key_id);
            match self.attempt(description, to, auth, token, body.clone()).await {
                Ok(reply) => {
                    price.inspect(|class| self.trust_purse(&to.domain, *class));
                    return Ok(reply);
                }
                Err(error) => {
                    if price.is_some_and(|class| self.was_spent_before(&to.domain, class, &error)) {
                        continue;
                    }
                    // Once for each call: who names another class each time would drain our tokens.
                    if !has_learned && self.learn_price(description, &to.domain, &error) {
                        has_learned = true;
                        continue;
                    }
                    if let (Some(ErrorCode::TokenInvalid), Some(key)) = (error.code(), key) {
                        self.discard_tokens(&to.domain, &key);
                    }
                    self.wait_after(error, &mut patience).await?;
                }
            }
        }
    }

    /// Whether a token was spent by a state of ours that was not saved: the next one may be good. Never more often than there
    /// are tokens that were loaded.
    fn was_spent_before(&self, domain: &Fqdn, class: Class, error: &ClientError) -> bool {
        error.code() == Some(ErrorCode::TokenSpent)
            && self.unsure_purses.contains(&(domain.clone(), class))
            && self.tokens_left(domain, class) > 0
    }

    /// A token was good: what was loaded behind it was not spent either.
    fn trust_purse(&mut self, domain: &Fqdn, class: Class) {
        self.unsure_purses.remove(&(domain.clone(), class));
    }

    /// The class that an endpoint costs at a homeserver: as the protocol says, or as its operator has changed it.
    fn price(&self, description: &Description, domain: &Fqdn) -> Option<Class> {
        self.prices.get(&(domain.clone(), description.id)).copied().unwrap_or(description.token)
    }

    /// An operator may have changed what an endpoint costs (05, "Redemption"): the refusal names the class, or says
    /// that no token is wanted. Says whether that is news, so that it is worth trying again at once.
    fn learn_price(&mut self, description: &Description, domain: &Fqdn, error: &ClientError) -> bool {
        let ClientError::Refused(reply) = error else { return false };
        let price = match (reply.code, Class::decode(&reply.detail)) {
            (ErrorCode::TokenRequired | ErrorCode::TokenInvalid, Ok(class)) => Some(class),
            (ErrorCode::Malformed, _) if *reply.detail == *UNWANTED => None,
            _ => return false,
        };
        if self.price(description, domain) == price {
            return false;
        }
        self.prices.insert((domain.clone(), description.id), price);
        true
    }

    async fn attempt(
        &mut self,
        description: &Description,
        to: &Route,
        auth: Option<&Auth>,
        token: Option<Token>,
        body: Bytes,
    ) -> Result<Bytes, ClientError> {
        let outgoing = self.prepare(description, to, auth, token, body)?;
        let answer = self.ports.transport.send(&to.domain, outgoing).await;
        // A token that is spent: the call may have come twice, and have been carried out the first time.
        let is_spent = |answer: &Result<_, ErrorReply>| {
            answer.as_ref().is_err_and(|error| error.code == ErrorCode::TokenSpent)
        };
        self.uncertain |= answer.as_ref().map_or(true, is_spent);
        answer.map_err(ClientError::Unreachable)?.map_err(ClientError::Refused)
    }

    /// A call, ready to be sent once.
    pub(crate) fn prepare(
        &mut self,
        description: &Description,
        to: &Route,
        auth: Option<&Auth>,
        token: Option<Token>,
        body: Bytes,
    ) -> Result<Outgoing, ClientError> {
        let mut call =
            Call { version: VERSION, endpoint: description.id, auth: None, token, body: Opaque::new(body)? };
        if let Some(auth) = auth {
            let audience = Audience { service: description.service, domain: to.domain.clone() };
            let nonce = self.chance.bytes();
            call.auth = Some(auth.frame(&call, audience, self.now().as_secs(), nonce)?);
        }
        Ok(Outgoing { service: description.service, name: description.name, call, circuit: to.circuit })
    }

    /// Waits before the next try, or gives the error back.
    async fn wait_after(&mut self, error: ClientError, patience: &mut Patience) -> Result<(), ClientError> {
        let Some(millis) = patience.wait_after(&error, &mut self.chance) else { return Err(error) };
        self.pause(millis).await;
        Ok(())
    }
}

/// How often a call is tried still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    effort: Effort,
    left: u8,
    next_ms: u64,
    longest_ms: u64,
}

impl Patience {
    pub(crate) fn new(habits: &Habits, effort: Effort) -> Self {
        Self {
            effort,
            left: habits.tries.max(1) - 1,
            next_ms: habits.first_wait_ms.max(1),
            longest_ms: habits.patience_ms,
        }
    }

    /// How long to wait after an error, in milliseconds; none where trying again is no use, be it that something is
    /// to be done first.
    pub(crate) fn wait_after(&mut self, error: &ClientError, chance: &mut Chance) -> Option<u64> {
        if matches!(error, ClientError::Refused(reply) if asks_for_work(reply)) {
            return None;
        }
        let is_token_gone = matches!(error.code(), Some(ErrorCode::TokenSpent | ErrorCode::TokenInvalid));
        if self.left == 0 || !(error.is_transient() || is_token_gone) {
            return None;
        }
        self.left -= 1;
        if is_token_gone {
            return Some(0);
        }
        if self.effort == Effort::Passing {
            return None;
        }
        let asked = match error {
            ClientError::Refused(reply) => u64::from(reply.retry_after_s.unwrap_or(0)).saturating_mul(1_000),
            _ => 0,
        };
        let wait = self.jittered(chance).max(asked);
        (asked <= self.longest_ms).then_some(wait)
    }

    /// Half of the next wait, and up to as much again; the next one is twice as long.
    fn jittered(&mut self, chance: &mut Chance) -> u64 {
        let wait = self.next_ms.min(self.longest_ms);
        self.next_ms = self.next_ms.saturating_mul(2);
        let half = wait / 2;
        half + u64::from_be_bytes(chance.bytes()) % (half + 1)
    }
}

/// Whether a refusal names the work after which it would be none.
fn asks_for_work(reply: &ErrorReply) -> bool {
    reply.code == ErrorCode::RateLimited && !reply.detail.is_empty()
}

/// The field that is malformed where a token comes and none is wanted.
const UNWANTED: &[u8] = b"token";
/// The label of a frame's signature (02).
const LABEL: &str = "Call";

#[cfg(test)]
mod tests {
    use phoenix_core::{ErrorReply, Refusal, Reject, crypto::Chance, port::TransportError};

    use super::Patience;
    use crate::{error::ClientError, group::Effort, settings::Habits};

    #[test]
    fn waits_grow_and_end() {
        let (mut patience, mut chance) =
            (Patience::new(&Habits::default(), Effort::Patient), Chance::from_seed([1; 32]));
        let error = ClientError::Unreachable(TransportError::Unreachable);

        let waits: Vec<_> = std::iter::from_fn(|| patience.wait_after(&error, &mut chance)).collect();

        assert_eq!(waits.len(), 5);
        assert!(
            waits.iter().zip([100, 200, 400, 800, 1_600]).all(|(wait, least)| *wait >= least),
            "{waits:?}"
        );
    }

    #[test]
    fn in_passing_nothing_is_waited_for_and_another_token_is_tried() {
        let mut patience = Patience::new(&Habits::default(), Effort::Passing);
        let mut chance = Chance::from_seed([1; 32]);
        let spent = ClientError::Refused(ErrorReply::from(Refusal::from(Reject::TokenSpent)));
        let silent = ClientError::Unreachable(TransportError::Unreachable);

        let waits = [spent, silent].map(|error| patience.wait_after(&error, &mut chance));

        assert_eq!(waits, [Some(0), None]);
    }

    #[test]
    fn what_was_refused_for_good_is_not_tried_again() {
        let (mut patience, mut chance) =
            (Patience::new(&Habits::default(), Effort::Patient), Chance::from_seed([1; 32]));

        for reject in
            [Reject::Forbidden, Reject::NotFound, Reject::Conflict(Some(3)), Reject::RateLimited(86_400)]
        {
            let error = ClientError::Refused(ErrorReply::from(Refusal::from(reject)));
            assert_eq!(patience.wait_after(&error, &mut chance), None, "{reject}");
        }
    }
}
