#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use openmls::prelude::{
    Extension, ExtensionType, Extensions, GroupContext, RequiredCapabilitiesExtension, UnknownExtension,
};
use phoenix_core::{
    Failure, Pseudonym, Reject,
    api::{
        delivery::{Accepted, DsPublicKeys},
        mls::{CONNECTION_EXTENSION, Connection, ROLES_EXTENSION, Roles},
    },
    crypto::Suite,
    wire::{List, Wire},
};

use super::ChangeRoles;
use crate::{
    AddUsers, RemoveUsers, UpdateClient,
    testing::{Member, World, calendar, rejected},
};

fn group<const N: usize>(world: &World, suite: Suite) -> [Member; N] {
    let mut members = std::array::from_fn(|_| Member::with(world, "alpha.test", suite));
    let (first, others) = members.split_first_mut().unwrap();
    first.create(world, None).unwrap();
    first.add(world, &mut others.iter_mut().collect::<Vec<_>>()).unwrap();
    members
}

fn change(
    world: &World,
    member: &mut Member,
    context: Extensions<GroupContext>,
) -> Result<Accepted, Failure> {
    let request = member.changing(context);
    let accepted = world.call::<ChangeRoles>(&request, Some(member.leaf()))?;
    member.merge();
    Ok(accepted)
}

/// The same, at the endpoint that is open to all.
fn update(
    world: &World,
    member: &mut Member,
    context: Extensions<GroupContext>,
) -> Result<Accepted, Failure> {
    let request = member.changing(context);
    let accepted = world.call::<UpdateClient>(&request, Some(member.leaf()))?;
    member.merge();
    Ok(accepted)
}

fn listed(member: &Member, admins: Vec<Pseudonym>) -> Extensions<GroupContext> {
    let roles = Roles { admins: List::new(admins).unwrap() };
    member.context_with(Extension::Unknown(ROLES_EXTENSION, UnknownExtension(roles.encode().to_vec())))
}

/// A group of three whose only admin, the first, has left; the others have followed.
fn orphaned(world: &World) -> [Member; 2] {
    let [mut a, mut b, mut c] = group(world, Suite::Ed25519);
    let proposal = a.leaving();
    a.self_remove(world, proposal).unwrap();
    let arrived = world.delivered();
    for it in [&mut b, &mut c] {
        it.follow(&arrived);
    }
    // Who takes the last admin along did not choose, and need not say who follows.
    b.update(world).unwrap();
    c.follow(&world.delivered());
    [b, c]
}

#[test]
fn an_admin_makes_another_and_steps_down_in_both_suites() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let world = World::new();
        let [mut a, mut b, mut c] = group(&world, suite);

        let both = a.roles(&[&a, &b]);
        assert_eq!(change(&world, &mut a, both).unwrap().epoch.0, 2);
        let arrived = world.delivered();
        for it in [&mut b, &mut c] {
            it.follow(&arrived);
        }
        let other = a.roles(&[&b]);
        change(&world, &mut a, other).unwrap();
        let arrived = world.delivered();
        for it in [&mut b, &mut c] {
            it.follow(&arrived);
        }

        let back = a.roles(&[&a]);
        assert_eq!(rejected(change(&world, &mut a, back)), Reject::Forbidden);
        let commit = b.commit(Vec::new(), &[c.index()], 0);
        assert!(world.call::<RemoveUsers>(&commit.request, Some(b.leaf())).is_ok());
    }
}

#[test]
fn plain_members_change_nothing_of_the_context_anywhere() {
    let world = World::new();
    let [_, mut b] = group(&world, Suite::Ed25519);
    let own = b.roles(&[&b]);

    assert_eq!(rejected(change(&world, &mut b, own.clone())), Reject::Forbidden);
    assert_eq!(rejected(update(&world, &mut b, own)), Reject::Malformed("proposal"));
    let published = world.engine.ring().service.public(world.now());
    let senders = b.senders(&published);
    assert_eq!(rejected(update(&world, &mut b, senders)), Reject::Malformed("proposal"));
}

