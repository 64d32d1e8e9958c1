//! `alias_get_package`: one package of an alias (04). An alias that is not there and one without packages are not
//! told apart.

use phoenix_core::{
    Failure, Reject,
    api::auth,
    credential::PackagePayload,
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::{
    AuthService, alias, kinds,
    packages::{self, Package},
};

/// Takes the package.
pub(crate) struct AliasGetPackage;

impl Operation for AliasGetPackage {
    type Endpoint = auth::AliasGetPackage;
    type Service = AuthService;
    type State = Package<PackagePayload>;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let alias = call.request();
        Ok(vec![alias::reading(alias, cx), packages::reading(kinds::alias_packages(alias, cx), cx)])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Self::State, Failure> {
        let known = alias::found(&found, 0, cx)?;
        let package = packages::found(&found, 1, cx)?.filter(|_| known.is_some());
        Ok(package.ok_or(Reject::NotFound)?)
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Self::State,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        served: Self::State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<PackagePayload>, Failure> {
        let decision = Decision::reply(served.package.clone());
        Ok(served.taken(kinds::alias_packages(call.request(), cx), decision))
    }
}
