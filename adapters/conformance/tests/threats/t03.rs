//! T3, registrations by the hundred: what an account costs, and how little each brings.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use phoenix_client::{Client, ClientError, ClientPorts, Settings, Stretch};
use phoenix_conformance::world::pause;
use phoenix_core::{
    ErrorCode, Timestamp,
    api::auth::InvitationCode,
    port::{
        Batch, Commit, PartitionKey, Place, Policy, Question, Snapshot, Space, Store, StoreError, Verdict,
    },
    store::MemoryStore,
    time::DAY,
    token::Class,
    wire::Secret,
};
use phoenix_homeserver::auth::{self, RegistrationPolicy};

use crate::site::{Site, fqdn, password};

#[test]
fn t03_an_account_buys_no_more_than_its_allowance_of_what_only_locals_get() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 3);
    let mut bought = Vec::new();
    for name in ["sybil", "another sybil"] {
        let sybil = site.register(name, "alpha.test");
        let got = site.run(async move {
            let (home, away) = ("alpha.test".parse().unwrap(), "beta.test".parse().unwrap());
            let mut got = Vec::new();
            for (domain, class) in
                [(&home, Class::Home), (&home, Class::Alias), (&away, Class::Home), (&away, Class::Alias)]
            {
                let mut count = sybil.client.tokens_left(domain, class).await;
                let stopped = loop {
                    let before = sybil.client.tokens_left(domain, class).await;
                    match sybil.client.fetch_tokens(domain, class).await {
                        Ok(()) => count += sybil.client.tokens_left(domain, class).await - before,
                        Err(error) => break error.code(),
                    }
                };
                got.push((count, stopped));
            }
            got
        });
        bought.push(got);
    }
    println!("Home and Alias tokens at home, and of another homeserver: {bought:?}");
    for got in bought {
        let [home, alias, home_away, alias_away] = got.try_into().unwrap();
        // A client has spent one on its queue before.
        assert!((HOME - 4..=HOME).contains(&home.0) && home.1 == Some(ErrorCode::RateLimited), "{home:?}");
        assert_eq!(alias, (ALIAS, Some(ErrorCode::RateLimited)));
        assert_eq!((home_away.0, alias_away.0), (0, 0), "what only locals may do stays with locals");
    }
}

#[test]
fn t03_a_code_that_32_sybils_bring_at_once_lets_one_in() {
    let mut site = Site::with(&["alpha.test"], 31, |_, builder| {
        builder.store(Jostling(MemoryStore::new())).auth_settings(demanding(RegistrationPolicy::invitation()))
    });
    let (home, ports) = (site.home("alpha.test"), site.ports());
    let outcomes = site.run(async move {
        let code = home.admin().invite(DAY).await.unwrap().code;
        let sybil = Settings { invitation: Some(code), ..sybil() };
        join_all((0..SYBILS).map(|_| coming(sybil.clone(), &ports))).await
    });

    let inside = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    println!("of {SYBILS} with one code {inside} got in");
    assert_eq!(inside, 1);
    let codes = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    assert!(codes.clone().all(|code| *code == Some(ErrorCode::Forbidden)), "{:?}", codes.collect::<Vec<_>>());
}

#[test]
fn t03_who_guesses_codes_gets_no_further_than_who_has_none() {
    let mut site = Site::with(&["alpha.test"], 32, |_, builder| {
        let settings = demanding(RegistrationPolicy::invitation());
        builder.store(MemoryStore::new()).auth_settings(settings)
    });
    let (home, ports) = (site.home("alpha.test"), site.ports());
    let (outcomes, invited) = site.run(async move {
        let code = home.admin().invite(DAY).await.unwrap().code;
        let mut outcomes = Vec::new();
        for guess in guesses(&code) {
            let sybil = Settings { invitation: Some(guess), ..sybil() };
            outcomes.push(coming(sybil, &ports).await);
        }
        (outcomes, coming(Settings { invitation: Some(code), ..sybil() }, &ports).await)
    });

    println!("{} guesses, of which none got in", outcomes.len());
    assert!(outcomes.iter().all(|outcome| *outcome == Err(Some(ErrorCode::Forbidden))), "{outcomes:?}");
    assert_eq!(invited, Ok(()), "whose code was guessed at still gets in");
}

