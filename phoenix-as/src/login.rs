//! Logins with OPAQUE: begun, kept for ten minutes, completed once (04).
//!
//! KE2 lets whoever began a login test one password, so a login counts from its beginning, and what it counted is
//! taken back when it is completed. A user that is not there has a login that counts as much, is kept as long and
//! is never completed.

use phoenix_core::{
    ClientId, Failure, Fault, UserId, Uuid,
    api::auth::{LoginReply, MAX_OPAQUE, SecondFactor},
    crypto::sha256,
    operation::{Context, Decision, Local, Reading, Rows},
    port::{Alarm, Wanted, Write},
    wire::{Opaque, Secret, Wire},
};
use tls_codec::{Serialize, Size, TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::{
    AuthService, account,
    attempts::{self, Limit, Recent},
    kinds, opaque,
    record::{self, Client, User},
};

/// Who began a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum By {
    /// Anyone, from a network.
    Anyone(Option<u64>) = 1,
    /// A client of the user.
    Client(Uuid) = 2,
}

impl By {
    /// Where its logins are counted, the narrowest first, and how many may be.
    pub(crate) fn counts(&self, user: &UserId, cx: &Context<AuthService>) -> Vec<(Local, Limit)> {
        let limits = &cx.settings.logins;
        match self {
            Self::Anyone(source) => vec![
                (kinds::logins_from(user, *source, cx), Limit::an_hour(limits.per_source)),
                (kinds::logins(user, cx), Limit::an_hour(limits.per_user)),
            ],
            Self::Client(client) => {
                let client = account::named(user, *client);
                vec![(kinds::logins_by(&client, cx), Limit::an_hour(limits.per_client))]
            }
        }
    }

    /// Reads what is counted.
    pub(crate) fn readings(&self, user: &UserId, cx: &Context<AuthService>) -> Vec<Reading> {
        self.counts(user, cx).into_iter().map(|(at, _)| attempts::reading(at)).collect()
    }

    /// What is counted, from `place` on.
    ///
    /// # Errors
    /// A fault where what is stored is no count.
    pub(crate) fn found(
        &self,
        user: &UserId,
        (rows, place): (&Rows, usize),
        cx: &Context<AuthService>,
    ) -> Result<Vec<Recent>, Failure> {
        let counts = self.counts(user, cx).into_iter().zip(place..);
        counts.map(|(count, place)| Recent::found(rows, place, count, cx)).collect()
    }
}

/// A login that was begun, as it is kept.
#[derive(TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Login {
    user: UserId,
    by: By,
    /// The second in which it was counted.
    began: u64,
    /// SHA-256 of the OPAQUE record that it was begun with: it is void once the password is another.
    record: [u8; 32],
    state: Secret<{ opaque::LOGIN }>,
}

/// Answers KE1, and keeps what completes the login, sealed.
///
/// # Errors
/// [`Reject::Malformed`](phoenix_core::Reject::Malformed) where KE1 is none.
pub(crate) fn begin(
    (user, record): (&UserId, Option<&User>),
    by: By,
    ke1: &Opaque<MAX_OPAQUE>,
    cx: &Context<AuthService>,
) -> Result<Decision<LoginReply>, Failure> {
    // Of whom is not there, so that it is asked for again alike; made in any case, so that it takes as long.
    let stand_in = cx.keys.at_rest.prf("no registration", &user.encode());
    let stand_in = stand_in.first_chunk().copied().unwrap_or_default();
    let registration = record.map_or(stand_in, |user| user.registration);
    let record = record.map(|user| user.opaque.as_slice());
    let opaque = cx.keys.service.opaque();
    let (ke2, state) = opaque.login(ke1, user, (&registration, record), &mut cx.chance("opaque"))?;
    let record = sha256(record.unwrap_or_default());
    let kept = Login { user: user.clone(), by, began: cx.now.as_secs(), record, state };
    // Never grows, so that nothing is left where it lay before.
    let mut plain = Zeroizing::new(Vec::with_capacity(kept.tls_serialized_len()));
    kept.tls_serialize(&mut *plain).map_err(|_| Fault::Broken("a login does not encode"))?;
    let login: [u8; 16] = cx.chance("login").bytes();
    let sealed = cx.keys.at_rest.seal(&login, &plain, &mut cx.chance("login seal"));
    let alarm = Alarm::At(cx.now.plus_secs(cx.settings.registration_s));
    let writes = vec![Write::Put(record::ROW, sealed)];
    Ok(Decision::reply(LoginReply { login, ke2 }).change(kinds::login(&login), writes, alarm))
}

