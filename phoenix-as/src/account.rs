//! Who a local client is, and how it comes to be.

use phoenix_core::{
    ClientId, Failure, Reject, Timestamp, UserId, Uuid,
    credential::{ClientCredential, Csr, VerifiedClientCredential},
    crypto::HpkePublicKey,
    operation::{Context, Decision, Decoded, FRAME_WINDOW_S, Frame, Operation, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::Month,
    wire::{List, Sender},
};

use crate::{
    AuthService,
    allowance::CLOCK_MARGIN,
    direct_queue, kinds,
    record::{self, Client, Earlier, User},
};

/// The client that a frame names; nothing is proven yet.
///
/// # Errors
/// [`Reject::Unauthenticated`] where it names none.
pub(crate) fn claimed<O: Operation>(call: &Decoded<O>) -> Result<&ClientId, Reject> {
    match call.frame()?.sender() {
        Sender::ClientCredential(credential) => Ok(&credential.payload.client),
        _ => Err(Reject::Unauthenticated),
    }
}

/// The client that a frame names, for endpoints of local clients.
///
/// # Errors
/// [`Reject::Forbidden`] where it is another homeserver's: nobody is asked for its keys.
pub(crate) fn claimed_local<'a, O: Operation>(
    call: &'a Decoded<O>,
    cx: &Context<AuthService>,
) -> Result<&'a ClientId, Reject> {
    let client = claimed(call)?;
    if client.user.domain == cx.domain { Ok(client) } else { Err(Reject::Forbidden) }
}

/// Reads a client's record, to rely on it.
pub(crate) fn reading(client: &ClientId) -> Reading {
    Reading::watch(kinds::client(client), Wanted::Keys(vec![record::ROW]))
}

/// The record at a place that [`reading`] asked for, if there is such a client.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn found(rows: &Rows, place: usize) -> Result<Option<Client>, Failure> {
    let stored = rows.row(place, &record::ROW)?;
    Ok(stored.map(|stored| record::decode(stored)).transpose()?)
}

/// The user at a place where its row was asked for, if there is one.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn user(rows: &Rows, place: usize) -> Result<Option<User>, Failure> {
    let stored = rows.row(place, &record::ROW)?;
    Ok(stored.map(|stored| record::decode(stored)).transpose()?)
}

/// Proves that a frame is of a client that this AS knows: the chain verifies, the signature is the client's, and
/// its record stands. Renewal keeps a client's key, so an earlier credential of the same key is still its own.
///
/// # Errors
/// [`Reject::Unauthenticated`], whatever is wrong.
pub(crate) fn prove(
    frame: &Frame,
    known: Option<&Client>,
    cx: &Context<AuthService>,
) -> Result<Proven<VerifiedClientCredential>, Reject> {
    let Sender::ClientCredential(credential) = frame.sender() else { return Err(Reject::Unauthenticated) };
    let verified = cx.keys.service.verified().verify_chain(credential, cx.now)?;
    let key = verified.key().clone();
    let proven = frame.prove(&key, verified)?;
    let is_known = known.is_some_and(|known| known.credential.payload.key == key);
    if is_known { Ok(proven) } else { Err(Reject::Unauthenticated) }
}

/// Whether a credential was signed for this CSR, or one that asked for the same: keys in hardware sign differently
/// each time.
pub(crate) fn is_of(credential: &ClientCredential, csr: &Csr) -> bool {
    credential.payload == csr.payload
}

/// Signs a CSR. Its validity must have begun just now, and end within the longest that is given, as far as clocks
/// agree; that it lies within the intermediate's is seen when it is signed.
///
/// # Errors
/// [`Reject::Unavailable`] where nothing that is signed now would be valid; [`Reject::Malformed`] where something in
/// it is not to be signed; [`Reject::Unauthenticated`] where whoever asks does not hold the key.
pub(crate) fn signed(csr: &Csr, cx: &Context<AuthService>) -> Result<ClientCredential, Reject> {
    if !cx.keys.service.are_in_force(cx.now) {
        return Err(Reject::Unavailable(NOT_IN_FORCE_RETRY_S));
    }
    let validity = csr.payload.validity;
    let begins_by = cx.now.plus_secs(FRAME_WINDOW_S).as_secs();
    let ends_by = begins_by.saturating_add(cx.settings.client_validity_s);
    let begins_from = cx.now.as_secs().saturating_sub(CLOCK_MARGIN);
    if !(begins_from..=begins_by).contains(&validity.not_before) || validity.not_after > ends_by {
        return Err(Reject::Malformed("validity"));
    }
    let (intermediate, key) = cx.keys.service.intermediate();
    ClientCredential::issue(csr.clone(), intermediate, key, cx.now)
}

