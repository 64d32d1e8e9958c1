//! The driver: does all the waiting, once, for every operation.
//!
//! A call is decoded, its sender's voucher is asked, its places are read, its operation decides, and the
//! decision is committed in one batch with what the call costs. Then the effects go: wake-ups, lanes, the reply.

mod alarms;
mod batch;
mod call;
mod handler;
mod key_directory;
mod lanes;
mod locks;
mod lossy;
mod pushes;
mod store;
mod streams;

use std::{ops::Deref, sync::Arc};

use futures::channel::oneshot;

pub use alarms::{Alarms, Ticker, WaitsFor};
pub use handler::{Handler, bind, bind_parts, bind_stream};
pub use key_directory::{KeyDirectory, KeyGrace};
pub use lanes::{Courier, LaneRow, Lanes};
pub use lossy::Lossy;
pub use pushes::Pushes;
pub use streams::{Intake, OpenStream, Said, StreamPlace};

use crate::{
    Advertised, Delay, Delays, Failure, Fault, Fqdn, Origin, Reject, Timestamp,
    advertised::AdvertisedBoard,
    api::{Access, Description, Endpoint, federation::FederationLimits, queue::FanOutMessage},
    board::Board,
    costs::Costs,
    crypto::AtRestKey,
    delay::DelayBoard,
    federation::{Federation, FederationPolicy},
    limit::{Limit, Limiter, Limits, Load},
    operation::{
        Context, Decoded, Effort, Fare, KeyRing, Need, Operation, PushHint, ReplyOf, RequestOf, Service,
    },
    port::{AbuseReport, Job, Ports, Saturated},
    published::PublishedKeys,
    token::{Token, TokenType},
    wire::{Call, Secret},
};
use locks::Stripes;
use lossy::Bounds;

/// What the three services of a homeserver share: ports, the key directory, and the lanes between them.
pub struct Shared {
    ports: Ports,
    domain: Fqdn,
    at_rest: AtRestKey,
    directory: KeyDirectory,
    federation: Board<Federation>,
    locks: Stripes,
    lanes: lanes::Bell,
    alarms: lanes::Bell,
    pushes: Lossy<PushHint>,
    streams: streams::Streams,
    limiter: Limiter,
    costs: Costs,
    delays: DelayBoard,
    advertised: AdvertisedBoard,
    ephemeral: Lossy<(Fqdn, FanOutMessage)>,
    reports: Lossy<AbuseReport>,
}

impl Shared {
    /// The shared part of the homeserver of `domain`. `at_rest` seals what is on its way between services.
    #[must_use]
    pub fn new(ports: Ports, domain: Fqdn, at_rest: AtRestKey) -> Arc<Self> {
        Self::with_rules(ports, domain, at_rest, Rules::default())
    }

    /// The same, with other limits and costs.
    #[must_use]
    pub fn with_rules(ports: Ports, domain: Fqdn, at_rest: AtRestKey, rules: Rules) -> Arc<Self> {
        let Rules { limits, costs, key_grace } = rules;
        let directory = KeyDirectory::new(domain.clone(), &ports, at_rest.derive("peers"), key_grace);
        let federation = Board::new(Federation::new(domain.clone(), FederationPolicy::default()));
        let (locks, lanes, alarms, streams, delays, advertised) = Default::default();
        let mut secret = [0; 16];
        ports.entropy.fill(&mut secret);
        let limiter = Limiter::new(limits, Secret::new(secret));
        let (ephemeral, reports, pushes) =
            (Lossy::new(MOST_EPHEMERAL), Lossy::new(MOST_REPORTS), Lossy::new(MOST_PUSHES));
        Arc::new(Self {
            ports,
            domain,
            at_rest,
            directory,
            federation,
            locks,
            lanes,
            alarms,
            pushes,
            streams,
            limiter,
            costs,
            delays,
            advertised,
            ephemeral,
            reports,
        })
    }

    /// The ports.
    #[must_use]
    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The homeserver's domain.
    #[must_use]
    pub const fn domain(&self) -> &Fqdn {
        &self.domain
    }

    /// The published keys of this and other homeservers.
    #[must_use]
    pub const fn directory(&self) -> &KeyDirectory {
        &self.directory
    }

    /// With which homeservers this one deals, and how.
    #[must_use]
    pub fn federation(&self) -> Arc<Federation> {
        self.federation.current()
    }

    /// Puts another policy into force, for all that is decided from now on.
    pub fn put_federation(&self, policy: FederationPolicy) {
        self.federation.change(|_| Federation::new(self.domain.clone(), policy));
    }

    /// A homeserver's keys, where the policy lets it be dealt with: fetched if they must be. No other is asked for
    /// anything.
    ///
    /// # Errors
    /// Those of [`Federation::admit`] and [`KeyDirectory::find`].
    pub async fn keys_of(&self, need: &Need) -> Result<Arc<PublishedKeys>, Reject> {
        self.federation().admit(&need.domain)?;
        self.directory.find(need).await
    }

