//! A client of the QS, as far as the QS sees one.

use phoenix_core::{
    ConfigId, Fqdn, QsClientId, QsUserId, Reject,
    api::{
        Endpoint, ServiceName,
        queue::{
            ClientQueueConfig, CreateClientRequest, CreateUserRequest, DeliverRequest, DequeueReply,
            DequeueRequest, Entry, FanOutMessage, FriendshipToken, NotifyClass, QueueConfigTbs, Recipient,
            Route,
        },
    },
    crypto::{Chance, HpkeSecretKey, SigningKey, Suite},
    operation::{Operation, ReplyOf, RequestOf},
    queue::ClientRatchet,
    time::Month,
    token::{Class, Token},
    wire::{Audience, AuthFrame, CallTbs, CoSignature, Flag, List, Opaque, Secret, Sender},
};

use super::world::{Home, envelope};
use crate::{
    QueueService,
    op::{create_client::CreateClient, create_user::CreateUser, dequeue::Dequeue},
};

pub(super) struct Client {
    pub(super) user: QsUserId,
    pub(super) id: QsClientId,
    pub(super) user_key: SigningKey,
    pub(super) key: SigningKey,
    pub(super) queue_key: HpkeSecretKey,
    pub(super) secret: Secret<32>,
    pub(super) route: Option<Route>,
    pub(super) ratchet: ClientRatchet,
    pub(super) chance: Chance,
}

impl Client {
    /// A client that has no record yet.
    pub(super) fn unknown(seed: u8) -> Self {
        let mut chance = Chance::from_seed([seed; 32]);
        let queue_key = HpkeSecretKey::generate(Suite::Ed25519, &mut chance);
        Self {
            user: QsUserId(chance.bytes()),
            id: QsClientId(chance.bytes()),
            user_key: SigningKey::generate(Suite::Ed25519, &mut chance),
            key: SigningKey::generate(Suite::Ed25519, &mut chance),
            ratchet: ClientRatchet::new(queue_key.clone()),
            queue_key,
            secret: Secret::new(chance.bytes()),
            route: None,
            chance,
        }
    }

    /// A client with a record and a queue.
    pub(super) fn at(home: &Home, seed: u8) -> Self {
        let mut client = Self::unknown(seed);
        client.route = Some(client.create(home).unwrap());
        client
    }

    pub(super) fn creation(&self) -> CreateUserRequest {
        CreateUserRequest {
            user: self.user,
            client: self.id,
            user_key: self.user_key.verifying_key(),
            client_key: self.key.verifying_key(),
            friendship_secret: self.secret.clone(),
            queue_key: self.queue_key.public_key().clone(),
        }
    }

    pub(super) fn create(&mut self, home: &Home) -> Result<Route, Reject> {
        let request = self.creation();
        let token = home.token(Class::Home);
        let keys = [self.user_key.clone(), self.key.clone()];
        let sender = Sender::NewKey(self.user_key.verifying_key());
        let frame = self.signed::<CreateUser>(home, &request, (sender, &keys[0], &[&keys[1]]), Some(&token));
        home.call::<CreateUser>(&request, Some(frame), Some(token))
    }

    /// A further client of the same user, which has no record yet.
    pub(super) fn sibling(&self, seed: u8) -> Self {
        let route = self.route.clone();
        Self {
            user: self.user,
            user_key: self.user_key.clone(),
            secret: self.secret.clone(),
            route,
            ..Self::unknown(seed)
        }
    }

    /// Adds this client to its user.
    pub(super) fn join(&mut self, home: &Home) -> Result<(), Reject> {
        let (client_key, queue_key) = (self.key.verifying_key(), self.queue_key.public_key().clone());
        let request = CreateClientRequest { client: self.id, client_key, queue_key };
        let co_signer = self.key.clone();
        self.as_user::<CreateClient>(home, &request, &[&co_signer]).map(|_| ())
    }

    /// A call by this client, with what it costs.
    pub(super) fn as_client<O: Operation<Service = QueueService>>(
        &mut self,
        home: &Home,
        request: &RequestOf<O>,
        co_signers: &[&SigningKey],
    ) -> Result<ReplyOf<O>, Reject> {
        let (sender, key) = (Sender::QsClient(self.id), self.key.clone());
        self.as_sender::<O>(home, request, (sender, &key, co_signers))
    }

    /// A call for this client's user, with what it costs.
    pub(super) fn as_user<O: Operation<Service = QueueService>>(
        &mut self,
        home: &Home,
        request: &RequestOf<O>,
        co_signers: &[&SigningKey],
    ) -> Result<ReplyOf<O>, Reject> {
        let (sender, key) = (Sender::QsUser(self.user), self.user_key.clone());
        self.as_sender::<O>(home, request, (sender, &key, co_signers))
    }

    fn as_sender<O: Operation<Service = QueueService>>(
        &mut self,
        home: &Home,
        request: &RequestOf<O>,
        signers: (Sender, &SigningKey, &[&SigningKey]),
    ) -> Result<ReplyOf<O>, Reject> {
        let token = O::Endpoint::DESCRIPTION.token.map(|class| home.token(class));
        let frame = self.signed::<O>(home, request, signers, token.as_ref());
        home.call::<O>(request, Some(frame), token)
    }