#[test]
fn a_group_of_several_keeps_an_admin_and_lists_members_once() {
    let world = World::new();
    let [mut a, b] = group(&world, Suite::Ed25519);
    let [own, other] = [a.credential.pseudonym, b.credential.pseudonym];
    let stranger = Pseudonym([9; 16]);

    for list in [vec![], vec![stranger], vec![own, stranger], vec![own, own], vec![other, own, other]] {
        let context = listed(&a, list);
        assert_eq!(rejected(change(&world, &mut a, context)), Reject::Malformed("roles"));
    }
    let context = listed(&a, vec![other, own]);
    assert!(change(&world, &mut a, context).is_ok());
}

#[test]
fn who_is_alone_may_do_without_an_admin_and_acts_as_one() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let nobody = listed(&a, vec![]);
    change(&world, &mut a, nobody).unwrap();

    // Who adds the second makes it a group of several, and must say who is admin.
    let silent = a.adding(&world, &mut [&mut b]);
    assert_eq!(rejected(world.call::<AddUsers>(&silent, Some(a.leaf()))), Reject::Malformed("roles"));
    let own = a.roles(&[&a]);
    change(&world, &mut a, own).unwrap();
    assert!(a.add(&world, &mut [&mut b]).is_ok());
}

#[test]
fn nothing_else_of_the_context_changes() {
    let world = World::new();
    let [mut a, b] = group(&world, Suite::Ed25519);
    let refused = Reject::Malformed("proposal");

    let same = a.roles(&[&a]);
    assert_eq!(rejected(change(&world, &mut a, same)), refused);
    let offer = Connection { join_code_hash: [1; 32], expires: u64::MAX };
    let offer = UnknownExtension(offer.encode().to_vec());
    // Clients that list an extension take it, whether it is required or not.
    let required = [ROLES_EXTENSION, CONNECTION_EXTENSION].map(ExtensionType::Unknown);
    let credentials = [openmls::prelude::CredentialType::Other(phoenix_core::api::mls::LEAF_CREDENTIAL)];
    let required = RequiredCapabilitiesExtension::new(&required, &[], &credentials);
    let mut opened = a.roles(&[&a, &b]);
    opened.add_or_replace(Extension::RequiredCapabilities(required.clone())).unwrap();
    assert_eq!(rejected(change(&world, &mut a, opened.clone())), refused);
    opened.add(Extension::Unknown(CONNECTION_EXTENSION, offer)).unwrap();
    assert_eq!(rejected(change(&world, &mut a, opened)), refused);
    let mut fewer = a.roles(&[&a, &b]);
    fewer.remove(ExtensionType::ExternalSenders);
    assert_eq!(rejected(change(&world, &mut a, fewer)), refused);
}

#[test]
fn an_endpoint_takes_what_it_is_for() {
    let world = World::new();
    let [mut a, b] = group(&world, Suite::Ed25519);
    let update = a.commit(Vec::new(), &[], 0).request;
    let outcome = world.call::<ChangeRoles>(&update, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("proposals"));

    let context = a.roles(&[&b]);
    let both = a.commit_by(0, |it| {
        it.propose_group_context_extensions(context)
            .unwrap()
            .propose_removals([openmls::prelude::LeafNodeIndex::new(b.index())])
    });
    let outcome = world.call::<ChangeRoles>(&both.request, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("proposal"));
    let outcome = world.call::<RemoveUsers>(&both.request, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("proposal"));
}

