//! T24, disclosure to servers outside a group: a homeserver that its peer's operator wants nothing to do with.

use std::time::Duration;

use phoenix_client::{Client, Event};
use phoenix_core::{
    ErrorCode, Fqdn, GroupId,
    federation::{DomainPattern, Outbox, Standing},
    token::Class,
};

use crate::site::{Person, Site, fqdn};

#[test]
fn t24_a_homeserver_that_is_held_back_gets_nothing_until_it_is_freed_and_then_all_in_order() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 24);
    let (anna, bert, group) = pair(&mut site);

    for (round, standing) in [Standing::Paused, Standing::Blocked(Outbox::Hold)].into_iter().enumerate() {
        // given a rule that is in force while both run
        rule(&mut site, Some(standing));
        let before = sent_to_beta(&site);

        // when somebody writes, and hours go by
        let texts = [0, 1, 2].map(|number| format!("{round}.{number}"));
        say(&mut site, &anna, &group, &texts);
        let clock = site.clock.clone();
        site.run(async move { clock.sleep_ms(3 * 3_600_000).await });

        // then nothing has left; and all of it is there soon after the rule has ended
        assert_eq!(sent_to_beta(&site), before);
        assert_eq!(heard(&mut site, &bert, 1), Vec::<String>::new());
        rule(&mut site, None);
        assert_eq!(heard(&mut site, &bert, 10), texts);
    }
}

#[test]
fn t24_users_of_a_blocked_homeserver_get_no_tokens_and_leave_the_groups() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 240);
    let (anna, bert, group) = pair(&mut site);
    assert_eq!(fetches_tokens(&mut site, &bert), Ok(()));
    rule(&mut site, Some(Standing::Blocked(Outbox::Drop)));

    // when the group goes on: one commit for the proposals, one that covers them
    let (client, of) = (anna.client.clone(), group.clone());
    site.run(async move {
        for _ in 0..2 {
            client.update(&of).await.unwrap();
            client.sync(Duration::from_secs(1)).await.unwrap();
        }
    });

    // then its users are out of it, cannot be asked in again, and are issued nothing
    let (client, user, of) = (anna.client.clone(), bert.client.user().clone(), group.clone());
    assert!(site.run(async move { client.invite(&of, &[user]).await }).is_err());
    let (client, of) = (bert.client.clone(), group.clone());
    assert!(site.run(async move { client.send(&of, b"still here").await }).is_err());
    assert_eq!(fetches_tokens(&mut site, &bert), Err(Some(ErrorCode::Forbidden)));
}

/// Whether a client is issued tokens at alpha.test.
fn fetches_tokens(site: &mut Site, person: &Person) -> Result<(), Option<ErrorCode>> {
    let (client, domain) = (person.client.clone(), fqdn("alpha.test"));
    let fetched = site.run(async move { client.fetch_tokens(&domain, Class::Standard).await });
    fetched.map_err(|error| error.code())
}

/// Two people of two homeservers, in a group of the first one's.
fn pair(site: &mut Site) -> (Person, Person, GroupId) {
    let [anna, bert] =
        [("anna", "alpha.test"), ("bert", "beta.test")].map(|(name, domain)| site.register(name, domain));
    site.connect(&anna, &bert);
    let (one, other) = (anna.client.clone(), bert.client.clone());
    let group = site.run(async move {
        let group = one.create_group().await.unwrap();
        one.invite(&group, &[other.user().clone()]).await.unwrap();
        read(&other, 10).await;
        group
    });
    (anna, bert, group)
}

/// The operator of the first stands so to the second from now on, or has no rule for it any more.
fn rule(site: &mut Site, standing: Option<Standing>) {
    let (admin, pattern) = (site.home("alpha.test").admin(), DomainPattern::Only(fqdn("beta.test")));
    site.run(async move {
        match standing {
            Some(standing) => admin.set_rule(pattern, standing).await.unwrap(),
            None => admin.remove_rule(&pattern).await.unwrap(),
        }
    });
}

fn say(site: &mut Site, person: &Person, group: &GroupId, texts: &[String]) {
    let (client, group, texts) = (person.client.clone(), group.clone(), texts.to_vec());
    site.run(async move {
        for text in texts {
            client.send(&group, text).await.unwrap();
        }
    });
}

/// What somebody is shown in so many seconds.
fn heard(site: &mut Site, person: &Person, seconds: u64) -> Vec<String> {
    let client = person.client.clone();
    site.run(async move { read(&client, seconds).await })
}

async fn read(client: &Client, seconds: u64) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..seconds {
        for event in client.sync(Duration::from_secs(1)).await.unwrap() {
            if let Event::Message(message) = event {
                texts.push(String::from_utf8(message.text.to_vec()).unwrap());
            }
        }
    }
    texts
}

fn sent_to_beta(site: &Site) -> usize {
    let beta: Fqdn = fqdn("beta.test");
    site.posted().iter().filter(|(to, _)| *to == beta).count()
}
