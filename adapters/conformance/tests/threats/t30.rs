//! T30, secrets and identifiers in logs and errors: everything that people do is done while all targets are logged at
//! the finest level, and the log is searched for all that they sent, received, own or are, and all that is stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use phoenix_client::{Event, Outcome, ProfileKey, Settings, alias_hash};
use phoenix_conformance::world::{Lab, Logged, Searched, captured, is_random, recorded};
use phoenix_core::{
    Uuid, api::auth::InvitationCode, crypto::Suite, port::Outgoing, store::MemoryStore, time::DAY, wire::Wire,
};
use phoenix_homeserver::{
    OperatorKey,
    auth::{self, RegistrationPolicy},
};

use crate::site::{ADDRESS, Person, Site, fqdn, password};

#[test]
fn t30_nothing_that_people_send_receive_own_or_are_is_logged() {
    let stores: BTreeMap<&str, MemoryStore> =
        ["alpha.test", "beta.test"].into_iter().map(|domain| (domain, MemoryStore::new())).collect();
    let (canaries, log) = captured(|| {
        let mut site = Site::with(&["alpha.test", "beta.test"], 30, |domain, builder| {
            let mut settings = auth::Settings::default();
            settings.registration.policy = RegistrationPolicy::invitation();
            settings.registration.clients_invite = true;
            let builder = builder.store(stores[domain].clone()).auth_settings(settings);
            // The secrets of the other homeserver lie open in its store, and so are sought, too.
            if domain == "alpha.test" { builder.operator_key(OperatorKey::new(OPERATOR)) } else { builder }
        });
        everything(&mut site)
    });
    let mut canaries = canaries;
    canaries.stored(&stores);
    let by_target = by_target(&log);
    let lines: Vec<_> = by_target.iter().map(|(target, lines)| (target, lines.len())).collect();
    println!("{} canaries, lines by crate: {lines:?}", canaries.all.len());
    assert!(by_target.contains_key("phoenix_core"), "the log is not of the finest level");

    for (target, lines) in by_target {
        let searched = Searched::new(lines);
        let shown: Vec<_> = canaries.all.iter().filter(|(_, bytes)| searched.shows(bytes)).collect();
        let kinds: BTreeSet<_> = shown.iter().map(|(kind, _)| kind).collect();
        println!("{target} shows {kinds:?}");
        assert!(shown.is_empty() || BARRED.contains(&target), "{target}: {kinds:?}");
    }
    canaries.are_found_where_they_are_logged();
}

#[test]
fn t30_no_call_of_any_endpoint_is_shown_by_what_its_homeserver_logs() {
    let mut logging = BTreeSet::new();
    for recorded in recorded() {
        let mut lab = Lab::of(&recorded, 0).unwrap();
        let Outgoing { service, name, call, .. } = &recorded.outgoing;
        let (outcome, log) = captured(|| lab.give(&recorded.to, *service, name, call.clone()).unwrap());
        for (target, lines) in by_target(&log) {
            logging.insert(target.to_owned());
            let searched = Searched::new(lines);
            let shows = searched.shows(&call.encode()) || searched.shows(outcome.answer.as_ref().unwrap());
            assert!(!shows || BARRED.contains(&target), "{name}: {target}");
        }
    }
    println!("homeservers log by {logging:?}");
    assert!(logging.contains("phoenix_core"), "the log is not of the finest level");
}