    /// The same for who cannot wait: as they are known.
    fn known_keys_of(&self, need: &Need) -> Result<Arc<PublishedKeys>, Reject> {
        self.federation().admit(&need.domain)?;
        self.directory.find_known(need)
    }

    /// What calls cost.
    #[must_use]
    pub const fn costs(&self) -> &Costs {
        &self.costs
    }

    /// Messages for open streams, each with the homeserver that it is for. Whoever runs the homeserver takes them.
    #[must_use]
    pub const fn ephemeral(&self) -> &Lossy<(Fqdn, FanOutMessage)> {
        &self.ephemeral
    }

    /// Reports for the operator. Whoever runs the homeserver takes them.
    #[must_use]
    pub const fn reports(&self) -> &Lossy<AbuseReport> {
        &self.reports
    }

    /// Towards which homeservers delivery is delayed, as far as this process knows.
    #[must_use]
    pub fn delays(&self) -> Arc<Delays> {
        self.delays.current()
    }

    /// Notes whether delivery towards a homeserver is delayed.
    pub fn note_delay(&self, domain: Fqdn, delay: Option<Delay>) {
        self.delays.note(domain, delay, self.ports.clock.now());
    }

    /// What other homeservers say that they take, as far as this process knows.
    #[must_use]
    pub fn advertised(&self) -> Arc<Advertised> {
        self.advertised.current()
    }

    /// Notes what a homeserver says that it takes.
    pub fn note_advertised(&self, domain: Fqdn, limits: FederationLimits) {
        self.advertised.note(domain, limits, self.ports.clock.now());
    }

    /// Counts a request to an endpoint for the network that it came from (05, "Address"); one without an address came
    /// from inside. A token of type 0x0001 counts for as many as it takes longer to check than another, also where it
    /// is none.
    ///
    /// # Errors
    /// [`Reject::RateLimited`] where that network has sent too many.
    pub fn admit(
        &self,
        endpoint: &Description,
        token: Option<TokenType>,
        origin: &Origin,
    ) -> Result<(), Reject> {
        let Some(prefix) = origin.prefix() else { return Ok(()) };
        let limit = match (endpoint.access, self.costs.in_force(*endpoint).token) {
            (Access::Homeserver, _) => Limit::Homeserver,
            (_, Some(_)) => Limit::Token,
            (_, None) => Limit::Tokenless,
        };
        let amount = if token == Some(TokenType::P384) { P384_AMOUNT } else { 1 };
        let load = Load::new(limit, prefix.to_be_bytes().to_vec(), amount);
        self.limiter.admit(&[load], self.ports.clock.now()).map_err(Reject::RateLimited)
    }
}

/// What an operator may change that all services share.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// How much is let through in which time.
    pub limits: Limits,
    /// What calls cost.
    pub costs: Costs,
    /// For how long keys of homeservers are relied on that do not answer.
    pub key_grace: KeyGrace,
}

/// Runs the operations of one service.
pub struct Engine<S: Service> {
    shared: Arc<Shared>,
    settings: Arc<S::Settings>,
    ring: Board<KeyRing<S>>,
}

impl<S: Service> Engine<S> {
    /// An engine over the shared part of its homeserver.
    #[must_use]
    pub fn new(shared: Arc<Shared>, settings: S::Settings, ring: KeyRing<S>) -> Arc<Self> {
        Arc::new(Self { shared, settings: Arc::new(settings), ring: Board::new(ring) })
    }

