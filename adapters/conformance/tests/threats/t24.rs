//! T24, what homeservers are told of a group: those of its members what is sealed for them, all others nothing.

use phoenix_core::{
    api::{Endpoint, federation::FederatedEnqueue},
    wire::Wire,
};

use crate::{
    site::{Site, fqdn, texts},
    t22::{heard, say, together},
};

#[test]
fn t24_servers_of_a_group_see_only_what_is_sealed_and_a_server_without_a_member_sees_nothing() {
    let mut site = Site::new(&["alpha.test", "beta.test", "gamma.test"], 240);
    // Gamma has users, and is known to the others, but none of its users is in the group.
    let (alice, bob, group) = together(&mut site);
    let carol = site.register("carol", "gamma.test");
    site.connect(&alice, &carol);
    let before = site.posted().len();

    assert_eq!(site.run(say(alice.clone(), group.clone(), 0..TEXTS)), TEXTS);
    let updating = (alice.clone(), group.clone());
    site.run(async move { updating.0.client.update(&updating.1).await.unwrap() });
    assert_eq!(site.run(heard(bob.clone(), group.clone(), 3)), texts(0..TEXTS));

    let posted = site.posted().split_off(before);
    let to = |domain: &str| posted.iter().filter(|(to, _)| *to == fqdn(domain)).count();
    println!(
        "{} requests to the homeserver of a member, {} to one without",
        to("beta.test"),
        to("gamma.test")
    );
    assert!(to("beta.test") > 0);
    assert_eq!(to("gamma.test"), 0, "a server without a member gets nothing");
    let secrets = [
        texts(0..1).remove(0).into_bytes(),
        b"message".to_vec(),
        group.uuid.encode().to_vec(),
        alice.client.user().uuid.encode().to_vec(),
        bob.client.user().uuid.encode().to_vec(),
        bob.client.id().client.encode().to_vec(),
        alice.credential.encode().to_vec(),
    ];
    for (_, outgoing) in &posted {
        assert_eq!(outgoing.name, FederatedEnqueue::DESCRIPTION.name);
        let body = outgoing.call.body.as_slice();
        for secret in &secrets {
            assert!(!body.windows(secret.len()).any(|part| part == secret.as_slice()), "{secret:?}");
        }
    }
}

const TEXTS: usize = 5;
