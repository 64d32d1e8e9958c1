//! Calls that are right but for one thing: made by real clients, for those who attack.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_client::Client;
use phoenix_core::port::Clock;
use phoenix_core::{
    ErrorReply, Fqdn,
    api::{
        Empty, Endpoint, ServiceName,
        delivery::{CreateGroup, CreateGroupRequest},
        queue::{Dequeue, DequeueReply},
        stream::Stream,
    },
    crypto::{Chance, Signature, SigningKey, Suite},
    port::{Entropy, Outgoing, StreamTransport, Streaming, Transport, TransportError},
    token::{Class, Token},
    wire::{Audience, AuthFrame, CallTbs, List, Opaque, Sender, Wire},
};
use phoenix_homeserver::{OsEntropy, SystemClock};
use phoenix_http::HttpTransport;
use tokio::task::JoinSet;

use crate::{
    A_MOMENT, FEW,
    http::request,
    site::{Site, domain},
    talk::Talk,
};

/// What those who attack have from clients of their own.
pub(crate) struct Booty {
    /// Calls of many endpoints, as they went to the server.
    pub(crate) calls: Vec<Outgoing>,
    /// Requests that create groups with trees as they must not be, signed, each paid with a token of its own.
    trees: Mutex<Vec<Vec<u8>>>,
    /// Requests that read a full queue, each from its beginning.
    pub(crate) reads: Vec<Vec<u8>>,
    /// Calls that open a stream of a full queue: each serves once.
    streams: Arc<Mutex<Vec<Bytes>>>,
    _hoarders: JoinSet<()>,
}

impl Booty {
    /// Registers clients, and takes what they send.
    pub(crate) async fn gather(site: &Site) -> Self {
        let trap = site.trap();
        let mallory = site.client_with(trap.clone()).await;
        let (streams, mut hoarders, mut reads) = (Arc::default(), JoinSet::new(), Vec::new());
        let mut tokens = tokens(&mallory).await;
        for _ in 0..HOARDERS {
            let own = site.trap();
            let hoarder = site.client_with(own.clone()).await;
            tokens.extend(self::tokens(&hoarder).await);
            let talk = Talk::new(mallory.clone(), hoarder.clone()).await;
            own.close();
            for number in 0..ENTRIES {
                mallory.send(&talk.group, vec![number; ENTRY]).await.unwrap();
            }
            while own.taken(Dequeue::DESCRIPTION.name).is_empty() {
                let _ = hoarder.sync(A_MOMENT).await;
            }
            reads.push(request(&own.taken(Dequeue::DESCRIPTION.name)[0]));
            hoarders.spawn(hoard(hoarder, own, Arc::clone(&streams)));
        }
        let calls = trap.passed();
        trap.close();
        mallory.create_group().await.unwrap();
        let creation = trap.taken(CreateGroup::DESCRIPTION.name).remove(0);
        // Who is refused has spent the token, but not the reservation.
        let trees = tokens.into_iter().enumerate();
        let trees = trees.map(|(number, token)| request(&with_tree(&creation, token, number))).collect();
        Self { calls, trees: Mutex::new(trees), reads, streams, _hoarders: hoarders }
    }

    /// A request with a bad tree, whose token is not spent yet; one that was spent where no other is left.
    pub(crate) fn tree(&self) -> Vec<u8> {
        let mut trees = self.trees.lock().unwrap();
        if trees.len() > 1 { trees.swap_remove(0) } else { trees[0].clone() }
    }

    /// A call that opens a stream, if one is left.
    pub(crate) fn stream(&self) -> Option<Bytes> {
        self.streams.lock().unwrap().pop()
    }
}

/// Tokens that pay for groups.
async fn tokens(client: &Client) -> Vec<Token> {
    let mut tokens = Vec::new();
    while tokens.len() < TREES / (HOARDERS + 1) {
        tokens.push(client.take_token(&domain(), Class::Home).await.unwrap());
    }
    tokens
}

/// Makes calls that open the client's stream, as fast as they are used.
async fn hoard(client: Client, trap: Arc<Trap>, streams: Arc<Mutex<Vec<Bytes>>>) {
    loop {
        let _ = client.stream(trap.clone()).sync(A_MOMENT).await;
        let taken = trap.taken(Stream::DESCRIPTION.name);
        streams.lock().unwrap().extend(taken.iter().map(|it| it.call.encode()));
    }
}

