//! What the AS stores, and where: one kind of partition for each thing.
//!
//! Users and clients lie under their ids, since the AS knows them and lists them. All others lie under keyed hashes
//! (09). Every alarm drops its partition, since what has ended is worth nothing to anyone; but for that of notices, which
//! sends them.

use bytes::Bytes;
use phoenix_core::{
    AliasHash, ClientId, Fqdn, UserId,
    operation::{Context, Local},
    token::Class,
    wire::Wire,
};

use crate::AuthService;

/// The partition of a user: one row, `record::User`. No alarm: a user id is never given away twice.
pub(crate) fn user(user: &UserId) -> Local {
    Local::new(USER, user.uuid.as_bytes())
}

/// The partition of a client: one row, `record::Client`. Its alarm rings when its credential has ended.
pub(crate) fn client(client: &ClientId) -> Local {
    Local::new(CLIENT, client_key(client))
}

/// The direct queue of a client: the head and a row for each entry. Ends with the client.
pub(crate) fn client_queue(client: &ClientId) -> Local {
    Local::new(CLIENT_QUEUE, client_key(client))
}

/// The connection packages of a client. Ends when the last of them has.
pub(crate) fn client_packages(client: &ClientId) -> Local {
    Local::new(CLIENT_PACKAGES, client_key(client))
}

/// A registration that was begun: one row, `record::Registration`. Rings ten minutes later.
pub(crate) fn registration(id: &[u8; 16]) -> Local {
    Local::new(REGISTRATION, id)
}

/// The partition of an alias: one row, `record::Alias`. Rings when it expires.
pub(crate) fn alias(alias: &AliasHash, cx: &Context<AuthService>) -> Local {
    hashed(ALIAS, "alias", alias.as_bytes(), cx)
}

/// The direct queue of an alias, as of a client. Ends with the alias.
pub(crate) fn alias_queue(alias: &AliasHash, cx: &Context<AuthService>) -> Local {
    hashed(ALIAS_QUEUE, "alias queue", alias.as_bytes(), cx)
}

/// The package payloads of an alias, as of a client.
pub(crate) fn alias_packages(alias: &AliasHash, cx: &Context<AuthService>) -> Local {
    hashed(ALIAS_PACKAGES, "alias packages", alias.as_bytes(), cx)
}

/// What was issued to a client, of one class in one window: a count, and a row for each request that was answered.
/// Rings an hour after the window.
pub(crate) fn issued(client: &ClientId, class: Class, window: u64, cx: &Context<AuthService>) -> Local {
    hashed(ISSUED, "issued", &(client.clone(), class, window).encode(), cx)
}

/// What was issued to a remote domain: one row, `record::Known`, and one of each class and of accounts, `record::Domain`.
/// Rings when it was unused for so long that it starts again.
pub(crate) fn domain(domain: &Fqdn, cx: &Context<AuthService>) -> Local {
    hashed(DOMAIN, "domain", &domain.encode(), cx)
}

/// What was issued to all clients, of one class in one window: one row, a count. Rings an hour after the window.
pub(crate) fn issued_to_all(class: Class, window: u64, cx: &Context<AuthService>) -> Local {
    hashed(ISSUED_TO_ALL, "issued to all", &(class, window).encode(), cx)
}

/// What was issued to all remote domains that are new, of one class in one day: one row, a count. Rings an hour
/// after the day.
pub(crate) fn newcomers(class: Class, day: u64, cx: &Context<AuthService>) -> Local {
    hashed(NEWCOMERS, "newcomers", &(class, day).encode(), cx)
}

/// The same of accounts that users of such domains were given.
pub(crate) fn newcomers_accounts(day: u64, cx: &Context<AuthService>) -> Local {
    hashed(NEWCOMERS, "newcomers' accounts", &day.encode(), cx)
}

/// The profile of a user: a row for each version, and one with the latest number. Rings when no client of the user can
/// be left.
pub(crate) fn profile(user: &UserId) -> Local {
    Local::new(PROFILE, user.uuid.as_bytes())
}

/// An invitation, by the keyed hash of its code: one row, its last second. Rings after that.
pub(crate) fn invitation(hash: &[u8; 32]) -> Local {
    Local::new(INVITATION, hash)
}

/// Work that was used, by its challenge's salt: no row. Rings an hour after the challenge has expired.
pub(crate) fn work(salt: &[u8; 32], cx: &Context<AuthService>) -> Local {
    hashed(WORK, "used work", salt, cx)
}

/// How many began to register with work in an hour: one row, a count. Rings two hours after it.
pub(crate) fn registered(hour: u64, cx: &Context<AuthService>) -> Local {
    hashed(REGISTERED, "registered", &hour.encode(), cx)
}

/// The switch that closes registration: one row while it does. No alarm.
pub(crate) fn registration_switch() -> Local {
    Local::new(REGISTRATION_SWITCH, [])
}

/// A login that was begun: one row, sealed. Rings ten minutes later.
pub(crate) fn login(id: &[u8; 16]) -> Local {
    Local::new(LOGIN, id)
}

