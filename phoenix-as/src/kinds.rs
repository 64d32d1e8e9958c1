//! What the AS stores, and where: one kind of partition for each thing.
//!
//! Users and clients lie under their ids, since the AS knows them and lists them. All others lie under keyed hashes
//! (09). Every alarm drops its partition: what has ended is worth nothing to anyone.

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
    Local::new(USER, user.uuid.as_bytes().to_vec())
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
    Local::new(REGISTRATION, id.to_vec())
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

/// What was issued to a remote domain, of one class: one row, `record::Domain`. Rings when it was unused for so long
/// that it starts again.
pub(crate) fn domain(domain: &Fqdn, class: Class, cx: &Context<AuthService>) -> Local {
    hashed(DOMAIN, "domain", &(domain.clone(), class).encode(), cx)
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

fn client_key(client: &ClientId) -> Bytes {
    [*client.user.uuid.as_bytes(), *client.client.as_bytes()].concat().into()
}

fn hashed(kind: u8, label: &str, input: &[u8], cx: &Context<AuthService>) -> Local {
    Local::new(kind, cx.keys.at_rest.prf(label, input).to_vec())
}

const USER: u8 = 1;
const CLIENT: u8 = 2;
const CLIENT_QUEUE: u8 = 3;
const CLIENT_PACKAGES: u8 = 4;
const REGISTRATION: u8 = 5;
const ALIAS: u8 = 6;
const ALIAS_QUEUE: u8 = 7;
const ALIAS_PACKAGES: u8 = 8;
const ISSUED: u8 = 9;
const DOMAIN: u8 = 10;
const NEWCOMERS: u8 = 11;
const ISSUED_TO_ALL: u8 = 12;