/// Signs the first credential of a client, in the batch that makes its record and its queue: no signature exists for
/// a client without a record (04). Nothing is left of a client that had the id before and has ended.
///
/// # Errors
/// As [`signed`]; [`Reject::Malformed`] where nothing can be sealed to the queue's key.
pub(crate) fn enrolled(
    csr: &Csr,
    queue_key: &HpkePublicKey,
    cx: &Context<AuthService>,
) -> Result<Decision<ClientCredential>, Failure> {
    let credential = signed(csr, cx)?;
    let id = &csr.payload.client;
    let queue = direct_queue::creation(queue_key, cx)?;
    let client = Client { credential, activity: Month::of(cx.now), earlier: List::default() };
    let alarm = client.alarm();
    let row = vec![Write::Put(record::ROW, record::encode(&client))];
    let dropped = || vec![Write::Drop];
    Ok(Decision::reply(client.credential)
        .change(kinds::client(id), row, alarm)
        .change(kinds::client_queue(id), queue, alarm)
        .change(kinds::client_packages(id), dropped(), Alarm::Never)
        .change(kinds::logins_by(id, cx), dropped(), Alarm::Never))
}

/// Also marks this month in a client's record, where it is not marked yet.
pub(crate) fn seen<R>(
    decision: Decision<R>,
    id: &ClientId,
    client: Option<Client>,
    cx: &Context<AuthService>,
) -> Decision<R> {
    let activity = Month::of(cx.now);
    match client.filter(|client| client.activity != activity) {
        Some(client) => {
            let marked = record::encode(&Client { activity, ..client });
            decision.put(kinds::client(id), record::ROW, marked)
        }
        None => decision,
    }
}

/// The client of a user under a name.
pub(crate) fn named(user: &UserId, client: Uuid) -> ClientId {
    ClientId { user: user.clone(), client }
}

/// Also removes a client with all that is its own, and keeps its id from being given away while its credentials are
/// listed as revoked, where it has not ended.
pub(crate) fn removed<R>(
    id: &ClientId,
    client: Option<&Client>,
    decision: Decision<R>,
    cx: &Context<AuthService>,
) -> Decision<R> {
    let places =
        [kinds::client(id), kinds::client_queue(id), kinds::client_packages(id), kinds::logins_by(id, cx)];
    let decision = places
        .into_iter()
        .fold(decision, |decision, at| decision.change(at, vec![Write::Drop], Alarm::Never));
    match client {
        Some(client) => decision.change(kinds::former_client(id, cx), Vec::new(), client.alarm()),
        None => decision,
    }
}

impl Client {
    /// All its credentials, the present one last.
    pub(crate) fn credentials(&self) -> impl Iterator<Item = Earlier> {
        let not_after = self.credential.payload.validity.not_after;
        let present = Earlier { credential: self.credential.fingerprint(), not_after };
        self.earlier.iter().copied().chain([present])
    }

    /// Whether its credential has not ended.
    pub(crate) fn stands(&self, now: Timestamp) -> bool {
        now.as_secs() <= self.credential.payload.validity.not_after
    }

    /// When the client has ended, and what is its own with it.
    pub(crate) fn alarm(&self) -> Alarm {
        Alarm::At(ends(self.credential.payload.validity.not_after))
    }
}

/// When to come back where the authority has ended: its operator has to do something.
const NOT_IN_FORCE_RETRY_S: u32 = 3_600;

/// The moment after a last second.
pub(crate) const fn ends(not_after: u64) -> Timestamp {
    Timestamp::from_secs(not_after.saturating_add(1))
}
