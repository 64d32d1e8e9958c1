//! Admins who write into a group what no list may say, with a DS that lets them (07, "Roles"; decision 45).

use openmls::prelude::{
    Extension, ExtensionType, Extensions, ExternalSender, GroupContext, UnknownExtension,
};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    GroupId, Pseudonym,
    api::{
        delivery::{CommitAad, ContentKind, Mls},
        mls::{ROLES_EXTENSION, Roles},
    },
    port::Clock,
    wire::{List, Wire},
};

use super::{
    between::invent,
    malicious_members::assert_caught,
    scene::{Scene, drain, health, pass, scene},
    support::{World, play},
};
use crate::{
    Client, Event,
    group::Health,
    mls::{encoding, mls_signer},
};

/// The admins that one writes down, of the group's two members and a stranger.
type Admins = fn([Pseudonym; 2], Pseudonym) -> Vec<Pseudonym>;
/// The external senders that one makes of those listed.
type Senders = fn(Vec<ExternalSender>) -> Option<Vec<ExternalSender>>;

#[test]
fn t14_an_admin_that_lists_nobody_a_stranger_or_somebody_twice_is_found_out() {
    let stranger = Pseudonym([9; 16]);
    let lists: [Admins; 4] = [
        |_, _| vec![],
        |_, stranger| vec![stranger],
        |[own, _], stranger| vec![own, stranger],
        |[own, other], _| vec![own, other, own],
    ];
    for list in lists {
        play(&["alpha.test"], async |world| {
            let scene = scene(&world).await;
            let list = list(names(&scene).await, stranger);
            let changed = changed(&scene.a, &scene.group, roles(list)).await;
            let made = committed(&scene.a, &scene.group, Some(changed)).await;

            assert_caught(&world, &scene, &scene.a, made).await;
        });
    }
}

#[test]
fn t14_an_admin_that_takes_the_ds_out_of_the_external_senders_is_found_out() {
    let lists: [Senders; 3] = [
        |_| None,
        |_| Some(Vec::new()),
        |listed| Some([listed.as_slice(), listed.get(..1).unwrap_or_default()].concat()),
    ];
    for list in lists {
        play(&["alpha.test"], async |world| {
            let scene = scene(&world).await;
            let listed = senders(&scene.a, &scene.group).await;
            let changed = match list(listed) {
                Some(senders) => changed(&scene.a, &scene.group, Extension::ExternalSenders(senders)).await,
                None => without_senders(&scene.a, &scene.group).await,
            };
            let made = committed(&scene.a, &scene.group, Some(changed)).await;

            assert_caught(&world, &scene, &scene.a, made).await;
        });
    }
}

#[test]
fn what_the_ds_takes_of_an_admin_its_members_take_too() {
    play(&["alpha.test"], async |world| {
        let scene = scene(&world).await;
        let [own, other] = names(&scene).await;
        let both = changed(&scene.a, &scene.group, roles(vec![other, own])).await;
        let made = committed(&scene.a, &scene.group, Some(both)).await;

        assert_taken(&world, &scene, &scene.a, made).await;
    });
    play(&["alpha.test"], async |world| {
        let scene = scene(&world).await;
        let mut listed = senders(&scene.a, &scene.group).await;
        assert!(listed.len() > 1, "keys of both suites");
        listed.reverse();
        let turned = changed(&scene.a, &scene.group, Extension::ExternalSenders(listed)).await;
        let made = committed(&scene.a, &scene.group, Some(turned)).await;

        assert_taken(&world, &scene, &scene.a, made).await;
    });
}

#[test]
fn t14_who_says_nothing_of_admins_in_a_group_that_has_none_is_found_out() {
    for is_silent in [true, false] {
        play(&["alpha.test"], async |world| {
            let mut scene = scene(&world).await;
            orphan(&world, &mut scene).await;
            let [_, other] = names(&scene).await;
            let said = match is_silent {
                true => None,
                false => Some(changed(&scene.c, &scene.group, roles(vec![other])).await),
            };
            let made = committed(&scene.c, &scene.group, said).await;

            match is_silent {
                true => assert_caught(&world, &scene, &scene.c, made).await,
                false => assert_taken(&world, &scene, &scene.c, made).await,
            }
        });
    }
}

