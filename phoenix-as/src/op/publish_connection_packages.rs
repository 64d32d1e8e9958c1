//! `publish_connection_packages`: how strangers reach a client (04).

use phoenix_core::{
    Failure, Reject,
    api::{
        Empty,
        auth::{self, PublishPackagesRequest},
    },
    credential::{ConnectionPackage, PackagePayload, VerifiedClientCredential},
    operation::{Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Reading, Rows},
};

use crate::{
    AuthService, account, kinds,
    packages::{self, Payload},
    record::Client,
};

/// Puts a client's packages in the place of those there.
pub(crate) struct PublishConnectionPackages;

impl Operation for PublishConnectionPackages {
    type Endpoint = auth::PublishConnectionPackages;
    type Service = AuthService;
    type State = Option<Client>;
    type Sender = VerifiedClientCredential;
    /// A package takes about 0.3 ms to check.
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
        Ok(vec![account::reading(account::claimed_local(call, cx)?)])
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<AuthService>) -> Result<Option<Client>, Failure> {
        account::found(&found, 0)
    }

    fn authenticate(
        call: &Decoded<Self>,
        known: &Option<Client>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Proven<VerifiedClientCredential>, Failure> {
        Ok(account::prove(call.frame()?, known.as_ref(), cx)?)
    }

    fn decide(
        known: Option<Client>,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Empty>, Failure> {
        let PublishPackagesRequest { packages } = call.request();
        let sender = call.sender();
        for package in packages {
            check(package, sender, cx)?;
        }
        let latest = sender.credential().payload.validity.not_after;
        let (writes, alarm) = packages::publication(packages, latest, cx)?;
        let id = sender.client();
        let decision = Decision::reply(Empty {}).change(kinds::client_packages(id), writes, alarm);
        Ok(account::seen(decision, id, known, cx))
    }
}

/// A package must be signed by its sender's key, for its sender, be usable now, and end with the credential in it.
fn check(
    package: &ConnectionPackage,
    sender: &VerifiedClientCredential,
    cx: &Context<AuthService>,
) -> Result<(), Reject> {
    if package.payload.credential != *sender.credential() {
        return Err(Reject::Malformed("credential"));
    }
    if package.payload.package.lifetime.not_after > sender.credential().payload.validity.not_after {
        return Err(Reject::Malformed("lifetime"));
    }
    let verified = package.verify(cx.keys.service.verified(), cx.now);
    match verified {
        Ok(_) => Ok(()),
        Err(Reject::Unauthenticated) => Err(Reject::Malformed("signature")),
        Err(reject) => Err(reject),
    }
}

impl Payload for ConnectionPackage {
    fn payload(&self) -> &PackagePayload {
        &self.payload.package
    }
}
