//! Calls, signed and paid for.

use phoenix_conformance::{network::NetworkTransport, world::VirtualClock};
use phoenix_core::{
    ErrorReply, Fqdn, Timestamp,
    api::Endpoint,
    crypto::{Chance, SigningKey},
    port::{Circuit, Clock as _, Outgoing, Transport as _},
    wire::{Audience, AuthFrame, Call, CallTbs, CoSignature, List, Opaque, Sender, VERSION, Wire},
};

use crate::site::{Person, Site};

/// Who signs a call.
pub(crate) struct Auth {
    sender: Sender,
    key: SigningKey,
    co_signer: Option<SigningKey>,
}

impl Auth {
    pub(crate) fn new(sender: Sender, key: &SigningKey) -> Self {
        Self { sender, key: key.clone(), co_signer: None }
    }

    /// By a key that the request introduces.
    pub(crate) fn of_new_key(key: &SigningKey) -> Self {
        Self::new(Sender::NewKey(key.verifying_key()), key)
    }

    pub(crate) fn with_co_signer(self, key: &SigningKey) -> Self {
        Self { co_signer: Some(key.clone()), ..self }
    }
}

/// A client's way to homeservers. The account of the reference client pays.
pub(crate) struct Caller {
    pub(crate) account: Person,
    pub(crate) chance: Chance,
    clock: VirtualClock,
    transport: NetworkTransport,
}

impl Caller {
    pub(crate) fn new(site: &Site, account: Person) -> Self {
        let chance = Chance::from_seed(site.tape.bytes());
        Self { account, chance, clock: site.clock.clone(), transport: site.network.transport() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The account's homeserver.
    pub(crate) fn domain(&self) -> Fqdn {
        self.account.client.user().domain.clone()
    }

    /// Calls an endpoint once, with a token of its class where it costs one.
    pub(crate) async fn call<E: Endpoint>(
        &mut self,
        to: &Fqdn,
        auth: Option<Auth>,
        request: &E::Request,
    ) -> Result<E::Reply, ErrorReply> {
        let description = E::DESCRIPTION;
        let token = match description.token {
            Some(class) => Some(self.account.client.take_token(to, class).await.unwrap()),
            None => None,
        };
        let body = Opaque::new(request.encode()).unwrap();
        let mut call = Call { version: VERSION, endpoint: description.id, auth: None, token, body };
        let audience = Audience { service: description.service, domain: to.clone() };
        call.auth = auth.map(|auth| self.frame(&call, audience, auth));
        let circuit = Circuit(u64::from_be_bytes(self.chance.bytes()));
        let outgoing = Outgoing { service: description.service, name: description.name, call, circuit };
        let answer = self.transport.send(to, outgoing).await.unwrap();
        answer.map(|reply| E::Reply::decode(&reply).unwrap())
    }

    fn frame(&mut self, call: &Call, audience: Audience, auth: Auth) -> AuthFrame {
        let mut frame = AuthFrame {
            sender: auth.sender,
            issued_at: self.now().as_secs(),
            nonce: self.chance.bytes(),
            signature: Default::default(),
            co_signatures: List::default(),
        };
        let covered = CallTbs::encoding(call, &frame, audience);
        frame.signature = auth.key.sign("Call", &covered);
        let co_signature = auth.co_signer.map(|key| {
            let signature = key.sign("Call", &covered);
            CoSignature { key: key.verifying_key(), signature }
        });
        frame.co_signatures = List::new(co_signature.into_iter().collect()).unwrap();
        frame
    }
}
