//! `forward`: takes a message for another homeserver from its lane into that homeserver's mailbox.

use phoenix_core::{
    Failure, Fqdn, Reject,
    api::{
        Description, Empty, Endpoint, ServiceName,
        queue::{FanOutMessage, MAX_BACK},
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Hint, Need, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Write},
    wire::{List, Opaque},
};
use tls_codec::{Size, TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    kinds::{RECORD, SHARDS, mailbox, mailbox_key},
    outgoing::{Destination, MAX_DELIVERY_BYTES, keys_of},
    record::{MailboxBody, MailboxRecord, to_row},
    service::QueueService,
};

/// Takes a message into a mailbox. Blind: it reads nothing, so messages of many groups for one homeserver do not
/// wait for each other, nor for the transaction that is under way.
pub struct Forward;

impl Endpoint for Forward {
    const DESCRIPTION: Description =
        Description::new(0x0221, ServiceName::Qs, "forward").internal().body(2 << 20);
    type Request = ForwardRequest;
    type Reply = Empty;
}

/// A message for another homeserver, as it came from a lane.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ForwardRequest {
    /// The homeserver.
    pub to: Fqdn,
    /// The lane's keyed hash: what is on one lane stays in one mailbox, in order.
    pub lane: [u8; 32],
    /// To whom what cannot be delivered is told.
    pub back: Opaque<MAX_BACK>,
    /// The message.
    pub message: FanOutMessage,
}

impl Operation for Forward {
    type Endpoint = Self;
    type Service = QueueService;
    type State = ();
    type Sender = Anyone;

    fn wishes(call: &Decoded<Self>, _: &Context<QueueService>) -> Vec<Need> {
        vec![keys_of(&call.request().to)]
    }

    fn locate(_: &Decoded<Self>, _: &Rows, _: &Context<QueueService>) -> Result<Vec<Reading>, Failure> {
        Ok(Vec::new())
    }

    fn open(_: &Decoded<Self>, _: Rows, _: &Context<QueueService>) -> Result<(), Failure> {
        Ok(())
    }

    fn authenticate(
        _: &Decoded<Self>,
        (): &(),
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        (): (),
        call: Authorised<Self>,
        peers: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        let request = call.request();
        // Refused here and not before, so that what can never be sent leaves its lane.
        if request.to == cx.domain {
            return Err(Reject::Malformed("to").into());
        }
        if request.message.tls_serialized_len() > MAX_DELIVERY_BYTES {
            return Err(Reject::TooLarge("message").into());
        }
        let id = cx.chance("delivery id").bytes();
        let recipients = request.message.recipients.iter().map(|it| Some(it.config.digest())).collect();
        let record = MailboxRecord {
            id,
            accepted_at: request.message.accepted_at,
            back: request.back.clone(),
            recipients: List::new(recipients).map_err(Reject::from)?,
            body: body(request, id, peers, cx),
        };
        let key = mailbox_key(&cx.keys.at_rest, &request.to, shard(&request.lane));
        let sealed = record.seal(&cx.keys.at_rest, &key, &mut cx.chance("mailbox"));
        let rows = vec![Write::Put(RECORD, to_row(&request.to)), Write::Append(sealed)];
        // Where it is not the mailbox's time, `dispatch` sets the alarm back.
        Ok(Decision::reply(Empty {}).change(mailbox(&key), rows, Alarm::At(cx.now)).hint(Hint::Ring))
    }
}

/// Sealed to the destination at once where its keys are known already; nobody is asked for them here.
fn body(request: &ForwardRequest, id: [u8; 16], peers: &Peers, cx: &Context<QueueService>) -> MailboxBody {
    let message = &request.message;
    let sealed = Destination::found(&request.to, peers)
        .and_then(|to| to.seal(message, id, cx, &mut cx.chance("delivery")).ok());
    sealed.map_or_else(|| MailboxBody::Plain(message.clone()), MailboxBody::Sealed)
}

/// The lane's hash is uniform, so any byte of it spreads lanes evenly.
fn shard(lane: &[u8; 32]) -> u8 {
    let [first, ..] = lane;
    first % SHARDS
}
