//! What homeservers tell each other of deleted users (08, "User lifecycle").

use std::collections::BTreeSet;

use futures::executor::block_on;
use phoenix_core::{
    Reject,
    api::{
        Empty,
        auth::{DeleteUserRequest, UserEvent, UserNoticeRequest},
    },
    crypto::{SigningKey, Suite},
    operation::Fare,
    port::Space,
    time::{DAY, HOUR, MINUTE},
    token::Class,
    wire::{Flag, List, Wire},
};

use super::world::{By, TestClient, World, domain, refusal};
use crate::{
    kinds::NOTICES,
    op::{self, NotifyRequest, Outstanding, Settled},
};

#[test]
fn t26_remains_of_a_deleted_user_go_when_its_own_homeserver_says_so() {
    let world = World::new();
    let (gone, other) = (world.stranger(1), world.stranger(2));
    let empty = world.remains();
    world.come(&other, 1);
    let others = world.remains();
    world.come(&gone, 2);
    let all = world.remains();
    assert!(empty.is_empty() && all.is_superset(&others));
    assert_eq!(all.difference(&others).count(), 5, "two counts, what leads to them, and an account");

    assert_eq!(world.notice(&gone, 2), Ok(Empty {}));

    assert_eq!(world.looked(&gone.id.user), Ok(Flag::No));
    world.pass(12 * MINUTE);
    assert_eq!(world.remains(), others, "of nobody else");
    // Repeats change nothing, nor does what is said of someone of whom nothing is kept.
    assert_eq!((world.notice(&gone, 2), world.notice(&world.stranger(3), 2)), (Ok(Empty {}), Ok(Empty {})));
    world.pass(12 * MINUTE);
    assert_eq!(world.remains(), others);
}

#[test]
fn t26_remains_of_a_deleted_user_go_by_themselves_where_the_notice_is_lost() {
    let world = World::new();
    let gone = world.stranger(1);
    world.come(&gone, 1);

    // An alarm of more than a day ahead is put off to the end of a day, and by a jitter of one.
    world.pass(4 * DAY);
    assert_eq!(world.remains().len(), 1, "what was issued is forgotten after its day");
    world.pass(122 * DAY);

    assert!(world.remains().is_empty());
}

#[test]
fn t26_a_forged_notice_changes_nothing() {
    let world = World::new();
    let (gone, local) = (world.stranger(1), world.register(5));
    world.come(&gone, 1);
    let before = world.remains();
    let other = SigningKey::generate(Suite::Ed25519, &mut world.chance());
    let own = world.neighbours_key();
    let ask = |client: &TestClient, by| world.ask::<op::UserNotice>(notice(client, 1), by);

    // Another homeserver's word, a key that is not the AS's, the user's own, and nobody's.
    for (by, reject) in [
        (By::Homeserver("gamma.test", own), Reject::Forbidden),
        (By::Homeserver("beta.test", &other), Reject::Unauthenticated),
        (By::Client(&gone), Reject::Unauthenticated),
        (By::Nobody, Reject::Unauthenticated),
    ] {
        assert_eq!(ask(&gone, by), Err(reject));
    }
    // A user of this homeserver, by its own name and by another's.
    assert_eq!(ask(&local, By::Homeserver("beta.test", own)), Err(Reject::Forbidden));
    assert_eq!(ask(&local, By::Homeserver("alpha.test", own)), Err(Reject::Forbidden));
    assert_eq!(world.remains(), before);

    // A notice that was carried out once is none when it is played again.
    let call = world.call::<op::UserNotice>(&notice(&gone, 1), By::Homeserver("beta.test", own), None);
    assert_eq!(world.send::<op::UserNotice>(call.clone()), Ok(Empty {}));
    for class in [Class::Standard, Class::Contact] {
        world.issue(&gone, class, 1).unwrap();
    }
    let again = world.remains();
    assert_eq!(world.send::<op::UserNotice>(call), Err(Reject::Unauthenticated));
    assert_eq!(world.remains(), again);
}

#[test]
fn t27_a_token_of_a_deleted_user_is_worth_nothing_from_the_notice_on_also_at_another_replica() {
    // given a user with an account, and one without, whose homeserver's list of revocations nobody fetches
    let world = World::new();
    let (known, unknown, other) = (world.stranger(1), world.stranger(2), world.stranger(3));
    world.visit(&known.id.user, 1).unwrap();

    // when their homeserver says that they are gone
    for gone in [&known, &unknown] {
        world.notice(gone, 1).unwrap();
    }

    // then whoever has a token of theirs left is refused for as long as it may last, and nobody else is
    world.pass_unswept(10 * MINUTE);
    let replica = world.replica();
    for (gone, proof) in [(&known, 2), (&unknown, 3)] {
        assert_eq!(world.visit(&gone.id.user, proof), Err(Reject::NotFound));
        assert_eq!(world.visit_at(&replica, &gone.id.user, proof + 5), Err(Reject::NotFound));
        assert_eq!(world.looked(&gone.id.user), Ok(Flag::No));
    }
    assert_eq!(world.visit(&other.id.user, 4), Ok(Flag::No));

    // and later it is forgotten, whether or not it was swept
    world.pass_unswept(2 * MINUTE);
    assert_eq!(world.visit(&known.id.user, 20), Ok(Flag::No));
    assert_eq!(world.visit(&known.id.user, 21), Ok(Flag::Yes));
}