    /// The shared part.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The keys in force.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing<S>> {
        self.ring.current()
    }

    /// Puts other keys into force; calls under way keep theirs.
    pub fn rotate(&self, ring: KeyRing<S>) {
        self.ring.change(|_| ring);
    }

    /// Carries out a call that came from outside.
    ///
    /// # Errors
    /// The endpoint's refusals, or what broke.
    pub async fn call<O: Operation<Service = S>>(
        &self,
        call: Call,
        origin: Origin,
    ) -> Result<ReplyOf<O>, Failure> {
        let (shared, call) = (self.shared.clone(), Wiping(call));
        // First, since all that follows costs more.
        let token_type = call.token.as_ref().map(Token::token_type);
        shared.admit(&O::Endpoint::DESCRIPTION, token_type, &origin)?;
        let (ring, now) = (self.ring(), shared.ports.clock.now());
        let large = call.body.len() > LIGHT_BYTES;
        let endpoint = shared.costs.in_force(O::Endpoint::DESCRIPTION);
        let effort = if large { Effort::Heavy } else { O::EFFORT };
        // The token of a Privacy Pass client of another make takes some fourteen times as long to check as ours.
        let is_slow = large || token_type == Some(TokenType::P384);
        let tokens = ring.tokens.clone();
        let decode = move || Decoded::<O>::from_client(&call, &endpoint, &shared.domain, &tokens, now);
        let decoded = self.compute(if is_slow { Effort::Heavy } else { Effort::Light }, decode).await??;
        call::Run::new(self, ring, Arc::new(decoded), origin, effort).drive().await
    }

    /// Carries out an operation that the homeserver itself asks for, and consumes the fare with it.
    ///
    /// # Errors
    /// [`Reject::Conflict`] where the fare is gone: somebody else carried it out. Else the operation's refusals,
    /// or what broke; the fare is kept for [`Reject::Unavailable`] and faults.
    pub async fn internal<O: Operation<Service = S>>(
        &self,
        request: RequestOf<O>,
        fare: Fare,
    ) -> Result<ReplyOf<O>, Failure> {
        let decoded = Arc::new(Decoded::<O>::internal(request, fare));
        call::Run::new(self, self.ring(), decoded, Origin::default(), O::EFFORT).drive().await
    }

    fn context(&self, ring: &Arc<KeyRing<S>>, origin: Origin, started: Timestamp) -> Context<S> {
        let mut seed = [0; 32];
        self.shared.ports.entropy.fill(&mut seed);
        Context {
            now: self.shared.ports.clock.now(),
            started,
            origin,
            keys: ring.clone(),
            settings: self.settings.clone(),
            domain: self.shared.domain.clone(),
            limits: self.shared.limiter.limits().clone(),
            federation: self.shared.federation.current(),
            delays: self.shared.delays.current(),
            advertised: self.shared.advertised.current(),
            seed: Secret::new(seed),
        }
    }

    /// Runs a computation where its effort says.
    ///
    /// # Errors
    /// [`Reject::Unavailable`] where too many wait: nothing has been decided, and the caller may come back.
    async fn compute<T, F>(&self, effort: Effort, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        if effort == Effort::Light {
            return Ok(work());
        }
        let (job, result) = job(work);
        self.shared.ports.compute.submit(job).map_err(|_| Reject::Unavailable(SATURATED_RETRY_S))?;
        result.await.map_err(|_| DROPPED.into())
    }

    /// Runs a computation that a decision has promised already: where too many wait, here and now.
    async fn finish<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (job, result) = job(work);
        if let Err(Saturated(job)) = self.shared.ports.compute.submit(job) {
            job();
        }
        result.await.map_err(|_| DROPPED.into())
    }
}

/// A call whose body is overwritten when it is done with, decoded or refused: it may hold the key of a group (07,
/// "Endpoints"). What was decoded of it wipes itself.
struct Wiping(Call);

impl Deref for Wiping {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.0
    }
}

impl Drop for Wiping {
    fn drop(&mut self) {
        // Who keeps the call that it made keeps its body, too.
        self.0.body.wipe();
    }
}

fn job<T, F>(work: F) -> (Job, oneshot::Receiver<T>)
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (done, result) = oneshot::channel();
    let job = Box::new(move || {
        // A caller that has gone does not want the result.
        let _ = done.send(work());
    });
    (job, result)
}

const DROPPED: Fault = Fault::Broken("a computation was dropped");

impl<O: Operation> Decoded<O> {
    /// Seconds within which the call must have been answered.
    pub(crate) const fn deadline_s() -> u64 {
        match O::Endpoint::DESCRIPTION.replay {
            crate::api::Replay::Harmless => LONG_POLL_DEADLINE_S,
            crate::api::Replay::Token | crate::api::Replay::Frame => DEADLINE_S,
        }
    }
}

/// A call is answered within this time, or refused: clients give up soon after.
const DEADLINE_S: u64 = 20;
/// Reads may wait 30 s for something to come.
const LONG_POLL_DEADLINE_S: u64 = 35;
/// Requests over this size are heavy whatever their operation says: hashing and decoding take their time.
const LIGHT_BYTES: usize = 64 << 10;
/// Requests that one with a token of type 0x0001 counts for: about what checking it takes in place of one of type
/// 0x0005, so that forged ones buy no more work.
const P384_AMOUNT: u32 = 10;
/// Messages for open streams that wait to be handed on, which takes a moment: those of a busy second, in little memory.
const MOST_EPHEMERAL: Bounds = Bounds { count: 1_024, bytes: 8 << 20 };
/// Reports that wait for the operator's sink: people make them by hand.
const MOST_REPORTS: Bounds = Bounds { count: 256, bytes: 4 << 20 };
/// Pushes that wait for the worker: seconds of a busy homeserver.
const MOST_PUSHES: Bounds = Bounds { count: 1_024, bytes: 3 << 20 };
/// When to come back if too many computations wait.
const SATURATED_RETRY_S: u32 = 1;

#[cfg(test)]
mod tests;