/// A change of password that was begun: one row, `record::PasswordChange`. Rings ten minutes later.
pub(crate) fn password_change(id: &[u8; 16]) -> Local {
    Local::new(PASSWORD_CHANGE, id)
}

/// The logins of a user that anyone began and nobody completed. Rings when they count no more.
pub(crate) fn logins(user: &UserId, cx: &Context<AuthService>) -> Local {
    hashed(LOGINS, "logins", &user.encode(), cx)
}

/// Those of them that came from one network.
pub(crate) fn logins_from(user: &UserId, source: Option<u64>, cx: &Context<AuthService>) -> Local {
    hashed(LOGINS_FROM, "logins from", &(user.clone(), source).encode(), cx)
}

/// The logins that one of the user's own clients began and did not complete.
pub(crate) fn logins_by(client: &ClientId, cx: &Context<AuthService>) -> Local {
    hashed(LOGINS_BY, "logins by", &client.encode(), cx)
}

/// The clients that a user added lately. Rings when they count no more.
pub(crate) fn additions(user: &UserId, cx: &Context<AuthService>) -> Local {
    hashed(ADDITIONS, "additions", &user.encode(), cx)
}

/// Left by a user that was deleted, so that its id is not given away again: one empty row, no alarm.
pub(crate) fn former_user(user: &UserId, cx: &Context<AuthService>) -> Local {
    hashed(FORMER_USER, "former user", &user.encode(), cx)
}

/// Left by a client that was removed, so that its id is not given away while its credentials are listed as revoked:
/// no row. Rings when the last of them has ended.
pub(crate) fn former_client(client: &ClientId, cx: &Context<AuthService>) -> Local {
    hashed(FORMER_CLIENT, "former client", &client.encode(), cx)
}

/// The list of revoked credentials: a row for each, and a head with the serial. No alarm, since serials never go
/// back; entries that have ended leave with the next that come.
pub(crate) fn revocations() -> Local {
    Local::new(REVOCATIONS, [])
}

/// A federated account (05): someone of any domain who came with a DPoP token. One row, the last month in which that
/// happened. Rings 90 days after that month. It is found by its user alone. Of a user who is gone, a row says so for as long
/// as a token may last.
pub(crate) fn account(user: &UserId, cx: &Context<AuthService>) -> Local {
    hashed(ACCOUNT, "account", &user.encode(), cx)
}

/// For whom a user's live DPoP tokens are: a row for each domain. Rings when the last of them has ended.
pub(crate) fn audiences(user: &UserId) -> Local {
    Local::new(AUDIENCES, user.uuid.as_bytes())
}

/// Where issuance to the clients of a remote user is counted, of one class in one window: a row for each
/// [`issued`] of theirs, empty, under its key. Rings with them.
pub(crate) fn issued_of(user: &UserId, class: Class, window: u64, cx: &Context<AuthService>) -> Local {
    hashed(ISSUED_OF, "issued of", &(user.clone(), class, window).encode(), cx)
}

/// An [`issued`], by its key.
pub(crate) fn issued_at(key: Bytes) -> Local {
    Local::new(ISSUED, key)
}

/// Notices of a deleted user that other homeservers have not taken yet: a row for each, sealed. Under an id that nothing
/// leads to. Rings when the next is to be sent.
pub(crate) fn notices(mailbox: &[u8; 32]) -> Local {
    Local::new(NOTICES, mailbox)
}

fn client_key(client: &ClientId) -> Vec<u8> {
    [*client.user.uuid.as_bytes(), *client.client.as_bytes()].concat()
}

fn hashed(kind: u8, label: &str, input: &[u8], cx: &Context<AuthService>) -> Local {
    Local::new(kind, cx.keys.at_rest.prf(label, input))
}

const USER: u8 = 1;
const CLIENT: u8 = 2;
const CLIENT_QUEUE: u8 = 3;
const CLIENT_PACKAGES: u8 = 4;
const REGISTRATION: u8 = 5;
const ALIAS: u8 = 6;
pub(crate) const ALIAS_QUEUE: u8 = 7;
const ALIAS_PACKAGES: u8 = 8;
const ISSUED: u8 = 9;
const DOMAIN: u8 = 10;
const NEWCOMERS: u8 = 11;
const ISSUED_TO_ALL: u8 = 12;
const PROFILE: u8 = 20;
const INVITATION: u8 = 21;
const WORK: u8 = 22;
const REGISTERED: u8 = 23;
const REGISTRATION_SWITCH: u8 = 24;
const LOGIN: u8 = 30;
const PASSWORD_CHANGE: u8 = 31;
const LOGINS: u8 = 32;
const LOGINS_FROM: u8 = 33;
const LOGINS_BY: u8 = 34;
const ADDITIONS: u8 = 35;
const FORMER_USER: u8 = 36;
const FORMER_CLIENT: u8 = 37;
const REVOCATIONS: u8 = 38;
const ACCOUNT: u8 = 40;
const AUDIENCES: u8 = 42;
const ISSUED_OF: u8 = 43;
/// Partitions of notices: their alarm asks for more than being dropped.
pub const NOTICES: u8 = 44;