#[test]
fn a_notice_with_a_newer_serial_makes_what_is_known_of_its_homeserver_old() {
    let world = World::new();
    let (gone, other) = (world.stranger(1), world.stranger(2));
    world.come(&gone, 1);
    world.revoke(&gone);
    let fetches = world.fetches();
    assert!(world.issue(&gone, Class::Contact, 2).is_ok(), "not heard of yet");

    world.notice(&other, 1).unwrap();
    assert!(world.issue(&gone, Class::Contact, 3).is_ok(), "nothing newer was said");
    world.notice(&gone, 2).unwrap();
    world.pass_unswept(MINUTE);

    assert_eq!(world.issue(&gone, Class::Contact, 4), Err(Reject::Unauthenticated));
    assert_eq!(world.fetches(), fetches + 1);

    // and whoever says so again and again has it asked once a minute
    for serial in 3..6 {
        world.notice(&other, serial).unwrap();
        assert_eq!(world.issue(&gone, Class::Contact, 5), Err(Reject::Unauthenticated));
    }
    assert_eq!(world.fetches(), fetches + 1);
}

#[test]
fn who_deletes_a_user_tells_each_homeserver_until_it_has_heard_it_or_a_week_is_over() {
    // given a user who names homeservers, its own and one twice among them
    let world = World::new();
    let client = world.register(1);
    let domains = ["gamma.test", "alpha.test", "beta.test", "gamma.test"].map(domain).to_vec();
    let request = DeleteUserRequest { factor: world.factor(&client), domains: List::new(domains).unwrap() };

    // when it is deleted
    world.ask::<op::DeleteUser>(request, By::Client(&client)).unwrap();

    // then each is to be told once, and nobody can read whom
    let mailbox = world.mailbox().unwrap();
    assert!(!world.holds(b"gamma.test") && !world.holds(client.id.user.uuid.as_bytes()));
    let sent = world.notify(mailbox, &[]);
    let named: Vec<_> = sent.iter().map(|it| it.to.to_string()).collect();
    assert_eq!(named, ["beta.test", "gamma.test"]);
    let said = UserNoticeRequest::decode(&sent[0].call.body).unwrap();
    assert_eq!((said.user, said.event, said.serial), (client.id.user.clone(), UserEvent::Deleted, 2));
    assert!(world.notify(mailbox, &[]).is_empty(), "they are under way");
    // one has heard it, and the other is told again
    let [beta, gamma] = [sent[0].row, sent[1].row];
    world.notify(mailbox, &[(beta, Flag::Yes), (gamma, Flag::No)]);
    let mut tries = 0;
    for _ in 0..(8 * 24) {
        world.pass_unswept(HOUR);
        for again in world.notify(mailbox, &[]) {
            assert_eq!(again.row, gamma);
            world.notify(mailbox, &[(gamma, Flag::No)]);
            tries += 1;
        }
    }
    assert!(tries > 100, "{tries}");
    assert_eq!(world.mailbox(), None, "nothing is left of it");
}

#[test]
fn a_notice_is_sent_again_where_nobody_heard_what_came_of_it() {
    let world = World::new();
    let client = world.register(1);
    let domains = List::new(vec![domain("beta.test")]).unwrap();
    let request = DeleteUserRequest { factor: world.factor(&client), domains };
    world.ask::<op::DeleteUser>(request, By::Client(&client)).unwrap();
    let mailbox = world.mailbox().unwrap();
    assert_eq!(world.notify(mailbox, &[]).len(), 1);

    world.pass_unswept(61);

    assert_eq!(world.notify(mailbox, &[]).len(), 1);
}

impl World {
    /// Takes tokens of both classes that strangers get, and visits.
    fn come(&self, stranger: &TestClient, number: u8) {
        for class in [Class::Standard, Class::Contact] {
            self.issue(stranger, class, 1).unwrap();
        }
        self.visit(&stranger.id.user, number).unwrap();
    }

    fn issue(&self, client: &TestClient, class: Class, tokens: usize) -> Result<(), Reject> {
        let request = self.blinding(class, tokens).request(class).unwrap();
        self.ask::<op::IssueTokens>(request, By::Client(client)).map(drop)
    }

    fn notice(&self, of: &TestClient, serial: u64) -> Result<Empty, Reject> {
        let by = By::Homeserver("beta.test", self.neighbours_key());
        self.ask::<op::UserNotice>(notice(of, serial), by)
    }

    /// What is kept of clients of other homeservers, but for counts of all.
    fn remains(&self) -> BTreeSet<Vec<u8>> {
        let kept = self.store.dump();
        let of_users = kept
            .iter()
            .filter(|(key, _)| key.space() == Space::As && matches!(key.key().first(), Some(9 | 40 | 43)));
        of_users.map(|(key, _)| key.key().to_vec()).collect()
    }

    /// The notices that wait.
    fn mailbox(&self) -> Option<[u8; 32]> {
        let kept = self.store.dump();
        let mut keys = kept.iter().filter(|(key, _)| key.space() == Space::As).map(|(key, _)| key.key());
        let key = keys.find(|key| key.first() == Some(&NOTICES))?;
        key[1..].try_into().ok()
    }

    fn notify(&self, mailbox: [u8; 32], settled: &[(u8, Flag)]) -> Vec<Outstanding> {
        let settled = settled.iter().map(|(row, is_done)| Settled { row: *row, is_done: *is_done }).collect();
        let request = NotifyRequest { mailbox, settled: List::new(settled).unwrap() };
        let reply = block_on(self.engine.internal::<op::Notify>(request, Fare::Free)).map_err(refusal);
        reply.unwrap().into_iter().collect()
    }
}

fn notice(of: &TestClient, serial: u64) -> UserNoticeRequest {
    UserNoticeRequest { user: of.id.user.clone(), event: UserEvent::Deleted, serial }
}
