//! What users of the queuing service do with their records, call by call: here a client is what signs, and no more.

use phoenix_client::ClientPorts;
use phoenix_core::{
    ConfigId, Fqdn, QsClientId, QsUserId,
    api::{
        Empty, Endpoint,
        queue::{
            ConfigRule, CreateClient, CreateClientRequest, CreateUser, CreateUserRequest, DeleteClient,
            DeleteClientRequest, DeleteUser, FormerTokens, GetUser, NewClientKey, PushToken, RuleChange,
            SetPushToken, SetPushTokenRequest, UpdateBlocklist, UpdateBlocklistRequest, UpdateClient,
            UpdateQsClientRequest, UpdateUser, UpdateUserRequest,
        },
    },
    crypto::{Chance, HpkeSecretKey, Signature, SigningKey, Suite},
    operation::FRAME_LABEL,
    port::{Circuit, Clock, Entropy, Outgoing, Transport},
    time::Month,
    token::Token,
    wire::{
        Audience, AuthFrame, Call, CallTbs, CoSignature, List, Opaque, Secret, SecretOpaque, Sender, VERSION,
        Wire,
    },
};

use super::{Narrator, Turn};
use crate::{audit::Kind, world::cast::Actor};

impl Narrator {
    /// A record is made, changed in every way, and goes again.
    pub(super) async fn a_record_comes_and_goes(&mut self) -> Result<(), Turn> {
        let mut record = Record::new(self, "a record of the queuing service")?;
        let first = record.key();
        let client = QsClientId(record.chance.bytes());
        self.create(&mut record, (client, &first)).await?;
        let second = record.key();
        let sibling = QsClientId(record.chance.bytes());
        self.add(&mut record, (sibling, &second)).await?;
        self.change_user(&mut record).await?;
        let second = self.change_client(&mut record, (sibling, &second)).await?;
        self.photograph("a push token");
        self.remember(Kind::PushToken, ADDRESS)?;
        let user = (Sender::QsUser(record.user), record.user_key.clone());
        let state = self.ask::<GetUser>(&mut record, &Empty {}, (&user, &[])).await?;
        self.expect(state.clients.len() == 2, "a user does not see both of its clients")?;
        let ending = DeleteClientRequest { client: sibling };
        let signer = (Sender::QsClient(sibling), second);
        self.ask::<DeleteClient>(&mut record, &ending, (&signer, &[])).await?;
        self.ask::<DeleteUser>(&mut record, &Empty {}, (&user, &[])).await?;
        let gone = self.ask::<GetUser>(&mut record, &Empty {}, (&user, &[])).await;
        self.expect(gone.is_err(), "a record that is gone was shown")?;
        self.done("a record of the queuing service comes, and goes again");
        Ok(())
    }

    async fn create(
        &self,
        record: &mut Record,
        (client, key): (QsClientId, &SigningKey),
    ) -> Result<(), Turn> {
        let request = CreateUserRequest {
            user: record.user,
            client,
            user_key: record.user_key.verifying_key(),
            client_key: key.verifying_key(),
            friendship_secret: Secret::new(record.chance.bytes()),
            queue_key: record.queue_key().public_key().clone(),
        };
        let signer = (Sender::NewKey(record.user_key.verifying_key()), record.user_key.clone());
        self.ask::<CreateUser>(record, &request, (&signer, &[key])).await.map(|_| ())
    }

    async fn add(&self, record: &mut Record, (client, key): (QsClientId, &SigningKey)) -> Result<(), Turn> {
        let queue_key = record.queue_key().public_key().clone();
        let request = CreateClientRequest { client, client_key: key.verifying_key(), queue_key };
        let signer = (Sender::QsUser(record.user), record.user_key.clone());
        self.ask::<CreateClient>(record, &request, (&signer, &[key])).await.map(|_| ())
    }

    async fn change_user(&self, record: &mut Record) -> Result<(), Turn> {
        let new = record.key();
        let request = UpdateUserRequest {
            auth_key: Some(new.verifying_key()),
            friendship_secret: Some(Secret::new(record.chance.bytes())),
            former: FormerTokens::Grace,
        };
        let signer = (Sender::QsUser(record.user), record.user_key.clone());
        self.ask::<UpdateUser>(record, &request, (&signer, &[&new])).await?;
        record.user_key = new;
        Ok(())
    }

