//! What is kept in time, and what is not kept for ever.

use phoenix_core::{
    Fqdn,
    crypto::{Chance, SigningKey},
};

use super::support::play;

#[test]
fn an_alias_that_is_gone_is_forgotten_and_the_others_are_kept() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let mut hashes = Vec::new();
        for alias in ["Carol", "Dave"] {
            hashes.push(a.register_alias(alias).await.expect("registered"));
        }
        hashes.sort();
        {
            let mut session = a.lock().await;
            let other = SigningKey::generate(session.state.account.suite, &mut Chance::from_seed([1; 32]));
            session.state.aliases.get_mut(&hashes[0]).expect("ours").key = other;
            session.state.aliases.values_mut().for_each(|alias| alias.expires = 0);
        }

        a.maintain().await.expect("maintained");

        let session = a.lock().await;
        assert!(!session.state.aliases.contains_key(&hashes[0]));
        assert!(session.state.aliases.get(&hashes[1]).expect("kept").expires > 0);
    });
}

#[test]
fn what_strangers_domains_published_is_forgotten_once_it_is_much() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let mut session = a.lock().await;
        let own = session.domain().clone();
        let published = session.state.authorities.get(&own).expect("known").clone();
        for number in 0..300 {
            let domain: Fqdn = format!("stranger-{number}.test").parse().expect("domain");
            session.state.authorities.insert(domain, published.clone());
        }

        session.forget_authorities(&own);

        assert_eq!(session.state.authorities.keys().collect::<Vec<_>>(), [&own]);
    });
}
