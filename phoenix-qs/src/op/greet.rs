//! `greet`: tells another homeserver that this one is there.

use phoenix_core::{
    Failure, Fqdn,
    api::{Description, Endpoint, ServiceName, federation::QsToQsTransaction},
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Need, Operation, Peers, Proven, Reading, Rows,
    },
};

use crate::{outgoing::sign_transaction, service::QueueService};

/// Makes an empty transaction: "I am here, send me what you hold for me" (08).
pub struct Greet;

impl Endpoint for Greet {
    const DESCRIPTION: Description = Description::new(0x0224, ServiceName::Qs, "greet").internal();
    type Request = Fqdn;
    type Reply = QsToQsTransaction;
}

impl Operation for Greet {
    type Endpoint = Self;
    type Service = QueueService;
    type State = ();
    type Sender = Anyone;

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

    fn requires(call: &Decoded<Self>, (): &()) -> Result<Vec<Need>, Failure> {
        // Nothing is sent to a domain that has not shown its keys (08).
        Ok(vec![Need::keys(call.request().clone(), ServiceName::Qs)])
    }

    fn decide(
        (): (),
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<QsToQsTransaction>, Failure> {
        let transaction = cx.chance("transaction id").bytes();
        Ok(Decision::reply(sign_transaction(call.request(), transaction, Vec::new(), cx)?))
    }
}
