//! `whisper`: makes a transaction of ephemeral messages for another homeserver.

use phoenix_core::{
    Failure, Fault, Fqdn,
    api::{
        Description, Endpoint, ServiceName,
        federation::{MAX_DELIVERIES, QsToQsTransaction},
        queue::FanOutMessage,
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Need, Operation, Peers, Proven, Reading, Rows,
    },
    wire::List,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    outgoing::{Destination, MAX_DELIVERY_BYTES, keys_of, sign_transaction},
    service::QueueService,
};

/// Seals messages that are kept nowhere, and signs for them: they bypass the mailbox, and are sent once. Nobody is asked
/// for the destination's keys: where they are not known, nothing has been sent there lately, and nothing is now. To a
/// homeserver that the operator has blocked or paused, nothing is.
pub struct Whisper;

impl Endpoint for Whisper {
    const DESCRIPTION: Description =
        Description::new(0x0226, ServiceName::Qs, "whisper").internal().body(2 << 20);
    type Request = WhisperRequest;
    type Reply = WhisperReply;
}

/// Ephemeral messages for another homeserver.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct WhisperRequest {
    /// The homeserver.
    pub to: Fqdn,
    /// The messages; those that do not fit into one transaction are left out.
    pub messages: List<FanOutMessage, MAX_DELIVERIES>,
}

/// A transaction to be sent once.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct WhisperReply {
    /// None where nothing is to be sent.
    pub transaction: Option<QsToQsTransaction>,
}

impl Operation for Whisper {
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
    ) -> Result<Decision<WhisperReply>, Failure> {
        let WhisperRequest { to, messages } = call.request();
        if *to == cx.domain || messages.iter().any(|message| !message.ephemeral.is_set()) {
            return Err(Fault::Broken("a message that must not get lost was whispered").into());
        }
        let destination = Destination::found(to, peers).filter(|_| cx.federation.outbox(to).is_none());
        let Some(destination) = destination else {
            return Ok(Decision::reply(WhisperReply { transaction: None }));
        };
        let mut chance = cx.chance("whisper");
        let (mut deliveries, mut bytes) = (Vec::new(), 0_usize);
        for message in messages {
            let id = chance.bytes();
            let delivery = destination.seal(message, id, cx, &mut chance)?;
            bytes = bytes.saturating_add(delivery.sealed.ciphertext.len());
            if bytes > MAX_DELIVERY_BYTES {
                break;
            }
            deliveries.push(delivery);
        }
        let transaction = sign_transaction(to, chance.bytes(), deliveries, cx)?;
        Ok(Decision::reply(WhisperReply { transaction: Some(transaction) }))
    }
}
