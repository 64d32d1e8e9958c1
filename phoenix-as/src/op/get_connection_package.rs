//! `get_connection_package`: one package for each client of a user (04).
//!
//! A user that is not there, one whose clients have ended, and one without packages are not told apart: of each as
//! much is read.

use phoenix_core::{
    ClientId, Failure, Reject, UserId, Uuid,
    api::auth::{self, ConnectionPackages},
    credential::ConnectionPackage,
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Local, Operation, Peers, Proven, Reading, Rows,
    },
    port::Wanted,
    wire::List,
};

use crate::{
    AuthService, kinds,
    packages::{self, Package},
    record::{self, User},
};

/// Takes the packages.
pub(crate) struct GetConnectionPackage;

impl Operation for GetConnectionPackage {
    type Endpoint = auth::GetConnectionPackage;
    type Service = AuthService;
    type State = Vec<(Local, Package<ConnectionPackage>)>;
    type Sender = Anyone;

    /// First the user, then the packages of its clients.
    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        let user = call.request();
        match found.len() {
            0 if user.domain != cx.domain => Err(Reject::NotFound.into()),
            0 => Ok(vec![Reading::watch(kinds::user(user), Wanted::Keys(vec![record::ROW]))]),
            1 => {
                let mut places = places(user, found)?;
                if places.is_empty() {
                    places.push(nobodys(user));
                }
                Ok(places.into_iter().map(|at| packages::reading(at, cx)).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Self::State, Failure> {
        let mut served = Vec::new();
        for (place, at) in places(call.request(), &found)?.into_iter().enumerate() {
            if let Some(package) = packages::found(&found, place.saturating_add(1), cx)? {
                served.push((at, package));
            }
        }
        if served.is_empty() { Err(Reject::NotFound.into()) } else { Ok(served) }
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
        _: Authorised<Self>,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Decision<ConnectionPackages>, Failure> {
        let packages = served.iter().map(|(_, served)| served.package.clone()).collect();
        let reply = ConnectionPackages { packages: List::new(packages).map_err(Reject::from)? };
        let decision = Decision::reply(reply);
        Ok(served.into_iter().fold(decision, |decision, (at, package)| package.taken(at, decision)))
    }
}

/// Where the packages of the user's clients lie, once the user was read; nowhere, where there is none.
fn places(user: &UserId, found: &Rows) -> Result<Vec<Local>, Failure> {
    let Some(stored) = found.row(0, &record::ROW)? else { return Ok(Vec::new()) };
    let User { clients, .. } = record::decode(stored)?;
    let client = |client| ClientId { user: user.clone(), client };
    Ok(clients.into_iter().map(|uuid| kinds::client_packages(&client(uuid))).collect())
}

/// Where no packages lie that are served: read for a user without clients, as the packages of one are.
fn nobodys(user: &UserId) -> Local {
    kinds::client_packages(&ClientId { user: user.clone(), client: Uuid([0; 16]) })
}
