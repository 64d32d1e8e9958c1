//! K2, as far as is seen from outside: no more tokens are issued than are allowed, and a repeat gives the same ones.

use std::collections::BTreeMap;

use phoenix_core::{
    Fqdn,
    api::{
        Endpoint,
        tokens::{IssueReply, IssueRequest, IssueTokens},
    },
    crypto::sha256,
    port::Outgoing,
    token::Class,
    wire::Wire,
};
use phoenix_homeserver::auth::Allowances;

/// The batches that were issued.
#[derive(Default)]
pub(super) struct Issued {
    /// What a request was answered, by the digest of the request.
    answers: BTreeMap<[u8; 32], [u8; 32]>,
    /// Alias tokens that a homeserver issued to a client: all runs together are shorter than the window.
    aliases: BTreeMap<(Fqdn, String), usize>,
}

impl Issued {
    /// A homeserver issued tokens, or something else; says what is wrong with that.
    pub(super) fn note(&mut self, who: &str, by: &Fqdn, outgoing: &Outgoing, reply: &[u8]) -> Option<String> {
        if outgoing.call.endpoint != IssueTokens::DESCRIPTION.id {
            return None;
        }
        let body = outgoing.call.body.as_slice();
        let (Ok(request), Ok(reply)) = (IssueRequest::decode(body), IssueReply::decode(reply)) else {
            return Some(format!("R4: what {by} issues to {who} does not decode"));
        };
        let evaluated = sha256(&reply.evaluated.encode());
        if let Some(before) = self.answers.insert(sha256(body), evaluated) {
            return (before != evaluated)
                .then(|| format!("K2: {by} issues other tokens to {who} for the same request"));
        }
        if request.class != Class::Alias {
            return None;
        }
        let count = self.aliases.entry((by.clone(), who.to_owned())).or_default();
        *count = count.saturating_add(reply.evaluated.len());
        let allowed = usize::try_from(Allowances::default().alias).unwrap_or(usize::MAX);
        (*count > allowed)
            .then(|| format!("K2: {by} issued {count} Alias tokens to {who}, {allowed} a month"))
    }
}
