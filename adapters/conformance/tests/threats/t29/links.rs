//! Identity links that were signed as something else, shown to who is to believe them.

use super::LABELS;
use crate::site::Site;

#[test]
fn t29_whose_link_was_signed_as_anything_else_is_not_added() {
    let mut site = Site::new(&["alpha.test"], 293);
    let honest = site.register("honest", "alpha.test");
    let hostile = site.register("hostile", "alpha.test");
    site.connect(&hostile, &honest);
    let inviting = honest.client.clone();
    let group = site.run(async move { inviting.create_group().await.unwrap() });
    for label in LABELS.iter().filter(|label| **label != "IdentityLink").chain(&["IdentityLink"]) {
        hostile.key.lie("IdentityLink", label);
        let (from, to, into) = (honest.client.clone(), hostile.client.clone(), group.clone());
        let (outcome, members) = site.run(async move {
            to.publish_add_packages().await.unwrap();
            let outcome = from.invite(&into, std::slice::from_ref(to.user())).await;
            (outcome, from.members(&into).await.unwrap().len())
        });
        let is_right = *label == "IdentityLink";
        assert_eq!((outcome.is_ok(), members), (is_right, 1 + usize::from(is_right)), "{label}: {outcome:?}");
    }
}
