//! `alias_publish_packages`: how strangers reach the owner of an alias (04). The payloads are unsigned, since a
//! signature would name their owner.

use phoenix_core::{
    Failure, Reject,
    api::{Empty, auth},
    credential::PackagePayload,
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Reading, Rows,
    },
};

use crate::{
    AuthService,
    alias::{self, Known},
    kinds,
    packages::{self, Payload},
};

/// Puts an alias's packages in the place of those there.
pub(crate) struct AliasPublishPackages;

impl Operation for AliasPublishPackages {
    type Endpoint = auth::AliasPublishPackages;
    type Service = AuthService;
    type State = Option<Known>;
    type Sender = Anyone;
    /// A package takes about 0.1 ms to check.
    const EFFORT: Effort = Effort::Heavy;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        if call.request().packages.is_empty() {
            return Err(Reject::Malformed("packages").into());
        }
        Ok(vec![alias::reading(alias::claimed(call)?, cx)])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Option<Known>, Failure> {
        alias::found(&found, 0, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        known: &Option<Known>,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(alias::prove(call, known.as_ref())?)
    }

    fn decide(
        known: Option<Known>,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Empty>, Failure> {
        let packages = &call.request().packages;
        let latest = known.map_or(0, |known| known.ends.as_secs());
        packages.iter().try_for_each(|package| package.check(cx.now))?;
        let (writes, alarm) = packages::publication(packages, latest, cx)?;
        let at = kinds::alias_packages(alias::named(call.frame()?)?, cx);
        Ok(Decision::reply(Empty {}).change(at, writes, alarm))
    }
}

impl Payload for PackagePayload {
    fn payload(&self) -> &PackagePayload {
        self
    }
}