/// Reads a login, to complete it.
pub(crate) fn reading(factor: &SecondFactor) -> Reading {
    Reading::change(kinds::login(&factor.login), Wanted::Keys(vec![record::ROW]))
}

/// A login that was completed: the caller knows the user's password. Only [`completed`] makes one, and it is used
/// up by what it is asked for.
pub(crate) struct Completed {
    at: Local,
    by: By,
    began: u64,
}

/// The login at a place that [`reading`] asked for, where KE3 completes it, it is of this user and still good. One
/// that is unknown, over, another's or wrong is not told from the others: of each as much is checked.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn completed(
    (rows, place): (&Rows, usize),
    factor: &SecondFactor,
    (user, record): (&UserId, Option<&User>),
    cx: &Context<AuthService>,
) -> Result<Option<Completed>, Failure> {
    let is_over = rows.place(place)?.alarm.is_some_and(|alarm| alarm <= cx.now);
    let sealed = rows.row(place, &record::ROW)?.filter(|_| !is_over);
    let kept = sealed.map(|sealed| opened(&factor.login, sealed, cx)).transpose()?;
    let stand_in = Secret::new([0; opaque::LOGIN]);
    let is_complete = opaque::completes(kept.as_ref().map_or(&stand_in, |kept| &kept.state), &factor.ke3);
    let hash = sha256(record.map(|user| user.opaque.as_slice()).unwrap_or_default());
    let is_good = |kept: &Login| is_complete && kept.user == *user && kept.record == hash;
    let good = kept.filter(is_good);
    Ok(good.map(|kept| Completed { at: kinds::login(&factor.login), by: kept.by, began: kept.began }))
}

fn opened(login: &[u8; 16], sealed: &[u8], cx: &Context<AuthService>) -> Result<Login, Fault> {
    let plain = cx.keys.at_rest.open(login, sealed)?;
    Login::decode(&plain).map_err(|_| Fault::Broken("a kept login"))
}

impl Completed {
    /// Who began it.
    pub(crate) const fn by(&self) -> &By {
        &self.by
    }

    /// Also uses it up, and takes back what it counted.
    pub(crate) fn used<R>(self, decision: Decision<R>, counts: Vec<Recent>) -> Decision<R> {
        let decision = decision.change(self.at, vec![Write::Drop], Alarm::Never);
        counts.into_iter().fold(decision, |decision, count| count.taken_back(decision, self.began))
    }
}

/// Who calls an endpoint "client + KE3" (04): its first three places.
pub(crate) struct Caller {
    pub(crate) client: Option<Client>,
    pub(crate) user: Option<User>,
    /// The login, where this very client began it and KE3 completes it.
    pub(crate) login: Option<Completed>,
}

impl Caller {
    /// Reads the client, its user and the login, to change them.
    pub(crate) fn readings(client: &ClientId, factor: &SecondFactor) -> Vec<Reading> {
        let row = || Wanted::Keys(vec![record::ROW]);
        vec![
            Reading::change(kinds::client(client), row()),
            Reading::change(kinds::user(&client.user), row()),
            reading(factor),
        ]
    }

    /// What [`Caller::readings`] found.
    ///
    /// # Errors
    /// A fault where what is stored is not what belongs there.
    pub(crate) fn found(
        rows: &Rows,
        id: &ClientId,
        factor: &SecondFactor,
        cx: &Context<AuthService>,
    ) -> Result<Self, Failure> {
        let client = account::found(rows, 0)?;
        let user = account::user(rows, 1)?;
        let login = completed((rows, 2), factor, (&id.user, user.as_ref()), cx)?;
        let login = login.filter(|login| login.by == By::Client(id.client));
        Ok(Self { client, user, login })
    }

    /// The first place behind those of the caller.
    pub(crate) const PLACES: usize = 3;
}
