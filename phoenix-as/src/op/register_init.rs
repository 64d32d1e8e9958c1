//! `register_init`: begins a registration (04).
//!
//! It is kept under a fresh random id, so that nobody can occupy or overwrite another's, and for ten minutes.
//! Whether the user exists already is seen when it is finished: the first to finish wins.

use phoenix_core::{
    Failure, Reject,
    api::auth::{self, RegisterInitReply},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Write},
};

use crate::{
    AuthService, kinds,
    record::{self, Registration},
};

/// Answers an OPAQUE registration request.
pub(crate) struct RegisterInit;

impl Operation for RegisterInit {
    type Endpoint = auth::RegisterInit;
    type Service = AuthService;
    type State = ();
    type Sender = Anyone;

    /// Nothing is read: the id is new.
    fn locate(call: &Decoded<Self>, _: &Rows, cx: &Context<AuthService>) -> Result<Vec<Reading>, Failure> {
        if call.request().user.domain != cx.domain {
            return Err(Reject::Malformed("user").into());
        }
        Ok(Vec::new())
    }

    fn open(_: &Decoded<Self>, _: Rows, _: &Context<AuthService>) -> Result<(), Failure> {
        Ok(())
    }

    fn authenticate(
        _: &Decoded<Self>,
        (): &(),
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        (): (),
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<RegisterInitReply>, Failure> {
        let request = call.request();
        let opaque = cx.keys.service.opaque().register(&request.opaque, &request.user)?;
        let registration = cx.chance("registration").bytes();
        let begun = record::encode(&Registration { user: request.user.clone() });
        let alarm = Alarm::At(cx.now.plus_secs(cx.settings.registration_s));
        let writes = vec![Write::Put(record::ROW, begun)];
        let decision = Decision::reply(RegisterInitReply { registration, opaque });
        Ok(decision.change(kinds::registration(&registration), writes, alarm))
    }
}
