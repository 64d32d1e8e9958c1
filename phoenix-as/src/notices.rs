//! Notices of deleted users, until other homeservers have taken them (08, "User lifecycle"). All of one user lie
//! together, each sealed, where nothing but their alarm finds them: of whom they are, the AS does not know any more.

use std::collections::BTreeSet;

use bytes::Bytes;
use phoenix_core::{
    Fault, Fqdn, KeyId, Timestamp, UserId,
    api::{
        Endpoint, ServiceName,
        auth::{UserEvent, UserNotice, UserNoticeRequest},
    },
    crypto::Chance,
    operation::{Context, Decision, FRAME_LABEL, Hint, Rows},
    port::{Alarm, RowKey, Write},
    time::{DAY, HOUR},
    wire::{Audience, AuthFrame, Call, CallTbs, List, Opaque, Sender, VERSION, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{AuthService, kinds};

/// A notice that a homeserver has not taken yet.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Notice {
    pub(crate) to: Fqdn,
    user: UserId,
    serial: u64,
    /// When it is given up.
    until: Timestamp,
    /// When it is to be sent.
    pub(crate) at: Timestamp,
    tries: u8,
}

/// Also tells these homeservers that a user is deleted, each once and never this one.
pub(crate) fn begun<R>(
    decision: Decision<R>,
    (user, serial): (&UserId, u64),
    told: impl Iterator<Item = Fqdn>,
    cx: &Context<AuthService>,
) -> Result<Decision<R>, Fault> {
    let domains: BTreeSet<Fqdn> = told.filter(|domain| *domain != cx.domain).collect();
    if domains.is_empty() {
        return Ok(decision);
    }
    let mailbox = cx.chance("notices").bytes();
    let mut chance = cx.chance("notices seal");
    let (at, until) = (cx.now, cx.now.plus_secs(KEPT_S));
    let notices = domains.into_iter().zip(0_u8..).map(|(to, row)| {
        let notice = Notice { to, user: user.clone(), serial, until, at, tries: 0 };
        notice.put(&mailbox, row, &mut chance, cx)
    });
    let writes = notices.collect();
    Ok(decision.change(kinds::notices(&mailbox), writes, Alarm::At(at)).hint(Hint::Ring))
}

impl Notice {
    /// All that a place holds, by their rows.
    pub(crate) fn found(
        rows: &Rows,
        mailbox: &[u8; 32],
        cx: &Context<AuthService>,
    ) -> Result<Vec<(u8, Self)>, Fault> {
        let open = |(row, sealed): (&RowKey, &Bytes)| {
            let plain = cx.keys.at_rest.open(mailbox, sealed)?;
            let notice = Self::decode(&plain).map_err(|_| NO_NOTICE)?;
            Ok((row.first().copied().ok_or(NO_NOTICE)?, notice))
        };
        rows.rows(0)?.iter().map(|(row, sealed)| open((row, sealed))).collect()
    }

    /// What writes it.
    pub(crate) fn put(
        &self,
        mailbox: &[u8; 32],
        row: u8,
        chance: &mut Chance,
        cx: &Context<AuthService>,
    ) -> Write {
        Write::Put(row_key(row), cx.keys.at_rest.seal(mailbox, &self.encode(), chance))
    }

    /// It is under way: should nobody hear what came of it, it is sent again.
    pub(crate) fn under_way(self, now: Timestamp) -> Self {
        Self { at: now.plus_secs(UNDER_WAY_S), ..self }
    }

    /// It was not taken: it is sent again after a while, and a longer one each time; nothing where it is given up.
    pub(crate) fn put_off(self, now: Timestamp, chance: &mut Chance) -> Option<Self> {
        let most = FIRST_REST_S.saturating_mul(1 << self.tries.min(MOST_DOUBLINGS)).min(LONGEST_REST_S);
        let rest = chance.below(most).saturating_add(1);
        let next = Self { at: now.plus_secs(rest), tries: self.tries.saturating_add(1), ..self };
        Some(next).filter(|it| it.at < it.until)
    }

    /// The call that gives it, signed by the intermediate.
    pub(crate) fn call(&self, chance: &mut Chance, cx: &Context<AuthService>) -> Result<Call, Fault> {
        let (intermediate, key) = cx.keys.service.intermediate();
        let request =
            UserNoticeRequest { user: self.user.clone(), event: UserEvent::Deleted, serial: self.serial };
        let body = Opaque::new(request.encode()).map_err(|_| NO_NOTICE)?;
        let endpoint = UserNotice::DESCRIPTION.id;
        let mut call = Call { version: VERSION, endpoint, auth: None, token: None, body };
        let name = KeyId::of(&intermediate.payload.key);
        let mut frame = AuthFrame {
            sender: Sender::Homeserver(cx.domain.clone(), ServiceName::As, name),
            issued_at: cx.now.as_secs(),
            nonce: chance.bytes(),
            signature: Default::default(),
            co_signatures: List::default(),
        };
        let audience = Audience { service: ServiceName::As, domain: self.to.clone() };
        frame.signature = key.sign(FRAME_LABEL, &CallTbs::encoding(&call, &frame, audience));
        call.auth = Some(frame);
        Ok(call)
    }
}

/// The key of a row.
pub(crate) fn row_key(row: u8) -> RowKey {
    Bytes::copy_from_slice(&[row])
}

/// How long a homeserver may be away that is to hear of it (08, "Outbox").
const KEPT_S: u64 = 7 * DAY;
/// How long sending may take.
const UNDER_WAY_S: u64 = 60;
/// The first rest, at most; the next are twice as long each,
const FIRST_REST_S: u64 = 5;
const MOST_DOUBLINGS: u8 = 12;
/// and at most so long.
const LONGEST_REST_S: u64 = HOUR;

const NO_NOTICE: Fault = Fault::Broken("a stored notice");