    /// The frame of a call by this client.
    pub(super) fn frame<O: Operation<Service = QueueService>>(
        &mut self,
        home: &Home,
        request: &RequestOf<O>,
        token: Option<&Token>,
    ) -> AuthFrame {
        let key = self.key.clone();
        self.signed::<O>(home, request, (Sender::QsClient(self.id), &key, &[]), token)
    }

    pub(super) fn signed<O: Operation<Service = QueueService>>(
        &mut self,
        home: &Home,
        request: &RequestOf<O>,
        (sender, key, co_signers): (Sender, &SigningKey, &[&SigningKey]),
        token: Option<&Token>,
    ) -> AuthFrame {
        let mut frame = AuthFrame {
            sender,
            issued_at: home.engine.shared().ports().clock.now().as_secs(),
            nonce: self.chance.bytes(),
            signature: phoenix_core::crypto::Signature::default(),
            co_signatures: List::default(),
        };
        let call = envelope::<O>(request, Some(frame.clone()), token.cloned());
        let audience = Audience { service: ServiceName::Qs, domain: home.domain.clone() };
        let covered = CallTbs::encoding(&call, &frame, audience);
        frame.signature = key.sign("Call", &covered);
        let co_signed = |key: &&SigningKey| CoSignature {
            key: key.verifying_key(),
            signature: key.sign("Call", &covered),
        };
        frame.co_signatures = List::new(co_signers.iter().map(co_signed).collect()).unwrap();
        frame
    }

    pub(super) fn dequeue(&mut self, home: &Home, request: &DequeueRequest) -> Result<DequeueReply, Reject> {
        let frame = self.frame::<Dequeue>(home, request, None);
        home.call::<Dequeue>(request, Some(frame), None)
    }

    /// Reads, decrypts and acknowledges everything.
    pub(super) fn read(&mut self, home: &Home) -> Vec<Entry> {
        let from = self.ratchet.next_seq();
        let request = DequeueRequest { from, max: 500, ack_below: from, wait_s: 0 };
        let reply = self.dequeue(home, &request).unwrap();
        reply.entries.iter().filter_map(|entry| self.ratchet.open(entry).unwrap()).collect()
    }

    /// What it reads, as text.
    pub(super) fn read_texts(&mut self, home: &Home) -> Vec<String> {
        let text = |entry: Entry| String::from_utf8(entry.content.to_vec()).unwrap();
        self.read(home).into_iter().map(text).collect()
    }

    pub(super) fn config_tbs(&mut self, audience: Option<&str>) -> QueueConfigTbs {
        QueueConfigTbs {
            client: self.id,
            config: ConfigId(self.chance.bytes()),
            audience: audience.map(|name| name.parse().unwrap()),
            expires: Month(u32::MAX / 2),
            generation: 0,
            push_key: None,
        }
    }

    /// A queue config for the DS of a domain, or for any.
    pub(super) fn config(&mut self, home: &Home, audience: Option<&str>) -> ClientQueueConfig {
        let tbs = self.config_tbs(audience);
        self.sealed(home, tbs)
    }

    pub(super) fn sealed(&mut self, home: &Home, tbs: QueueConfigTbs) -> ClientQueueConfig {
        let ring = home.engine.ring();
        let keys = ring.service.public(home.clock_now());
        tbs.seal(&home.domain, &self.key, &keys.queue_config[0], &mut self.chance).unwrap()
    }

    pub(super) fn friendship(&self) -> FriendshipToken {
        FriendshipToken { route: self.route.clone().unwrap(), secret: self.secret.clone() }
    }
}

impl Home {
    pub(super) fn clock_now(&self) -> phoenix_core::Timestamp {
        self.engine.shared().ports().clock.now()
    }

    pub(super) fn message(&self, to: &[&ClientQueueConfig], text: &str) -> FanOutMessage {
        let recipient = |it: &&ClientQueueConfig| Recipient { any: it.any, config: it.sealed.clone() };
        FanOutMessage {
            notify: NotifyClass::Normal,
            ephemeral: Flag::No,
            accepted_at: self.clock_now().as_secs(),
            recipients: List::new(to.iter().map(recipient).collect()).unwrap(),
            content: Opaque::new(text.as_bytes().to_vec()).unwrap(),
        }
    }

    /// A delivery from this homeserver's own DS.
    pub(super) fn local(&self, to: &[&ClientQueueConfig], text: &str) -> DeliverRequest {
        let (source, back) = (self.domain.clone(), Opaque::new(b"group".to_vec()).unwrap());
        DeliverRequest { source, receipt: None, back, share: 0, message: self.message(to, text) }
    }

    /// A part of a transaction of another homeserver.
    pub(super) fn remote(
        &self,
        source: &str,
        part: u8,
        to: &[&ClientQueueConfig],
        text: &str,
    ) -> DeliverRequest {
        let source: Fqdn = source.parse().unwrap();
        DeliverRequest {
            source,
            receipt: Some([part; 16]),
            back: Opaque::default(),
            share: u32::try_from(text.len().div_ceil(to.len())).unwrap(),
            message: self.message(to, text),
        }
    }
}
