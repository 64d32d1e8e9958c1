//! Registration at the AS (04).

use std::sync::Arc;

use phoenix_core::{
    ClientId, Reject, Timestamp, UserId, Uuid,
    api::{
        Empty, Endpoint,
        auth::{
            AsCredentials, ChallengeReply, RegisterFinish, RegisterFinishRequest, RegisterInit,
            RegisterInitRequest, RegistrationChallenge,
        },
    },
    credential::{AsKeys, ClientCredential, ClientCredentialPayload, Csr, ExpirationData},
    crypto::{Chance, HpkeSecretKey, Signer, SigningKey},
    time::DAY,
    wire::{List, Sender, Wire},
};

use crate::{
    call::{Auth, Route},
    error::ClientError,
    inbox::Inbox,
    opaque::Registration,
    ports::ClientPorts,
    session::Session,
    settings::Settings,
    state::{Account, State, circuit},
};

/// Registers a user with its first client.
pub(crate) async fn register(settings: &Settings, ports: ClientPorts) -> Result<Session, ClientError> {
    let mut candidate = Candidate::new(settings, ports)?;
    let authority = candidate.authority().await?;
    let challenge: ChallengeReply = candidate.call::<RegistrationChallenge>(None, &Empty {}).await?;
    if !challenge.is_open() {
        return Err(ClientError::State("registration asks for more than this client brings"));
    }
    let password = settings.password.as_bytes();
    let (opaque, request) = Registration::start(password, candidate.entropy())?;
    let user = candidate.client().user.clone();
    let init = RegisterInitRequest { user: user.clone(), opaque: request, proofs: List::default() };
    let init = candidate.call::<RegisterInit>(None, &init).await?;
    let record = opaque.finish(password, &init.opaque, &user, settings.stretch)?;
    let request = RegisterFinishRequest {
        registration: init.registration,
        csr: candidate.csr(&authority)?,
        queue_key: candidate.queue_key.public_key().clone(),
        record,
    };
    let auth = Auth::new(Sender::NewKey(candidate.signer().verifying_key()), candidate.signer());
    let credential = candidate.call::<RegisterFinish>(Some(&auth), &request).await?;
    candidate.finish(&authority, &request.csr, credential)
}

/// A client that has no credential yet. It calls through a session whose state nobody sees.
struct Candidate {
    session: Session,
    key: Option<SigningKey>,
    queue_key: HpkeSecretKey,
}

impl Candidate {
    fn new(settings: &Settings, ports: ClientPorts) -> Result<Self, ClientError> {
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
            key: key.clone(),
            circuit: u64::from_be_bytes(chance.bytes()),
            inbox: Inbox::new(queue_key.clone()),
        };
        let session = Session::new(ports, settings.habits, signer, State::new(account));
        Ok(Self { session, key, queue_key })
    }

    fn client(&self) -> &ClientId {
        self.session.client()
    }

    fn signer(&self) -> Arc<dyn Signer> {
        self.session.signer.clone()
    }

    fn entropy(&self) -> Arc<dyn phoenix_core::port::Entropy> {
        self.session.ports.entropy.clone()
    }

    async fn call<E: Endpoint>(
        &mut self,
        auth: Option<&Auth>,
        request: &E::Request,
    ) -> Result<E::Reply, ClientError> {
        let account = &self.session.state.account;
        let route = Route { domain: account.client.user.domain.clone(), circuit: circuit(account.circuit) };
        self.session.call_free::<E>(&route, auth, request).await
    }

    /// The AS's keys, checked.
    async fn authority(&mut self) -> Result<AsKeys, ClientError> {
        let identity = self.call::<AsCredentials>(None, &Empty {}).await?;
        let domain = self.session.domain().clone();
        Ok(AsKeys::verify(identity, &domain, self.session.now())?)
    }

    /// Asks the intermediate that is valid longest for a credential of 90 days.
    fn csr(&self, authority: &AsKeys) -> Result<Csr, ClientError> {
        let now = self.session.now();
        let intermediates = authority.intermediates_at(now);
        let intermediate = intermediates.first().ok_or(Reject::Unauthenticated)?;
        let outer = intermediate.payload.validity;
        let payload = ClientCredentialPayload {
            client: self.client().clone(),
            validity: validity(now, outer),
            key: self.session.signer.verifying_key(),
            signer: intermediate.fingerprint(),
        };
        Ok(Csr::new(self.session.signer.as_ref(), payload)?)
    }

    /// Checks that the credential is the one asked for.
    fn finish(
        mut self,
        authority: &AsKeys,
        csr: &Csr,
        credential: ClientCredential,
    ) -> Result<Session, ClientError> {
        let is_ours = credential.payload.encode() == csr.payload.encode();
        let verified = authority.verify_chain(&credential, self.session.now())?;
        if !is_ours || verified.client() != self.client() {
            return Err(ClientError::Unexpected("another credential than was asked for"));
        }
        self.session.state.account.credential = credential;
        self.session.state.account.key = self.key.take();
        Ok(self.session)
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
        signer: phoenix_core::Fingerprint([0; 32]),
    };
    let Csr { payload, self_signature } = Csr::new(signer, payload)?;
    Ok(ClientCredential { payload, signature: self_signature.clone(), self_signature })
}

/// Days of a client credential (03).
const LIFETIME: u64 = 90 * DAY;
/// Clocks within five minutes of each other are taken for right (02).
const CLOCK_MARGIN: u64 = 300;
