//! `notify`: says what is to be sent of a deleted user's notices now, and takes what came of it (08).

use phoenix_core::{
    Failure, Fqdn,
    api::{Description, Endpoint, ServiceName},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    wire::{Call, Flag, List},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    AuthService, kinds,
    notices::{Notice, row_key},
};

/// Goes on with the notices of one user.
pub struct Notify;

/// Which notices, and what came of those that were sent.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct NotifyRequest {
    /// The key of their partition, without the kind.
    pub mailbox: [u8; 32],
    /// What came of those that were sent; without any, some are to be sent.
    pub settled: List<Settled, MAX_SENT>,
}

/// What came of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Settled {
    /// Which.
    pub row: u8,
    /// Whether it need not be sent again.
    pub is_done: Flag,
}

/// A notice that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Outstanding {
    /// Which.
    pub row: u8,
    /// To whom.
    pub to: Fqdn,
    /// The call, signed.
    pub call: Call,
}

/// The notices, by their rows.
pub struct Notices(Vec<(u8, Notice)>);

impl Endpoint for Notify {
    const DESCRIPTION: Description = Description::new(0x01f3, ServiceName::As, "notify").internal();
    type Request = NotifyRequest;
    type Reply = List<Outstanding, MAX_SENT>;
}

impl Operation for Notify {
    type Endpoint = Self;
    type Service = AuthService;
    type State = Notices;
    type Sender = Anyone;

    fn locate(call: &Decoded<Self>, found: &Rows, _: &Context<AuthService>) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Reading::change(kinds::notices(&call.request().mailbox), Wanted::first(MOST))])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Notices, Failure> {
        Ok(Notices(Notice::found(&found, &call.request().mailbox, cx)?))
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Notices,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        Notices(notices): Notices,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<List<Outstanding, MAX_SENT>>, Failure> {
        let NotifyRequest { mailbox, settled } = call.request();
        let (mut chance, mut seals) = (cx.chance("notices"), cx.chance("notices seal"));
        let (mut writes, mut left, mut outstanding) = (Vec::new(), Vec::new(), Vec::new());
        for (row, notice) in notices {
            let came = settled.iter().find(|it| it.row == row);
            let changed = match came {
                Some(Settled { is_done, .. }) if is_done.is_set() => None,
                Some(_) => notice.put_off(cx.now, &mut chance),
                None if settled.is_empty() && notice.at <= cx.now && outstanding.len() < MAX_SENT => {
                    let (to, call) = (notice.to.clone(), notice.call(&mut chance, cx)?);
                    outstanding.push(Outstanding { row, to, call });
                    Some(notice.under_way(cx.now))
                }
                None => {
                    left.push(notice.at);
                    continue;
                }
            };
            writes.push(match changed {
                Some(notice) => {
                    left.push(notice.at);
                    notice.put(mailbox, row, &mut seals, cx)
                }
                None => Write::Delete(row_key(row)),
            });
        }
        let alarm = left.into_iter().min().map_or(Alarm::Never, Alarm::At);
        let reply = List::new(outstanding).map_err(phoenix_core::Reject::from)?;
        Ok(Decision::reply(reply).change(kinds::notices(mailbox), writes, alarm))
    }
}

/// Notices that are sent at a time.
const MAX_SENT: usize = 16;
/// Notices of one user: those of domains that it names (04), and of all that its live tokens can be for.
const MOST: u32 = 256;
