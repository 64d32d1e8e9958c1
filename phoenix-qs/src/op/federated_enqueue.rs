//! `federated_enqueue`: takes a transaction of another homeserver.

use phoenix_core::{
    Failure, Fault, Fqdn, Reject,
    api::{
        Description, Endpoint, ServiceName,
        federation::{
            DeliveryAad, DeliveryResult, FederatedEnqueue as Wired, FederationLimits, MAX_DELIVERIES,
            QsToQsReceipt, QsToQsTransaction, RecipientResult, SealedDelivery, TransactionTbs,
        },
        queue::{DeliverReply, DeliverRequest, FanOutMessage, MAX_RECIPIENTS},
    },
    crypto::sha256,
    operation::{
        Authorised, Context, Decision, Decoded, Effort, Hint, Need, Next, Operation, Partwise, Peers, Proven,
        Reading, Rows,
    },
    time::HOUR,
    wire::{Flag, List, Opaque, VERSION, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::deliver::Deliver;
use crate::{
    kinds::keys_topic,
    outgoing::{DELIVERY_INFO, TRANSACTION_LABEL},
    service::QueueService,
    waiting::{Waiting, mailboxes},
};

/// Checks and opens a transaction; its parts are then delivered one by one, each atomically. An empty one says that
/// its source is there (again): what waits for it here is sent at once.
pub struct FederatedEnqueue;

/// The endpoint, with the plan in place of the answer.
pub struct Planned;

impl Endpoint for Planned {
    const DESCRIPTION: Description = Wired::DESCRIPTION;
    type Request = QsToQsTransaction;
    type Reply = Plan;
}

/// What is to be done with a transaction.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Plan {
    transaction: [u8; 16],
    deliveries: List<Planning, MAX_DELIVERIES>,
    limits: FederationLimits,
}

/// A delivery in parts that fit into a batch each; without any where it does not open.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Planning {
    id: [u8; 16],
    /// For each recipient, whether it stands there for the second time: then it is in no part.
    repeats: List<Flag, MAX_RECIPIENTS>,
    parts: List<DeliverRequest, MAX_RECIPIENTS>,
}

/// The source's mailboxes that wait for it.
pub struct State(Waiting);

impl Operation for FederatedEnqueue {
    type Endpoint = Planned;
    type Service = QueueService;
    type State = State;
    type Sender = Fqdn;
    const EFFORT: Effort = Effort::Heavy;