#[test]
fn t03_while_the_operators_judge_is_silent_only_the_invited_get_in() {
    let judge = Judge::default();
    let mut site = Site::with(&["alpha.test"], 33, |_, builder| {
        let policy = RegistrationPolicy::external().or(RegistrationPolicy::invitation());
        builder.store(MemoryStore::new()).auth_settings(demanding(policy)).policy(judge.clone())
    });
    let (home, ports) = (site.home("alpha.test"), site.ports());
    let (silent, invited, unproven, proven) = site.run(async move {
        let shows = |proof: &'static [u8]| Settings { external: Some(Bytes::from_static(proof)), ..sybil() };
        judge.is_silent.store(true, Ordering::Relaxed);
        let silent = join_all((0..SYBILS).map(|_| coming(shows(GOOD), &ports))).await;
        let code = home.admin().invite(DAY).await.unwrap().code;
        let invited = coming(Settings { invitation: Some(code), ..sybil() }, &ports).await;
        judge.is_silent.store(false, Ordering::Relaxed);
        (silent, invited, coming(shows(b"made up"), &ports).await, coming(shows(GOOD), &ports).await)
    });

    println!("{} came while the judge was silent, and none got in", silent.len());
    assert!(silent.iter().all(|outcome| *outcome == Err(Some(ErrorCode::RateLimited))), "{silent:?}");
    assert_eq!(unproven, Err(Some(ErrorCode::Forbidden)));
    assert_eq!([invited, proven], [Ok(()), Ok(())]);
}

/// Registers, or is told why not.
async fn coming(settings: Settings, ports: &ClientPorts) -> Result<(), Option<ErrorCode>> {
    let outcome: Result<Client, ClientError> = Client::register(settings, ports.clone()).await;
    outcome.map(drop).map_err(|error| error.code())
}

/// A user without a past.
fn sybil() -> Settings {
    Settings { stretch: Stretch::least(), ..Settings::new(fqdn("alpha.test"), password("sybil")) }
}

fn demanding(policy: RegistrationPolicy) -> auth::Settings {
    let mut settings = auth::Settings::default();
    settings.registration.policy = policy;
    settings
}

/// Codes that are one bit off a good one, and then any.
fn guesses(code: &InvitationCode) -> Vec<InvitationCode> {
    let near = (0..128).map(|bit: usize| {
        let mut guess = *code.0.expose();
        guess[bit / 8] ^= 1 << (bit % 8);
        guess
    });
    let any = (0..=255).map(|byte| [byte; 16]);
    near.chain(any).map(|guess| InvitationCode(Secret::new(guess))).collect()
}

/// What an operator has judge registrations: it knows one proof, and may be out of reach.
#[derive(Clone, Default)]
struct Judge {
    is_silent: Arc<AtomicBool>,
}

#[async_trait]
impl Policy for Judge {
    async fn judge(&self, question: &Question) -> Verdict {
        match question.subject.as_deref() {
            None => Verdict::Allow,
            Some(_) if self.is_silent.load(Ordering::Relaxed) => Verdict::Later(60),
            Some(GOOD) => Verdict::Allow,
            Some(_) => Verdict::Forbid,
        }
    }
}

/// A store that lets all others go first each time, so that calls come between each other.
struct Jostling(MemoryStore);

#[async_trait]
impl Store for Jostling {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        pause().await;
        let found = self.0.read(places).await;
        pause().await;
        found
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        pause().await;
        let outcome = self.0.commit(batch).await;
        pause().await;
        outcome
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.0.due(space, now, limit).await
    }
}

const SYBILS: usize = 32;
/// What the judge lets in.
const GOOD: &[u8] = b"what a human answered";
/// Home tokens of a client in a day (05).
const HOME: usize = 100;
/// Alias tokens of a client in 30 days (05).
const ALIAS: usize = 5;