#[test]
fn external_senders_are_all_published_keys_of_the_suite_and_perhaps_of_the_other_each_once_and_no_others() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let old = world.engine.ring().service.public(world.now());
    calendar::busy(&world, &mut [&mut a], 336);
    let published = world.engine.ring().service.public(world.now());
    assert_eq!([old.verifying.len(), published.verifying.len()], [2, 4]);
    let keys = published.verifying.to_vec();
    let set = |keys: Vec<_>| DsPublicKeys { verifying: List::new(keys).unwrap() };
    let foreign = World::with_other_keys().engine.ring().service.public(world.now()).verifying.to_vec();

    let twice = [&keys[..], &keys[..1]].concat();
    let stranger = [&keys[..], &foreign[..1]].concat();
    let swapped = [&keys[..3], &foreign[..1]].concat();
    let repeated = [&keys[..3], &keys[..1]].concat();
    let of_suite: Vec<_> = keys.iter().filter(|it| it.key.suite == Suite::Ed25519).cloned().collect();
    let last_only = of_suite[..1].to_vec();
    for wrong in [last_only, twice, stranger, swapped, repeated] {
        let context = a.senders(&set(wrong));
        assert_eq!(rejected(change(&world, &mut a, context)), Reject::Malformed("external senders"));
    }
    let mut turned = keys.clone();
    turned.reverse();
    // What the reference client lists, and what others may.
    for right in [of_suite, keys, turned] {
        let context = a.senders(&set(right));
        assert!(change(&world, &mut a, context).is_ok());
    }
}

#[test]
fn where_the_last_admin_left_the_lowest_leaf_acts_and_the_next_commit_writes_it_down() {
    let world = World::new();
    let [mut b, mut c] = orphaned(&world);
    let refused = Reject::Malformed("roles");

    assert_eq!(rejected(c.update(&world)), refused, "silent");
    let wrong = c.roles(&[&c]);
    assert_eq!(rejected(update(&world, &mut c, wrong)), refused, "another than who acts");
    let both = c.roles(&[&b, &c]);
    assert_eq!(rejected(update(&world, &mut c, both.clone())), refused, "more than who acts");
    assert_eq!(rejected(change(&world, &mut c, both)), Reject::Forbidden, "by who does not act");
    let right = c.roles(&[&b]);
    update(&world, &mut c, right.clone()).unwrap();
    b.follow(&world.delivered());

    assert_eq!(rejected(update(&world, &mut c, right)), Reject::Malformed("proposal"), "said already");
    let both = b.roles(&[&b, &c]);
    assert!(change(&world, &mut b, both).is_ok());
}

#[test]
fn who_acts_as_admin_may_choose_others_and_removes_nobody_in_silence() {
    let world = World::new();
    let [mut b, c] = orphaned(&world);
    let mut d = Member::new(&world, "alpha.test");

    let silent = b.adding(&world, &mut [&mut d]);
    let outcome = world.call::<AddUsers>(&silent, Some(b.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("roles"));
    let chosen = b.roles(&[&c]);
    assert!(change(&world, &mut b, chosen).is_ok());
    let commit = b.commit(Vec::new(), &[c.index()], 0);
    let outcome = world.call::<RemoveUsers>(&commit.request, Some(b.leaf()));
    assert_eq!(rejected(outcome), Reject::Forbidden);
}

#[test]
fn who_takes_the_last_admin_along_may_write_the_next_one_down_at_once() {
    let world = World::new();
    let [mut a, mut b, mut c] = group(&world, Suite::Ed25519);
    let proposal = a.leaving();
    a.self_remove(&world, proposal).unwrap();
    let arrived = world.delivered();
    for it in [&mut b, &mut c] {
        it.follow(&arrived);
    }

    // The leaver is no successor.
    let leaver = c.roles(&[&a]);
    assert!(update(&world, &mut c, leaver).is_err());
    let next = c.roles(&[&b]);
    update(&world, &mut c, next).unwrap();
    b.follow(&world.delivered());

    let commit = b.commit(Vec::new(), &[c.index()], 0);
    assert!(world.call::<RemoveUsers>(&commit.request, Some(b.leaf())).is_ok());
}