/// Everything that people do, with what must not be logged of it.
fn everything(site: &mut Site) -> Canaries {
    let mut canaries = Canaries::default();
    let [anna, bert] = [("anna", 30, "alpha.test"), ("bert", 31, "beta.test")].map(|who| {
        let home = site.home(who.2);
        let code = site.run(async move { home.admin().invite(DAY).await.unwrap().code });
        canaries.invitation(&code);
        site.register_with(Settings { invitation: Some(code), ..named(who) }, Suite::Ed25519)
    });
    let (one, other) = (anna.clone(), bert.clone());
    let groups = site.run(async move { talk(&one, &other).await });
    let second = site.log_in_with(named(("anna", 30, "alpha.test")), Suite::P256);
    let inviting = anna.client.clone();
    let code = site.run(async move { inviting.make_invitation().await.unwrap().code });
    canaries.invitation(&code);
    let carol = named(("carol", 32, "alpha.test"));
    let carol = site.register_with(Settings { invitation: Some(code), ..carol }, Suite::Ed25519);
    let people = [("anna", anna), ("anna", second), ("bert", bert), ("carol", carol)];
    let [anna, second, bert, carol] = people.clone().map(|(_, person)| person);
    let keys = site.run(async move { depart(&anna, &second, &bert, &carol).await });
    for (name, person) in &people {
        canaries.person(name, person);
    }
    for group in groups {
        canaries.add("group id", group);
    }
    for key in keys {
        canaries.add("profile key", key.key.expose());
    }
    let hash = alias_hash(ALIAS, &fqdn("beta.test")).unwrap();
    canaries.add("alias", ALIAS);
    canaries.add("alias hash", hash.as_bytes());
    canaries.add("message", TEXT);
    canaries.add("profile", PROFILE);
    canaries.add("profile", NEW_PROFILE);
    canaries.add("password", NEW_PASSWORD);
    canaries.add("address", ADDRESS);
    canaries.add("operator key", OPERATOR);
    canaries
}

/// Who registers: by name, number and domain.
fn named((name, number, domain): (&str, u8, &str)) -> Settings {
    let user = Uuid::from_random([number; 16].map(|it| it.wrapping_mul(7)));
    Settings { user: Some(user), ..Settings::new(fqdn(domain), password(name)) }
}

async fn talk(anna: &Person, bert: &Person) -> Vec<Vec<u8>> {
    bert.client.register_alias(ALIAS).await.unwrap();
    let first = anna.client.connect(bert.client.user()).await.unwrap();
    accept_all(bert).await;
    for _ in 0..PATIENCE {
        anna.client.sync(Duration::from_secs(1)).await.unwrap();
    }
    let second = anna.client.create_group().await.unwrap();
    anna.client.invite(&second, &[bert.client.user().clone()]).await.unwrap();
    for group in [&first, &second] {
        anna.client.send(group, TEXT).await.unwrap();
    }
    let mut heard = 0;
    for _ in 0..PATIENCE {
        let events = bert.client.sync(Duration::from_secs(1)).await.unwrap();
        heard += events.iter().filter(|event| matches!(event, Event::Message(_))).count();
    }
    assert_eq!(heard, 2);
    anna.client.update(&second).await.unwrap();
    anna.client.remove(&second, &[bert.client.user().clone()]).await.unwrap();
    [first, second].iter().map(|group| group.uuid.as_bytes().to_vec()).collect()
}

/// What people do with their accounts, to the end.
async fn depart(anna: &Person, second: &Person, bert: &Person, carol: &Person) -> [ProfileKey; 2] {
    let keys = [
        anna.client.update_profile(PROFILE.as_bytes()).await.unwrap(),
        anna.client.update_profile(NEW_PROFILE.as_bytes()).await.unwrap(),
    ];
    let read = bert.client.profile(anna.client.user(), &keys[1]).await.unwrap();
    assert_eq!(read, NEW_PROFILE.as_bytes());
    carol.client.connect(bert.client.user()).await.unwrap();
    for event in bert.client.sync(Duration::ZERO).await.unwrap() {
        if let Event::Offer { offer, .. } = event {
            bert.client.decline(offer).await.unwrap();
        }
    }
    carol.client.sync(Duration::from_secs(1)).await.unwrap();
    let made = carol.client.offers_made().await;
    assert_eq!(made.iter().map(|offer| offer.outcome).collect::<Vec<_>>(), [Outcome::Declined]);
    bert.client.renew_credential().await.unwrap();
    let alias = alias_hash(ALIAS, &fqdn("beta.test")).unwrap();
    bert.client.renew_alias(&alias).await.unwrap();
    bert.client.delete_alias(&alias).await.unwrap();
    second.client.sync(Duration::ZERO).await.unwrap();
    anna.client.change_password(&password("anna"), NEW_PASSWORD).await.unwrap();
    anna.client.remove_client(second.client.id().client, NEW_PASSWORD).await.unwrap();
    anna.client.delete_user(NEW_PASSWORD).await.unwrap();
    keys
}