    /// Changes all that is a client's; its key then.
    async fn change_client(
        &self,
        record: &mut Record,
        (id, key): (QsClientId, &SigningKey),
    ) -> Result<SigningKey, Turn> {
        let new = record.key();
        let request = UpdateQsClientRequest {
            auth_key: Some(NewClientKey { key: new.verifying_key(), from_generation: 1 }),
            queue_key: Some(record.queue_key().public_key().clone()),
            min_generation: Some(1),
        };
        let signer = (Sender::QsClient(id), key.clone());
        self.ask::<UpdateClient>(record, &request, (&signer, &[&new])).await?;
        let signer = (Sender::QsClient(id), new);
        let expires = Month::of(self.ground.clock.now());
        let change =
            RuleChange { config: ConfigId(record.chance.bytes()), rule: ConfigRule::Blocked, expires };
        let changes = List::new(vec![change]).map_err(|_| self.turn("one change is too many"))?;
        self.ask::<UpdateBlocklist>(record, &UpdateBlocklistRequest { changes }, (&signer, &[])).await?;
        let address = SecretOpaque::new(ADDRESS).map_err(|_| self.turn("an address is too long"))?;
        let push_key = Secret::new(record.chance.bytes());
        let sealed = PushToken::Other(address).seal(&id, &push_key, &mut record.chance);
        let token = Some(sealed.map_err(|_| self.turn("a push token cannot be sealed"))?);
        self.ask::<SetPushToken>(record, &SetPushTokenRequest { token }, (&signer, &[])).await?;
        Ok(signer.1)
    }

    /// Calls the queuing service, with what that costs.
    async fn ask<E: Endpoint>(
        &self,
        record: &mut Record,
        request: &E::Request,
        signers: (&(Sender, SigningKey), &[&SigningKey]),
    ) -> Result<E::Reply, Turn> {
        let token = match E::DESCRIPTION.token {
            Some(class) => {
                let a = self.person("a")?;
                Some(self.client(a.client.take_token(&record.domain, class).await)?)
            }
            None => None,
        };
        let call =
            record.signed::<E>(request, signers, token).ok_or_else(|| self.turn("a call is too long"))?;
        let (service, name) = (E::DESCRIPTION.service, E::DESCRIPTION.name);
        let outgoing = Outgoing { service, name, call, circuit: Circuit::default() };
        match record.ports.transport.send(&record.domain, outgoing).await {
            Ok(Ok(reply)) => {
                E::Reply::decode(&reply).map_err(|_| self.turn(format!("{name} answers nonsense")))
            }
            other => Err(self.turn(format!("{name}: {other:?}"))),
        }
    }
}

/// Who holds the keys of a user record.
struct Record {
    ports: ClientPorts,
    domain: Fqdn,
    chance: Chance,
    user: QsUserId,
    user_key: SigningKey,
}

impl Record {
    fn new(narrator: &Narrator, name: &str) -> Result<Self, Turn> {
        let (ports, domain) = (Actor::ports(&narrator.ground, name), narrator.domain(0)?);
        let mut seed = [0; 32];
        ports.entropy.fill(&mut seed);
        let mut chance = Chance::from_seed(seed);
        let (user, user_key) = (QsUserId(chance.bytes()), SigningKey::generate(Suite::Ed25519, &mut chance));
        Ok(Self { ports, domain, chance, user, user_key })
    }

    fn key(&mut self) -> SigningKey {
        SigningKey::generate(Suite::Ed25519, &mut self.chance)
    }

    fn queue_key(&mut self) -> HpkeSecretKey {
        HpkeSecretKey::generate(Suite::Ed25519, &mut self.chance)
    }

    /// A call with its frame; none where it does not fit.
    fn signed<E: Endpoint>(
        &mut self,
        request: &E::Request,
        ((sender, key), co_signers): (&(Sender, SigningKey), &[&SigningKey]),
        token: Option<Token>,
    ) -> Option<Call> {
        let body = Opaque::new(request.encode()).ok()?;
        let mut call = Call { version: VERSION, endpoint: E::DESCRIPTION.id, auth: None, token, body };
        let mut frame = AuthFrame {
            sender: sender.clone(),
            issued_at: self.ports.clock.now().as_secs(),
            nonce: self.chance.bytes(),
            signature: Signature::default(),
            co_signatures: List::default(),
        };
        let audience = Audience { service: E::DESCRIPTION.service, domain: self.domain.clone() };
        let covered = CallTbs::encoding(&call, &frame, audience);
        frame.signature = key.sign(FRAME_LABEL, &covered);
        let co_signed = |key: &&SigningKey| CoSignature {
            key: key.verifying_key(),
            signature: key.sign(FRAME_LABEL, &covered),
        };
        frame.co_signatures = List::new(co_signers.iter().map(co_signed).collect()).ok()?;
        call.auth = Some(frame);
        Some(call)
    }
}

/// Where pushes of the record go, which nobody but the client and its push provider is to know.
const ADDRESS: &[u8] = b"a place that pushes go to";