/// The call with another tree and another token, signed by whoever can: the sender of a new group is a new key.
fn with_tree(creation: &Outgoing, token: Token, number: usize) -> Outgoing {
    let mut outgoing = creation.clone();
    outgoing.call.token = Some(token);
    let mut request = CreateGroupRequest::decode(outgoing.call.body.as_slice()).unwrap();
    // Without the length in front.
    let leaf = request.tree.as_slice()[2..].to_vec();
    // Blank nodes, and a leaf at the end of the deepest tree that they make.
    let deep = |blanks: usize| {
        Opaque::<{ 1 << 20 }>::new([vec![0; blanks], leaf.clone()].concat()).unwrap().encode()
    };
    let shapes = [
        deep((256 << 10) - (16 << 10)),
        deep(4 << 10),
        // Claims to be a gigabyte.
        vec![0xbf, 0xff, 0xff, 0xff].into(),
        deep(2),
    ];
    request.tree = Opaque::new(shapes[number % shapes.len()].clone()).unwrap();
    outgoing.call.body = Opaque::new(request.encode()).unwrap();
    let mut seed = [0; 32];
    OsEntropy.fill(&mut seed);
    let mut chance = Chance::from_seed(seed);
    let key = SigningKey::generate(Suite::Ed25519, &mut chance);
    let mut frame = AuthFrame {
        sender: Sender::NewKey(key.verifying_key()),
        issued_at: SystemClock.now().as_secs(),
        nonce: chance.bytes(),
        signature: Signature::default(),
        co_signatures: List::default(),
    };
    let audience = Audience { service: ServiceName::Ds, domain: domain() };
    frame.signature = key.sign("Call", &CallTbs::encoding(&outgoing.call, &frame, audience));
    outgoing.call.auth = Some(frame);
    outgoing
}

/// Carries a client's calls, and once it is closed keeps the ones that are wanted: the client believes that all went
/// well.
pub(crate) struct Trap {
    network: HttpTransport,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    is_closed: bool,
    passed: Vec<Outgoing>,
    taken: Vec<Outgoing>,
}

impl Trap {
    /// One that lets all pass.
    pub(crate) fn new(network: HttpTransport) -> Arc<Self> {
        Arc::new(Self { network, inside: Mutex::default() })
    }

    fn close(&self) {
        self.inside.lock().unwrap().is_closed = true;
    }

    fn passed(&self) -> Vec<Outgoing> {
        self.inside.lock().unwrap().passed.clone()
    }

    /// What was kept of calls to this endpoint.
    fn taken(&self, name: &str) -> Vec<Outgoing> {
        let inside = self.inside.lock().unwrap();
        inside.taken.iter().filter(|it| it.name == name).cloned().collect()
    }

    /// What the client is answered where the call is kept.
    fn take(&self, outgoing: &Outgoing) -> Option<Bytes> {
        let mut inside = self.inside.lock().unwrap();
        let answer = match outgoing.name {
            name if name == CreateGroup::DESCRIPTION.name => Empty {}.encode(),
            name if name == Dequeue::DESCRIPTION.name => {
                DequeueReply { entries: List::default(), remaining: 0, gap_before: None }.encode()
            }
            _ => return None,
        };
        if inside.is_closed {
            inside.taken.push(outgoing.clone())
        } else {
            return None;
        }
        Some(answer)
    }
}

#[async_trait]
impl Transport for Trap {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        if let Some(answer) = self.take(&outgoing) {
            return Ok(Ok(answer));
        }
        self.inside.lock().unwrap().passed.push(outgoing.clone());
        self.network.send(to, outgoing).await
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.network.fetch(from, service).await
    }
}

#[async_trait]
impl StreamTransport for Trap {
    async fn open(&self, _: &Fqdn, outgoing: Outgoing) -> Result<Box<dyn Streaming>, TransportError> {
        self.inside.lock().unwrap().taken.push(outgoing);
        Err(TransportError::Unreachable)
    }
}

/// Clients that never read their queues,
const HOARDERS: usize = 3;
/// with so many entries each,
const ENTRIES: u8 = 8;
/// of so many bytes.
const ENTRY: usize = 200 << 10;
/// Groups that cannot be: one for each connection that asks for one, in its turn alone and beside all others.
const TREES: usize = 2 * FEW;