async fn accept_all(person: &Person) {
    for event in person.client.sync(Duration::ZERO).await.unwrap() {
        if let Event::Offer { offer, .. } = event {
            person.client.accept(offer).await.unwrap();
        }
    }
}

/// What must not be logged, by kind.
#[derive(Default)]
struct Canaries {
    all: Vec<(String, Vec<u8>)>,
}

impl Canaries {
    fn add(&mut self, kind: &str, bytes: impl AsRef<[u8]>) {
        self.all.push((kind.to_owned(), bytes.as_ref().to_vec()));
    }

    fn invitation(&mut self, code: &InvitationCode) {
        self.add("invitation", code.0.expose());
        self.add("invitation in words", code.to_text());
    }

    /// All that somebody is, owns, sent and received.
    fn person(&mut self, name: &str, person: &Person) {
        let user = person.client.user();
        self.add("user id", user.uuid.as_bytes());
        self.add("user id in words", user.uuid.to_string());
        self.add("client id", person.credential.payload.client.client.as_bytes());
        self.add("password", password(name));
        self.add("signing key", person.key.secret());
        self.add("credential", person.credential.encode());
        for passed in person.tap.passed() {
            let endpoint = passed.outgoing.name;
            if let Some(token) = &passed.outgoing.call.token {
                self.add("token", token.nonce);
            }
            if let Some(frame) = &passed.outgoing.call.auth {
                self.add("frame nonce", frame.nonce);
                self.add("sender", frame.sender.encode());
            }
            self.add(&format!("call of {endpoint}"), passed.outgoing.call.encode());
            match passed.answer {
                Ok(answer) => self.add(&format!("answer of {endpoint}"), answer),
                Err(error) => self.add(&format!("error of {endpoint}"), error.encode()),
            }
        }
    }

    /// All keys and values that homeservers hold.
    fn stored(&mut self, stores: &BTreeMap<&str, MemoryStore>) {
        for (partition, found) in stores.values().flat_map(MemoryStore::dump) {
            let space = partition.space();
            self.add(&format!("key of {space:?}"), partition.key());
            for (row, value) in found.rows {
                self.add(&format!("row of {space:?}"), row);
                self.add(&format!("value of {space:?}"), value);
            }
        }
        self.all.retain(|(_, bytes)| bytes.len() >= SHORTEST);
    }

    /// The same search finds each of them where it is logged, in one form after the other.
    fn are_found_where_they_are_logged(&self) {
        for (number, (kind, bytes)) in self.all.iter().enumerate() {
            let (_, log) = captured(|| match number % 3 {
                0 => tracing::trace!(leak = ?bytes, "on purpose"),
                1 => tracing::error!("{}", hex(bytes)),
                _ => log::debug!("{}", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes)),
            });
            let is_telling = bytes.len() <= 32 || bytes.windows(16).any(is_random);
            assert_eq!(Searched::new(&log).shows(bytes), is_telling, "{kind}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What each crate logged.
fn by_target(log: &[Logged]) -> BTreeMap<&str, Vec<&Logged>> {
    let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for logged in log {
        lines.entry(logged.target.split(':').next().unwrap()).or_default().push(logged);
    }
    lines
}

/// Crates whose finest levels show what they are given: an operator's log takes nothing of them (docs/operations).
const BARRED: [&str; 1] = ["openmls"];
const ALIAS: &str = "a name by which nobody else is found";
const TEXT: &str = "a text that only two people in the world may read";
const PROFILE: &str = "what a person says of herself to those she knows";
const NEW_PROFILE: &str = "what she says of herself today, and not yesterday";
const NEW_PASSWORD: &str = "a password that is newer than the other";
const OPERATOR: [u8; 32] = *b"the key of the operator, in full";
const PATIENCE: usize = 10;
/// Bytes that a canary has at least: fewer are no secret, and occur by chance.
const SHORTEST: usize = 12;
