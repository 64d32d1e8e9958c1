//! What signs for a domain, and what vouches for it (03, "Chain", "Revocation and rotation").

use phoenix_core::{
    Fault, Fingerprint, Fqdn, Timestamp,
    credential::{
        AsCredential, AsIdentity, AsIntermediateCredential, AuthorityStatement, AuthorityStatementTbs,
        ExpirationData, MAX_AUTHORITIES, RevocationList,
    },
    crypto::{Chance, SignerError, SigningKey, Suite},
    time::{DAY, HOUR},
    wire::List,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::Root;

/// The certificates of a domain, and the key of the one that signs now.
#[derive(Clone, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Authority {
    roots: List<AsCredential, MAX_AUTHORITIES>,
    statement: AuthorityStatement,
    /// Signs client credentials and lists.
    current: AsIntermediateCredential,
    key: SigningKey,
    /// Those that signed before: what they signed is valid until they end.
    former: List<AsIntermediateCredential, MAX_AUTHORITIES>,
    revoked: List<Revoked, MAX_AUTHORITIES>,
    /// The next statement's serial is above it, too.
    floor: u64,
}

/// A root or an intermediate that is void, the root that signed it, and when it would have ended.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Revoked {
    credential: Fingerprint,
    root: Fingerprint,
    not_after: u64,
}

/// What the operator wants changed, for which a root must sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityChange {
    /// A new intermediate signs from now on; the one before is valid until it ends.
    Rotate(Suite),
    /// The root is published beside the others, and a new intermediate under it signs from now on.
    NewRoot(Suite),
    /// A root or an intermediate is void, and all that it signed. Where nothing valid would be left to sign with, a
    /// new intermediate begins.
    Revoke(Fingerprint),
    /// The statement is good for a year again; all else stays. Where the intermediate that signs has ended, a new one
    /// begins: a statement alone would leave nothing to sign with.
    Renew,
}

impl AuthorityChange {
    /// How many of a kind there may be after it.
    const fn most(self) -> usize {
        match self {
            Self::NewRoot(_) | Self::Revoke(_) => MAX_AUTHORITIES,
            Self::Rotate(_) | Self::Renew => USUAL,
        }
    }
}

