//! `update_blocklist`: what a client does not want to hear, and what shows of it.

use phoenix_core::{
    ConfigId, Reject,
    api::{
        federation::RecipientResult::{Delivered, Gone, Later},
        queue::{
            ClientQueueConfig,
            ConfigRule::{self, Blocked, Free, Muted},
            MAX_RULE_CHANGES, RuleChange, UpdateBlocklistRequest,
        },
    },
    limit::{Limits, Rate},
    time::{DAY, Month},
    token::Class,
    wire::{List, Sender},
};

use super::{client::Client, world::Home};
use crate::{kinds::CLIENT, op::update_blocklist::UpdateBlocklist, record::MAX_RULES};

#[test]
fn what_comes_through_a_blocked_config_is_told_as_delivered_and_stored_nowhere() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (blocked, id) = client.named_config(&home);
    let (other, _) = client.named_config(&home);
    client.rule(&home, &[(id, Blocked)]).unwrap();
    let before = home.partitions(CLIENT);

    let results = home.deliver(home.local(&[&blocked], "psst"));

    assert_eq!(results, [Delivered]);
    assert_eq!(home.partitions(CLIENT), before, "nothing has changed");
    assert_eq!(home.lanes(), 0, "and nobody is told that it is gone");
    let results = home.deliver(home.local(&[&blocked, &other], "hello"));
    assert_eq!((results, client.read_texts(&home)), (vec![Delivered, Delivered], vec!["hello".to_owned()]));
}

#[test]
fn what_comes_through_a_muted_or_freed_config_is_stored() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (config, id) = client.named_config(&home);

    client.rule(&home, &[(id, Muted)]).unwrap();
    home.deliver(home.local(&[&config], "muted"));
    client.rule(&home, &[(id, Blocked)]).unwrap();
    home.deliver(home.local(&[&config], "blocked"));
    client.rule(&home, &[(id, Free)]).unwrap();
    home.deliver(home.local(&[&config], "free"));

    assert_eq!(client.read_texts(&home), ["muted", "free"]);
}

#[test]
fn a_rule_ends_with_its_month_and_goes_when_the_client_reads() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (config, id) = client.named_config(&home);
    client.rule(&home, &[(id, Blocked)]).unwrap();
    let end = Month::of(home.clock_now()).plus(1).start();
    home.clock.advance_s(end.as_secs() - home.clock_now().as_secs() - 1);
    home.deliver(home.local(&[&config], "on the last second"));

    home.clock.advance_s(1);
    home.deliver(home.local(&[&config], "on the first"));

    assert_eq!(home.partitions(CLIENT)[0].1.rows.len(), 2 + 1 + 2);
    assert_eq!(client.read_texts(&home), ["on the first"]);
    client.read(&home);
    assert_eq!(home.partitions(CLIENT)[0].1.rows.len(), 2, "record and head stay");
}

#[test]
fn a_block_does_not_show_to_another_homeserver_though_it_sends_too_much() {
    let limits = Limits { config: Some(Rate::new(1, 2)), ..Limits::unlimited() };
    let home = Home::limited(limits);
    let mut client = Client::at(&home, 1);
    let mut other = Client::at(&home, 2);
    let (blocked, id) = client.named_config_for(&home, "beta.test");
    let (free, _) = other.named_config_for(&home, "beta.test");
    client.rule(&home, &[(id, Blocked)]).unwrap();

    let told = |to: &ClientQueueConfig, first: u8| -> Vec<_> {
        (first..first + 3).map(|part| home.deliver(home.remote("beta.test", part, &[to], "spam"))).collect()
    };

    let (of_blocked, of_free) = (told(&blocked, 1), told(&free, 11));
    assert_eq!(of_blocked, of_free);
    assert_eq!(of_blocked[..2], [vec![Delivered], vec![Delivered]]);
    assert!(matches!(of_blocked[2][0], Later(_)));
    assert_eq!((client.read(&home).len(), other.read(&home).len()), (0, 2));
}

#[test]
fn a_blocked_config_that_is_void_is_gone_like_any_other() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let (config, id) = client.named_config(&home);
    client.rule(&home, &[(id, Blocked)]).unwrap();

    client.raise(&home, 1).unwrap();

    assert_eq!(home.deliver(home.local(&[&config], "hello?")), [Gone]);
}

