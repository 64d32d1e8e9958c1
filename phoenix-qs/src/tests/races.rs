//! Calls that get in each other's way.

use std::sync::Arc;

use phoenix_core::{Origin, api::queue::GetAddPackagesRequest, token::Class};

use super::{
    client::Client,
    world::{Home, envelope},
};
use crate::op::get_add_packages::GetAddPackages;

#[test]
fn who_loses_the_race_for_a_package_gets_the_next_one_for_the_same_token() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 20, 1);
    client.publish(&home, &request).unwrap();
    let fetch = GetAddPackagesRequest { token: client.friendship(), suite: 1 };
    let call = envelope::<GetAddPackages>(&fetch, None, Some(home.token(Class::Standard)));
    let engine = Arc::clone(&home.engine);

    // After the user and the list were read, and before the package is.
    home.fragile.meanwhile(2, async move {
        engine.call::<GetAddPackages>(call, Origin::default()).await.unwrap();
    });
    let served = client.fetch(&home, 1).unwrap();

    assert_eq!(served.packages.to_vec(), request.packages[1..2]);
}