/// Why an authority could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The root is of another domain.
    #[error("the root is of another domain")]
    OtherDomain,
    /// The root is not published, or was revoked.
    #[error("the root is not one of this domain's")]
    UnknownRoot,
    /// The root has ended, or has not begun.
    #[error("the root is not valid now")]
    Ended,
    /// The root is published already.
    #[error("the root is published already")]
    KnownRoot,
    /// Nothing that is published has this fingerprint.
    #[error("no root and no intermediate of this domain has that fingerprint")]
    Unknown,
    /// A root was to sign that it is void itself.
    #[error("a root cannot revoke itself: another must sign that")]
    Itself,
    /// As many are remembered as fit, but for the places that are kept for emergencies.
    #[error(
        "too many authorities are remembered, and none has ended for long enough: revoke some, or a root, which takes \
         the place of all that it signed"
    )]
    Full,
    /// The root's key did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The keys do not fit together afterwards.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Authority {
    /// The first intermediate and statement of a domain.
    pub(crate) fn new(
        root: &Root,
        suite: Suite,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<Self, AuthorityError> {
        let certificate = root.certificate().clone();
        is_usable(root, &certificate.payload.as_domain, now)?;
        let (current, key) = intermediate(root, suite, (now, 0), chance)?;
        let roots = List::new(vec![certificate]).map_err(|_| AuthorityError::Full)?;
        let listed = List::new(vec![current.fingerprint()]).map_err(|_| AuthorityError::Full)?;
        let statement = statement(root, 1, listed, List::default(), now)?;
        let (former, revoked) = (List::default(), List::default());
        Ok(Self { roots, statement, current, key, former, revoked, floor: 0 })
    }

    /// The authority of a store that was restored (09): what a root signs next is above what it may have signed since.
    pub(crate) fn restored(self, jump: u64) -> Self {
        let floor = self.statement.payload.serial.max(self.floor).saturating_add(jump);
        Self { floor, ..self }
    }

    /// The authority after a change. What ended long ago is forgotten on the way.
    pub(crate) fn changed(
        self,
        change: AuthorityChange,
        root: &Root,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<Self, AuthorityError> {
        is_usable(root, self.domain(), now)?;
        let most = change.most();
        let mut next = self.without_ended(now, most)?;
        let own = root.certificate().fingerprint();
        let is_known = next.roots.iter().any(|it| it.fingerprint() == own);
        let suite = match change {
            AuthorityChange::NewRoot(_) if is_known || next.is_revoked(&own) => {
                return Err(AuthorityError::KnownRoot);
            }
            AuthorityChange::NewRoot(suite) => {
                next.roots = with(next.roots, root.certificate().clone(), most)?;
                Some(suite)
            }
            _ if !is_known => return Err(AuthorityError::UnknownRoot),
            AuthorityChange::Rotate(suite) => Some(suite),
            AuthorityChange::Revoke(credential) if credential == own => return Err(AuthorityError::Itself),
            AuthorityChange::Revoke(credential) => {
                next = next.revoking(credential)?;
                (!next.is_good(&next.current)).then_some(next.key.suite())
            }
            AuthorityChange::Renew => {
                let has_ended = now.as_secs() > next.current.payload.validity.not_after;
                has_ended.then_some(next.key.suite())
            }
        };
        if let Some(suite) = suite {
            next = next.succeeded(root, suite, (now, most), chance)?;
        }
        next.stated(root, now)
    }

    /// What is published, with a list of revoked clients.
    pub(crate) fn identity(&self, revocations: RevocationList) -> AsIdentity {
        let mut intermediates = self.former.to_vec();
        intermediates.push(self.current.clone());
        AsIdentity {
            roots: self.roots.clone(),
            statement: self.statement.clone(),
            // `succeeded` leaves room for the current one.
            intermediates: List::new(intermediates).unwrap_or_default(),
            revocations,
        }
    }

    /// Signs client credentials and lists.
    pub(crate) const fn intermediate(&self) -> (&AsIntermediateCredential, &SigningKey) {
        (&self.current, &self.key)
    }

    pub(crate) const fn statement(&self) -> &AuthorityStatement {
        &self.statement
    }

    pub(crate) const fn domain(&self) -> &Fqdn {
        &self.statement.payload.as_domain
    }

    /// The first moment at which all of it was valid.
    pub(crate) fn begins(&self) -> Timestamp {
        let signer = self.statement.payload.signer;
        let root = self.roots.iter().find(|it| it.fingerprint() == signer);
        let root = root.map_or(0, |it| it.payload.validity.not_before);
        Timestamp::from_secs(root.max(self.current.payload.validity.not_before))
    }

    fn is_revoked(&self, credential: &Fingerprint) -> bool {
        self.revoked.iter().any(|it| it.credential == *credential)
    }

    /// Whether neither an intermediate nor its root is void.
    fn is_good(&self, intermediate: &AsIntermediateCredential) -> bool {
        !self.is_revoked(&intermediate.fingerprint()) && !self.is_revoked(&intermediate.payload.signer)
    }

    /// This, without what ended long ago; where there is no room for one more, without all that has ended.
    fn without_ended(self, now: Timestamp, most: usize) -> Result<Self, AuthorityError> {
        let is_full = self.former.len().saturating_add(1) >= most || self.roots.len() >= most;
        let kept_s = if is_full { 0 } else { KEPT_S };
        let is_kept = |not_after: u64| now.as_secs() <= not_after.saturating_add(kept_s);
        Ok(Self {
            roots: kept(self.roots, |it| is_kept(it.payload.validity.not_after))?,
            former: kept(self.former, |it| is_kept(it.payload.validity.not_after))?,
            revoked: kept(self.revoked, |it| now.as_secs() <= it.not_after)?,
            ..self
        })
    }

    /// This, without a root or an intermediate, which is remembered as void until it would have ended.
    fn revoking(mut self, credential: Fingerprint) -> Result<Self, AuthorityError> {
        let roots = self.roots.iter().map(|it| (it.fingerprint(), it.fingerprint(), it.payload.validity));
        let intermediates = self.former.iter().chain([&self.current]);
        let intermediates =
            intermediates.map(|it| (it.fingerprint(), it.payload.signer, it.payload.validity));
        let (_, root, validity) =
            roots.chain(intermediates).find(|(it, ..)| *it == credential).ok_or(AuthorityError::Unknown)?;
        if !self.is_revoked(&credential) {
            // What a revoked root signed needs no word of its own any more.
            let is_root = root == credential;
            let revoked = kept(self.revoked, |it| !is_root || it.root != credential)?;
            let most = if is_root { MAX_AUTHORITIES } else { USUAL };
            self.revoked = with(revoked, Revoked { credential, root, not_after: validity.not_after }, most)?;
        }
        let roots = kept(self.roots.clone(), |it| it.fingerprint() != credential)?;
        let former = kept(self.former.clone(), |it| self.is_good(it))?;
        Ok(Self { roots, former, ..self })
    }

    /// A new intermediate takes the current one's place; it stays beside it where it is good.
    fn succeeded(
        self,
        root: &Root,
        suite: Suite,
        (now, most): (Timestamp, usize),
        chance: &mut Chance,
    ) -> Result<Self, AuthorityError> {
        // Later than the one before, if by a second only: clients ask the latest.
        let earliest = self.current.payload.validity.not_before.saturating_add(1);
        let (current, key) = intermediate(root, suite, (now, earliest), chance)?;
        let mut former = self.former.to_vec();
        if self.is_good(&self.current) {
            former.push(self.current.clone());
        }
        if former.len() >= most {
            return Err(AuthorityError::Full);
        }
        let former = List::new(former).map_err(|_| AuthorityError::Full)?;
        Ok(Self { current, key, former, ..self })
    }

    /// This, with a statement that says so.
    fn stated(self, root: &Root, now: Timestamp) -> Result<Self, AuthorityError> {
        let serial = self.statement.payload.serial.max(self.floor).saturating_add(1);
        let valid = self.former.iter().chain([&self.current]).map(AsIntermediateCredential::fingerprint);
        let valid = List::new(valid.collect()).map_err(|_| AuthorityError::Full)?;
        let revoked = self.revoked.iter().map(|it| it.credential).collect();
        let revoked = List::new(revoked).map_err(|_| AuthorityError::Full)?;
        Ok(Self { statement: statement(root, serial, valid, revoked, now)?, ..self })
    }
}

fn is_usable(root: &Root, domain: &Fqdn, now: Timestamp) -> Result<(), AuthorityError> {
    let payload = &root.certificate().payload;
    if payload.as_domain != *domain {
        return Err(AuthorityError::OtherDomain);
    }
    if payload.validity.contains(now) { Ok(()) } else { Err(AuthorityError::Ended) }
}

fn intermediate(
    root: &Root,
    suite: Suite,
    (now, earliest): (Timestamp, u64),
    chance: &mut Chance,
) -> Result<(AsIntermediateCredential, SigningKey), AuthorityError> {
    let key = SigningKey::generate(suite, &mut chance.child("intermediate"));
    let outer = root.certificate().payload.validity;
    // Begins a little in the past, since clients' clocks may be late.
    let not_before = now.as_secs().saturating_sub(HOUR).max(outer.not_before).max(earliest);
    let not_after = not_before.saturating_add(INTERMEDIATE_S).min(outer.not_after);
    let validity = ExpirationData { not_before, not_after };
    let credential = AsIntermediateCredential::issue(&key, validity, root.certificate(), root.signer())?;
    Ok((credential, key))
}

fn statement(
    root: &Root,
    serial: u64,
    intermediates: List<Fingerprint, MAX_AUTHORITIES>,
    revoked: List<Fingerprint, MAX_AUTHORITIES>,
    now: Timestamp,
) -> Result<AuthorityStatement, SignerError> {
    let payload = &root.certificate().payload;
    let statement = AuthorityStatementTbs {
        as_domain: payload.as_domain.clone(),
        serial,
        expires: now.plus_secs(STATEMENT_S).as_secs().min(payload.validity.not_after),
        intermediates,
        revoked,
        signer: root.certificate().fingerprint(),
    };
    AuthorityStatement::issue(statement, root.signer())
}

fn kept<T, const MAX: usize>(
    list: List<T, MAX>,
    is_kept: impl Fn(&T) -> bool,
) -> Result<List<T, MAX>, AuthorityError> {
    List::new(list.into_vec().into_iter().filter(is_kept).collect()).map_err(|_| AuthorityError::Full)
}

/// A list with one more, where that makes at most so many.
fn with<T, const MAX: usize>(
    list: List<T, MAX>,
    more: T,
    most: usize,
) -> Result<List<T, MAX>, AuthorityError> {
    let mut list = list.into_vec();
    if list.len() >= most {
        return Err(AuthorityError::Full);
    }
    list.push(more);
    List::new(list).map_err(|_| AuthorityError::Full)
}

/// Validity of an intermediate, in seconds (03): a year.
const INTERMEDIATE_S: u64 = 365 * DAY;
/// Validity of a statement, in seconds: as long, so that each rotation renews it in time.
const STATEMENT_S: u64 = 365 * DAY;
/// Of a kind, in all but emergencies: a new root, and what is revoked, find two places more.
const USUAL: usize = MAX_AUTHORITIES - 2;
/// For how long what has ended is still published, in seconds: members verify leaves as of the time at which the DS
/// accepted them, and queue entries wait for 90 days (09).
const KEPT_S: u64 = 90 * DAY;

#[cfg(test)]
mod tests;