    fn voucher(call: &Decoded<Self>, cx: &Context<QueueService>) -> Result<Option<Need>, Failure> {
        let TransactionTbs { version, source, destination, sent_at, key, .. } = &call.request().payload;
        if *version != VERSION {
            return Err(Reject::UnsupportedVersion.into());
        }
        if *destination != cx.domain || *source == cx.domain {
            return Err(Reject::Forbidden.into());
        }
        if sent_at.abs_diff(cx.now.as_secs()) > WINDOW_S {
            return Err(Reject::Unauthenticated.into());
        }
        Ok(Some(Need::key(source.clone(), ServiceName::Qs, *key)))
    }

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let payload = &call.request().payload;
        if !found.is_empty() || !payload.deliveries.is_empty() {
            return Ok(Vec::new());
        }
        Ok(Waiting::readings(&mailboxes(&payload.source, cx)))
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        if found.is_empty() {
            return Ok(State(Waiting::default()));
        }
        let keys = mailboxes(&call.request().payload.source, cx);
        Ok(State(Waiting::found(keys, (&found, 0), cx.now)?))
    }

    fn authenticate(
        call: &Decoded<Self>,
        _: &State,
        peers: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Proven<Fqdn>, Failure> {
        let QsToQsTransaction { payload, signature } = call.request();
        let mut keys = peers.queue(&payload.source)?.verifying.iter();
        let key = keys
            .find(|key| key.id == payload.key && key.is_valid_at(cx.now))
            .ok_or(Reject::Unauthenticated)?;
        Ok(key.key.prove(TRANSACTION_LABEL, &payload.encode(), signature, payload.source.clone())?)
    }

    fn decide(
        State(waiting): State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Plan>, Failure> {
        let payload = &call.request().payload;
        if payload.deliveries.iter().any(|delivery| may_open_later(delivery, cx)) {
            // Before any part is carried out, so that order holds.
            let refusal = Reject::Unavailable(KEYS_RETRY_S).into();
            return Ok(Decision::new(Next::Refuse(refusal)).hint(Hint::Wake(keys_topic(&cx.keys.at_rest))));
        }
        let deliveries = payload.deliveries.iter().map(|delivery| planned(call.sender(), delivery, cx));
        let plan = Plan {
            transaction: payload.transaction,
            deliveries: List::new(deliveries.collect::<Result<_, Failure>>()?).map_err(Reject::from)?,
            limits: cx.federation.terms(call.sender()).advertised(&cx.limits),
        };
        let decision = waiting.woken(Decision::reply(plan), cx);
        if !payload.deliveries.is_empty() {
            return Ok(decision);
        }
        // Whoever says that it is there is asked at once, however often it has not answered.
        Ok(decision.hint(Hint::Delay { domain: payload.source.clone(), delay: None }))
    }
}

impl Partwise for FederatedEnqueue {
    type Part = Deliver;
    type Answer = QsToQsReceipt;

    fn parts(plan: &Plan) -> Vec<DeliverRequest> {
        plan.deliveries.iter().flat_map(|delivery| delivery.parts.iter().cloned()).collect()
    }

    fn answer(plan: Plan, answers: Vec<Result<DeliverReply, Failure>>) -> Result<QsToQsReceipt, Reject> {
        let Plan { transaction, deliveries, limits } = plan;
        let mut answers = answers.into_iter();
        let mut results = Vec::with_capacity(deliveries.len());
        for Planning { id, repeats, parts } in deliveries {
            let mut of_delivery = Some(Vec::new());
            for _ in 0..parts.len() {
                let of_part = of_part(answers.next().ok_or(Reject::Internal)?)?;
                of_delivery = of_delivery.zip(of_part).map(|(all, part)| [all, part].concat());
            }
            let of_delivery = with_repeats(&repeats, of_delivery.unwrap_or_default());
            results.push(DeliveryResult { id, results: List::new(of_delivery)? });
        }
        Ok(QsToQsReceipt { transaction, results: List::new(results)?, limits })
    }
}

/// The results of all recipients. What comes of one that stands there twice is said where it stands first.
fn with_repeats(repeats: &[Flag], once: Vec<RecipientResult>) -> Vec<RecipientResult> {
    let mut once = once.into_iter();
    let result = |repeat: &Flag| if repeat.is_set() { Some(RecipientResult::Delivered) } else { once.next() };
    repeats.iter().map_while(result).collect()
}

/// The results of a part; none where the delivery is bad. Where something broke here, the source sends the whole
/// transaction again: what was applied repeats its results, and nothing behind it was carried out, so order holds. So
/// too where a part was refused as a whole because no more could be put off.
fn of_part(answer: Result<DeliverReply, Failure>) -> Result<Option<Vec<RecipientResult>>, Reject> {
    match answer {
        Ok(reply) => Ok(Some(reply.results.into_vec())),
        Err(Failure::Refused(refusal)) => match refusal.reject {
            Reject::Unavailable(seconds) | Reject::RateLimited(seconds) => Err(Reject::Unavailable(seconds)),
            _ => Ok(None),
        },
        Err(Failure::Broken(_)) => Err(Reject::Unavailable(BROKEN_RETRY_S)),
    }
}

/// Opens a delivery and divides it.
fn planned(
    source: &Fqdn,
    delivery: &SealedDelivery,
    cx: &Context<QueueService>,
) -> Result<Planning, Failure> {
    let (mut parts, mut repeats) = (Vec::new(), Vec::new());
    if let Some(message) = opened(source, delivery, cx) {
        repeats = message.repeats().into_iter().map(Flag::from).collect();
        let share = message.content.len().div_ceil(message.recipients.len().max(1));
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        for (number, message) in (0_u32..).zip(message.into_parts()) {
            let receipt = Some(part_id(&delivery.id, number)?);
            let (source, back) = (source.clone(), Opaque::default());
            parts.push(DeliverRequest { source, receipt, back, share, message });
        }
    }
    let (repeats, parts) =
        (List::new(repeats).map_err(Reject::from)?, List::new(parts).map_err(Reject::from)?);
    Ok(Planning { id: delivery.id, repeats, parts })
}

/// Whether a delivery is sealed to a key that is not known here, but perhaps to another replica, which made it.
fn may_open_later(delivery: &SealedDelivery, cx: &Context<QueueService>) -> bool {
    let keys = &cx.keys.service;
    keys.delivery_key(&delivery.key).is_err() && !keys.are_complete(cx.now)
}

fn opened(source: &Fqdn, delivery: &SealedDelivery, cx: &Context<QueueService>) -> Option<FanOutMessage> {
    let key = cx.keys.service.delivery_key(&delivery.key).ok()?;
    let aad = DeliveryAad { source: source.clone(), destination: cx.domain.clone(), id: delivery.id };
    let opened = key.open(DELIVERY_INFO, &aad.encode(), &delivery.sealed).ok()?;
    FanOutMessage::decode(&opened).ok()
}

/// Under which id the results of a part are kept: the same whenever the delivery is repeated.
fn part_id(delivery: &[u8; 16], number: u32) -> Result<[u8; 16], Fault> {
    let hash = sha256(&(*delivery, number).encode());
    hash.first_chunk().copied().ok_or(Fault::Broken("a hash is too short"))
}

/// How far the time of a transaction may be from this server's clock, in seconds (08).
const WINDOW_S: u64 = HOUR;
/// When the source is to come again after something broke here, in seconds.
const BROKEN_RETRY_S: u32 = 1;
/// When the source is to come again where keys are read before its deliveries can be opened, in seconds.
const KEYS_RETRY_S: u32 = 1;