/// Alice leaves, and an external commit of Carol's takes her along: it cannot say who follows.
async fn orphan(world: &World, scene: &mut Scene) {
    let Scene { a, b, c, group, between, queue } = scene;
    a.leave(group).await.expect("left");
    {
        let mut session = c.lock().await;
        // As if it had missed a commit: else it would see that nothing has happened.
        session.group_mut(group).expect("a group").reached -= 1;
        session.lose(group).expect("a group");
        session.mend(group).await.expect("came back");
    }
    pass(world, b, between, queue, 2).await;
    drain(b).await;
    assert_eq!(b.epoch(group).await, c.epoch(group).await);
    let members = b.members(group).await.expect("members");
    assert_eq!(members.len(), 2);
}

/// Bob is given a commit, and goes on from there.
async fn assert_taken(world: &World, scene: &Scene, committer: &Client, commit: Mls) {
    let Scene { b, group, between, .. } = scene;
    let before = b.epoch(group).await.expect("a group");
    let leaf = b.lock().await.leaves_of(group, &[committer.user().clone()]).expect("a group")[0];
    let made = invent(b, group, (ContentKind::Commit, leaf), commit.to_vec()).await;
    between.push(&made, world.clock.now());

    let events = drain(b).await;

    assert!(!events.iter().any(|event| matches!(event, Event::RoleViolated { .. })), "{events:?}");
    assert_eq!(b.epoch(group).await.expect("a group").0, before.0 + 1);
    assert_eq!(health(b, group).await, Health::Sound);
}

/// The pseudonyms of Alice and Bob.
async fn names(scene: &Scene) -> [Pseudonym; 2] {
    let mut names = Vec::new();
    for client in [&scene.a, &scene.b] {
        let session = client.lock().await;
        names.push(session.group(&scene.group).expect("a group").leaf.credential.pseudonym);
    }
    [names[0], names[1]]
}

fn roles(admins: Vec<Pseudonym>) -> Extension {
    let roles = Roles { admins: List::new(admins).expect("few") };
    Extension::Unknown(ROLES_EXTENSION, UnknownExtension(roles.encode().to_vec()))
}

async fn senders(client: &Client, group: &GroupId) -> Vec<ExternalSender> {
    let mut session = client.lock().await;
    let (mls_group, _) = session.mls(group).expect("a group");
    mls_group.extensions().external_senders().expect("listed").clone()
}

/// A group's extensions with one replaced.
async fn changed(client: &Client, group: &GroupId, new: Extension) -> Extensions<GroupContext> {
    let mut session = client.lock().await;
    let (mls_group, _) = session.mls(group).expect("a group");
    let mut extensions = mls_group.extensions().clone();
    extensions.add_or_replace(new).expect("replaced");
    extensions
}

async fn without_senders(client: &Client, group: &GroupId) -> Extensions<GroupContext> {
    let mut session = client.lock().await;
    let (mls_group, _) = session.mls(group).expect("a group");
    let mut extensions = mls_group.extensions().clone();
    extensions.remove(ExtensionType::ExternalSenders);
    extensions
}

/// A commit that changes a group's extensions, or nothing but its sender's leaf.
async fn committed(client: &Client, group: &GroupId, changed: Option<Extensions<GroupContext>>) -> Mls {
    let mut session = client.lock().await;
    let signer = mls_signer(&session.group(group).expect("a group").leaf.key);
    let (mls_group, provider) = session.mls(group).expect("a group");
    mls_group.set_aad(CommitAad::default().encode().to_vec());
    let mut builder = mls_group.commit_builder().force_self_update(true);
    if let Some(changed) = changed {
        builder = builder.propose_group_context_extensions(changed).expect("proposed");
    }
    let builder = builder.load_psks(provider.storage()).expect("none").create_group_info(true);
    let built = builder.build(provider.rand(), provider.crypto(), &signer, |_| true).expect("built");
    let bundle = built.stage_commit(provider).expect("staged");
    encoding::message(bundle.commit()).expect("encoded")
}
