//! A client that has no credential yet: before registration, or before it has logged in.

use std::sync::Arc;

use phoenix_core::{
    ClientId, Fingerprint, Reject, Timestamp, UserId, Uuid,
    api::Endpoint,
    credential::{AsKeys, ClientCredential, ClientCredentialPayload, Csr, ExpirationData},
    crypto::{Chance, HpkePublicKey, HpkeSecretKey, Signer, SigningKey},
    port::{Circuit, Entropy},
    time::DAY,
    wire::{Flag, Sender, Wire},
};

use crate::{
    call::{Auth, Route},
    error::ClientError,
    inbox::Inbox,
    ports::ClientPorts,
    session::Session,
    settings::Settings,
    state::{Account, State},
};

/// A client to be. It calls through a session whose state nobody sees.
pub(crate) struct Candidate {
    session: Session,
    queue_key: HpkeSecretKey,
}

impl Candidate {
    /// A fresh client with fresh keys: of the user that the settings name, or of a random one.
    pub(crate) fn new(settings: &Settings, ports: ClientPorts) -> Result<Self, ClientError> {
        let mut chance = Chance::from_seed(ports.seed());
        let user = settings.user.unwrap_or_else(|| Uuid::from_random(chance.bytes()));
        let client = ClientId {
            user: UserId { uuid: user, domain: settings.domain.clone() },
            client: Uuid::from_random(chance.bytes()),
        };
        let key = settings.signer.is_none().then(|| SigningKey::generate(settings.suite, &mut chance));
        let signer: Arc<dyn Signer> = match (&settings.signer, &key) {
            (Some(signer), _) => signer.clone(),
            (None, Some(key)) => Arc::new(key.clone()),
            (None, None) => return Err(ClientError::Signer),
        };
        if signer.verifying_key().suite != settings.suite {
            return Err(ClientError::State("the signer is of another suite"));
        }
        let queue_key = HpkeSecretKey::generate(settings.suite, &mut chance);
        let account = Account {
            credential: placeholder(&client, signer.as_ref())?,
            client,
            suite: settings.suite,
            key,
            circuit: u64::from_be_bytes(chance.bytes()),
            inbox: Inbox::new(queue_key.clone()),
            stretch: settings.stretch,
            is_renewed: Flag::No,
        };
        let session = Session::new(ports, settings.habits, signer, State::new(account));
        Ok(Self { session, queue_key })
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.session.client().user
    }

    pub(crate) fn entropy(&self) -> Arc<dyn Entropy> {
        self.session.ports.entropy.clone()
    }

    pub(crate) fn queue_key(&self) -> &HpkePublicKey {
        self.queue_key.public_key()
    }

    /// Signs with the key that the credential is to be for.
    pub(crate) fn auth(&self) -> Auth {
        Auth::new(Sender::NewKey(self.session.signer.verifying_key()), self.session.signer.clone())
    }

    /// Calls the AS that the client is to belong to.
    pub(crate) async fn call<E: Endpoint>(
        &mut self,
        auth: Option<&Auth>,
        request: &E::Request,
    ) -> Result<E::Reply, ClientError> {
        let account = &self.session.state.account;
        let route = Route { domain: account.client.user.domain.clone(), circuit: Circuit(account.circuit) };
        self.session.call_free::<E>(&route, auth, request).await
    }

    /// The AS's keys, checked, and kept: what is published later must lead on from them.
    pub(crate) async fn authority(&mut self) -> Result<AsKeys, ClientError> {
        let domain = self.session.domain().clone();
        self.session.authority(&domain).await
    }

    pub(crate) fn csr(&self, authority: &AsKeys) -> Result<Csr, ClientError> {
        csr(&self.session, authority)
    }

    /// Checks that the credential is the one asked for: from here on it is a client.
    pub(crate) fn finish(
        mut self,
        authority: &AsKeys,
        csr: &Csr,
        credential: ClientCredential,
    ) -> Result<Session, ClientError> {
        check(&self.session, authority, csr, &credential)?;
        self.session.state.account.credential = credential;
        Ok(self.session)
    }
}

/// Asks the intermediate that is valid longest for a credential of 90 days, for the client's id and key.
pub(crate) fn csr(session: &Session, authority: &AsKeys) -> Result<Csr, ClientError> {
    let now = session.now();
    let intermediates = authority.intermediates_at(now);
    let intermediate = intermediates.first().ok_or(Reject::Unauthenticated)?;
    let payload = ClientCredentialPayload {
        client: session.client().clone(),
        validity: validity(now, intermediate.payload.validity),
        key: session.signer.verifying_key(),
        signer: intermediate.fingerprint(),
    };
    Ok(Csr::new(session.signer.as_ref(), payload)?)
}

/// Checks that a credential is the one that was asked for, and its whole chain.
pub(crate) fn check(
    session: &Session,
    authority: &AsKeys,
    csr: &Csr,
    credential: &ClientCredential,
) -> Result<(), ClientError> {
    let is_ours = credential.payload.encode() == csr.payload.encode();
    let verified = authority.verify_chain(credential, session.now())?;
    match is_ours && verified.client() == session.client() {
        true => Ok(()),
        false => Err(ClientError::Unexpected("another credential than was asked for")),
    }
}

/// From now, or a little before so that clocks may differ, for 90 days (03), within the intermediate's validity.
fn validity(now: Timestamp, outer: ExpirationData) -> ExpirationData {
    let now = now.as_secs();
    ExpirationData {
        not_before: now.saturating_sub(CLOCK_MARGIN).max(outer.not_before),
        not_after: now.saturating_add(LIFETIME).min(outer.not_after),
    }
}

/// Stands for the credential until there is one; no call shows it.
fn placeholder(client: &ClientId, signer: &dyn Signer) -> Result<ClientCredential, ClientError> {
    let payload = ClientCredentialPayload {
        client: client.clone(),
        validity: ExpirationData { not_before: 0, not_after: 0 },
        key: signer.verifying_key(),
        signer: Fingerprint([0; 32]),
    };
    let Csr { payload, self_signature } = Csr::new(signer, payload)?;
    Ok(ClientCredential { payload, signature: self_signature.clone(), self_signature })
}

/// Days of a client credential (03).
const LIFETIME: u64 = 90 * DAY;
/// Clocks within five minutes of each other are taken for right (02).
const CLOCK_MARGIN: u64 = 300;