#[test]
fn rules_are_of_months_from_this_one_on_and_do_not_last_for_ever() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let month = Month::of(home.clock_now());
    let id = ConfigId([1; 16]);
    let until = |expires, rule| [RuleChange { config: id, rule, expires }];

    for (expires, is_good) in
        [(Month(month.0 - 1), false), (month, true), (month.plus(24), true), (month.plus(25), false)]
    {
        for rule in [Muted, Blocked] {
            let expected = if is_good { Ok(()) } else { Err(Reject::Malformed("expires")) };
            assert_eq!(client.change_rules(&home, &until(expires, rule)), expected);
        }
        assert_eq!(client.change_rules(&home, &until(expires, Free)), Ok(()));
    }
    assert_eq!(client.change_rules(&home, &[]), Err(Reject::Malformed("changes")));
}

#[test]
fn a_client_has_boundedly_many_rules_and_those_that_ended_make_room() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let month = Month::of(home.clock_now());
    let change = |number: usize, expires| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        RuleChange { config: ConfigId(id), rule: Blocked, expires }
    };
    for first in (0..MAX_RULES).step_by(MAX_RULE_CHANGES) {
        let expires = if first == 0 { month } else { month.plus(9) };
        let changes: Vec<_> =
            (first..first + MAX_RULE_CHANGES).map(|number| change(number, expires)).collect();
        client.change_rules(&home, &changes).unwrap();
    }

    let one_more = [change(MAX_RULES, month.plus(9))];
    assert_eq!(client.change_rules(&home, &one_more), Err(Reject::TooLarge("rules")));
    let in_place_of_one = [RuleChange { rule: Free, ..change(7, month) }, one_more[0]];
    client.change_rules(&home, &in_place_of_one).unwrap();
    home.clock.advance_s(31 * DAY);
    let many: Vec<_> =
        (0..MAX_RULE_CHANGES - 1).map(|it| change(MAX_RULES + 1 + it, month.plus(9))).collect();
    client.change_rules(&home, &many).unwrap();

    assert_eq!(home.partitions(CLIENT)[0].1.rows.len(), 3 + MAX_RULES);
}

#[test]
fn only_the_client_itself_changes_its_rules_for_a_standard_token() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let changes =
        [RuleChange { config: ConfigId([1; 16]), rule: Blocked, expires: Month::of(home.clock_now()) }];
    let mut thief = Client { id: client.id, ..Client::unknown(2) };
    let mut nobody = Client::unknown(3);

    for stranger in [&mut thief, &mut nobody] {
        assert_eq!(stranger.change_rules(&home, &changes), Err(Reject::Unauthenticated));
    }
    let request = UpdateBlocklistRequest { changes: List::new(changes.to_vec()).unwrap() };
    let of_user = client.as_user::<UpdateBlocklist>(&home, &request, &[]);
    assert_eq!(of_user, Err(Reject::Unauthenticated));
    let (key, sender, token) = (client.key.clone(), Sender::QsClient(client.id), home.token(Class::Home));
    let frame = client.signed::<UpdateBlocklist>(&home, &request, (sender, &key, &[]), Some(&token));
    let outcome = home.call::<UpdateBlocklist>(&request, Some(frame), Some(token));
    assert_eq!(outcome, Err(Reject::TokenRequired));

    assert_eq!(home.partitions(CLIENT)[0].1.rows.len(), 3);
}

impl Client {
    /// A queue config of this homeserver's own DS, and its id.
    pub(super) fn named_config(&mut self, home: &Home) -> (ClientQueueConfig, ConfigId) {
        self.named_config_for(home, "alpha.test")
    }

    fn named_config_for(&mut self, home: &Home, audience: &str) -> (ClientQueueConfig, ConfigId) {
        let tbs = self.config_tbs(Some(audience));
        let id = tbs.config;
        (self.sealed(home, tbs), id)
    }

    /// Sets rules for this month.
    pub(super) fn rule(&mut self, home: &Home, rules: &[(ConfigId, ConfigRule)]) -> Result<(), Reject> {
        let expires = Month::of(home.clock_now());
        let changes: Vec<_> =
            rules.iter().map(|(config, rule)| RuleChange { config: *config, rule: *rule, expires }).collect();
        self.change_rules(home, &changes)
    }

    fn change_rules(&mut self, home: &Home, changes: &[RuleChange]) -> Result<(), Reject> {
        let request = UpdateBlocklistRequest { changes: List::new(changes.to_vec()).unwrap() };
        self.as_client::<UpdateBlocklist>(home, &request, &[]).map(|_| ())
    }
}
