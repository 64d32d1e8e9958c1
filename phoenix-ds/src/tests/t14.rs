//! T14, a member that acts beyond its role, by commit and by reference.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use openmls::prelude::{
    CredentialType, Extension, ExtensionType, LeafNodeParameters, RequiredCapabilitiesExtension,
    UnknownExtension,
};
use phoenix_core::{
    Pseudonym, Reject,
    api::{
        delivery::{
            CommitRequest, ExternalCommitInfoReply, ExternalCommitInfoRequest, JoinConnectionGroupRequest,
        },
        mls::{CONNECTION_EXTENSION, Connection, LEAF_CREDENTIAL, ROLES_EXTENSION},
    },
    crypto::{Chance, SigningKey, Suite, sha256},
    wire::{List, Opaque, Wire},
};

use super::{group, world};
use crate::{
    AddUsers, ChangeRoles, ExternalCommitInfo, JoinConnectionGroup, RemoveUsers, Resync, UpdateClient,
    testing::{Member, World, rejected},
};

/// What comes of a commit at each endpoint that takes commits with nothing beside them.
fn everywhere(world: &World, member: &Member, request: &CommitRequest) -> [Reject; 4] {
    let signer = || Some(member.leaf());
    [
        rejected(world.call::<RemoveUsers>(request, signer())),
        rejected(world.call::<ChangeRoles>(request, signer())),
        rejected(world.call::<UpdateClient>(request, signer())),
        rejected(world.call::<Resync>(request, signer())),
    ]
}

#[test]
fn t14_a_plain_member_adds_removes_and_promotes_nobody_through_any_endpoint() {
    let world = world();
    let [_, mut b, c] = group(&world);
    let mut d = Member::new(&world, "alpha.test");
    let before = world.group_rows();
    let (forbidden, proposal) = (Reject::Forbidden, Reject::Malformed("proposal"));
    let committer = Reject::Malformed("committer");

    let adding = b.adding(&world, &mut [&mut d]);
    assert_eq!(rejected(world.call::<AddUsers>(&adding, Some(b.leaf()))), forbidden);
    let add = CommitRequest { access: adding.access, commit: adding.commit, group_info: adding.group_info };
    assert_eq!(everywhere(&world, &b, &add), [forbidden, forbidden, proposal, committer]);
    let removal = b.commit(Vec::new(), &[c.index()], 0).request;
    assert_eq!(everywhere(&world, &b, &removal), [forbidden, forbidden, proposal, committer]);
    let all = b.commit(Vec::new(), &[0, c.index()], 0).request;
    assert_eq!(everywhere(&world, &b, &all), [forbidden, forbidden, proposal, committer]);
    let context = b.roles(&[&b]);
    let promotion = b.changing(context);
    assert_eq!(everywhere(&world, &b, &promotion), [forbidden, forbidden, proposal, committer]);
    let published = world.engine.ring().service.public(world.now());
    let context = b.senders(&published);
    let senders = b.changing(context);
    assert_eq!(everywhere(&world, &b, &senders), [forbidden, forbidden, proposal, committer]);
    assert_eq!(world.group_rows(), before);
}

#[test]
fn t14_an_admin_slips_nothing_into_a_commit_that_is_not_of_its_endpoint() {
    let world = world();
    let [mut a, b] = group(&world);
    let (proposal, committer) = (Reject::Malformed("proposal"), Reject::Malformed("committer"));

    let removal = a.commit(Vec::new(), &[b.index()], 0).request;
    let roles = world.call::<ChangeRoles>(&removal, Some(a.leaf()));
    let update = world.call::<UpdateClient>(&removal, Some(a.leaf()));
    assert_eq!([rejected(roles.map(drop)), rejected(update.map(drop))], [proposal; 2]);
    a.propose_psk_by_value();
    let secret = a.commit(Vec::new(), &[], 0).request;
    assert_eq!(everywhere(&world, &a, &secret), [proposal, proposal, proposal, committer]);
}

#[test]
fn t14_by_reference_a_member_does_no_more_than_leave() {
    let world = world();
    let [mut a, mut b, c] = group(&world);
    let before = world.group_rows();
    let refused = Reject::Malformed("proposal");

    // It has no way to a proposal of anything else into the store.
    let removal = b.proposing_removal(c.index());
    assert_eq!(rejected(b.self_remove(&world, removal.clone())), refused);
    let adding = b.proposing_an_add(&world);
    assert_eq!(rejected(b.self_remove(&world, adding)), Reject::TooLarge("proposal"));
    let context = b.roles(&[&b]);
    let promotion = b.proposing_context(context);
    assert_eq!(rejected(b.self_remove(&world, promotion)), refused);
    assert_eq!(world.group_rows(), before);

    // An admin that was sent the proposal some other way cannot commit it by reference: nobody else has it.
    a.hear(&removal);
    let commit = a.commit(Vec::new(), &[], 0).request;
    let outcome = world.call::<UpdateClient>(&commit, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("commit"));
    assert_eq!(world.group_rows(), before);
}

#[test]
fn t14_a_reused_index_inherits_neither_rights_nor_frames_nor_removals() {
    let world = world();
    let [mut a, mut b, mut c] = group(&world);
    let context = a.roles(&[&a, &b]);
    let request = a.changing(context);
    world.call::<ChangeRoles>(&request, Some(a.leaf())).unwrap();
    a.merge();
    b.process(&request.commit);
    c.process(&request.commit);
    // b, an admin, leaves; whoever gets its leaf is none, though the list still names b.
    let proposal = b.leaving();
    b.self_remove(&world, proposal.clone()).unwrap();
    a.hear(&proposal);
    c.hear(&proposal);
    a.update(&world).unwrap();
    let mut d = Member::new(&world, "alpha.test");
    a.add(&world, &mut [&mut d]).unwrap();
    assert_eq!(d.index(), b.index());

    let removal = d.commit(Vec::new(), &[c.index()], 0).request;
    let outcome = world.call::<RemoveUsers>(&removal, Some(d.leaf()));
    assert_eq!(rejected(outcome), Reject::Forbidden);
    b.forget_proposals();
    assert_eq!(rejected(b.send(&world, b"from the leaf that was mine")), Reject::Unauthenticated);
    assert!(d.update(&world).is_ok(), "b's wish to leave was not d's");
    // Nor does anybody come in under the name of the admin that left.
    a.follow(&world.delivered());
    let mut e = Member::new(&world, "alpha.test");
    e.credential.pseudonym = b.credential.pseudonym;
    assert_eq!(rejected(a.add(&world, &mut [&mut e])), Reject::DuplicateKey);
}

#[test]
fn t14_nobody_plants_a_queue_of_another() {
    let world = world();
    let [mut a, mut b] = group(&world);
    let before = world.group_rows();

    let theirs = a.config.clone();
    assert_eq!(rejected(b.update_config(&world, theirs.clone())), Reject::DuplicateKey);
    let mut d = Member::new(&world, "alpha.test");
    d.config = b.config.clone();
    assert_eq!(rejected(a.add(&world, &mut [&mut d])), Reject::DuplicateKey);
    // The queue of a joiner is what its owner put its hash of into the package.
    let mut e = Member::new(&world, "alpha.test");
    let mut adding = a.adding(&world, &mut [&mut e]);
    let mut joiner = adding.joiners[0].clone();
    joiner.config = Member::fresh_config("alpha.test", &mut Chance::from_seed([51; 32]));
    adding.joiners = List::new(vec![joiner]).unwrap();
    let outcome = world.call::<AddUsers>(&adding, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("queue config"));
    assert_eq!(world.group_rows(), before);
}

#[test]
fn t14_an_admin_does_not_add_a_leaf_with_its_own_new_key_to_get_two_queues_mixed_up() {
    let world = world();
    let [mut a, _b] = group(&world);
    let before = world.group_rows();
    let mut twin = Member::new(&world, "alpha.test");
    let package = twin.package(&world);

    let commit = a.commit_with_key_of(&twin, vec![package]);
    let request = Member::adding_by(&world, commit, &[&twin]);

    let outcome = world.call::<AddUsers>(&request, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::DuplicateKey);
    assert_eq!(world.group_rows(), before);
}

#[test]
fn t14_who_takes_a_new_name_adds_nobody_under_it() {
    let world = world();
    let [mut former, mut a, mut d] = group(&world);
    let context = former.roles(&[&a]);
    let request = former.changing(context);
    world.call::<ChangeRoles>(&request, Some(former.leaf())).unwrap();
    former.merge();
    let proposal = former.leaving();
    former.self_remove(&world, proposal).unwrap();
    a.follow(&world.delivered());
    a.update(&world).unwrap();
    // Who was added by a last-resort package may take another name with its first commit. It has the lowest leaf.
    let mut b = Member::new(&world, "alpha.test");
    let package = b.last_resort(&world);
    let request = a.adding_packages(&world, &[&mut b], vec![package]);
    world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();
    a.merge();
    b.join(&world, &world.delivered().last().unwrap().message.content);
    // The only admin leaves, and d, who comes back, takes that along: b acts as admin, and no list names it.
    let proposal = a.leaving();
    a.self_remove(&world, proposal).unwrap();
    b.follow(&world.delivered());
    d.resync(&world).unwrap();
    b.follow(&world.delivered());
    assert_eq!([b.index(), d.index()], [0, 1]);
    let before = world.group_rows();
    b.credential.pseudonym = Pseudonym([8; 16]);
    let context = b.roles(&[&b]);

    for (name, refused) in [(b.credential.pseudonym, true), (Pseudonym([9; 16]), false)] {
        let mut twin = Member::new(&world, "alpha.test");
        twin.credential.pseudonym = name;
        let package = twin.package(&world);
        let leaf = LeafNodeParameters::builder().with_credential_with_key(b.credential_with_key()).build();
        let commit = b.commit_by(2, |it| {
            it.force_self_update(true)
                .leaf_node_parameters(leaf)
                .propose_adds([package])
                .propose_group_context_extensions(context.clone())
                .unwrap()
        });
        let request = Member::adding_by(&world, commit, &[&twin]);
        let outcome = world.call::<AddUsers>(&request, Some(b.leaf()));
        if refused {
            assert_eq!(rejected(outcome), Reject::DuplicateKey);
            assert_eq!(world.group_rows(), before);
        } else {
            assert!(outcome.is_ok());
        }
    }
}

#[test]
fn t14_nobody_takes_the_name_or_the_key_of_another() {
    let world = world();
    let [a, mut b, c] = group(&world);
    let own = b.credential.clone();
    for taken in [a.credential.pseudonym, c.credential.pseudonym, Pseudonym([3; 16])] {
        b.credential.pseudonym = taken;
        let leaf = LeafNodeParameters::builder().with_credential_with_key(b.credential_with_key()).build();
        let commit = b.commit_with(Vec::new(), &[], 1, leaf).request;
        let outcome = world.call::<UpdateClient>(&commit, Some(b.leaf()));
        assert_eq!(rejected(outcome), Reject::Malformed("pseudonym"));
    }
    b.credential = own;
    // Two that share a key would be one to the DS.
    let commit = b.commit_with_key_of(&c, Vec::new()).request;
    let outcome = world.call::<UpdateClient>(&commit, Some(b.leaf()));
    assert_eq!(rejected(outcome), Reject::DuplicateKey);
}

#[test]
fn t14_an_external_commit_removes_nobody_but_its_own_former_self() {
    const CODE: [u8; 32] = [6; 32];
    let world = world();
    let mut a = Member::new(&world, "alpha.test");
    let expires = world.now().as_secs() + 1_000;
    a.create(&world, Some(&Connection { join_code_hash: sha256(&CODE), expires })).unwrap();
    let access = a.access.clone().unwrap();
    let asked = ExternalCommitInfoRequest { access: access.clone(), join_code: Some(CODE.into()) };
    let info = world.call::<ExternalCommitInfo>(&asked, None).unwrap();

    // With the creator's own key, and its code: it would join its own group a second time, or as itself anew.
    let request = a.joining(access, &info, CODE.into());
    let JoinConnectionGroupRequest { commit, group_info, access, .. } = request.clone();
    assert_eq!(rejected(a.join_connection(&world, &request)), Reject::Malformed("proposal"));
    // As a resync, the frame must be of the leaf that it removes.
    let stranger = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([8; 32]));
    let resync = CommitRequest { access, commit, group_info };
    let forged = (a.leaf().0, &stranger);
    assert_eq!(rejected(world.call::<Resync>(&resync, Some(forged))), Reject::Unauthenticated);
    let joined = world.call::<JoinConnectionGroup>(&request, Some((a.new_key().0, &stranger)));
    assert_eq!(rejected(joined), Reject::Unauthenticated);
}

#[test]
fn t14_the_offer_of_a_connection_is_made_with_the_group_and_never_later() {
    let world = world();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let offer = Connection { join_code_hash: [1; 32], expires: u64::MAX }.encode().to_vec();
    let extensions = [ROLES_EXTENSION, CONNECTION_EXTENSION].map(ExtensionType::Unknown);
    let credentials = [CredentialType::Other(LEAF_CREDENTIAL)];
    let required = RequiredCapabilitiesExtension::new(&extensions, &[], &credentials);
    let mut context = a.context_with(Extension::RequiredCapabilities(required));
    context.add(Extension::Unknown(CONNECTION_EXTENSION, UnknownExtension(offer))).unwrap();

    let request = a.changing(context);

    let [_, roles, update, _] = everywhere(&world, &a, &request);
    assert_eq!([roles, update], [Reject::Malformed("proposal"); 2]);
}

#[test]
fn t14_a_leave_that_no_member_can_open_holds_nobody_up() {
    let world = world();
    let [mut a, mut b, mut c] = group(&world);
    let mut bent = b.leaving().to_vec();
    // In the membership tag, which the DS cannot check.
    *bent.last_mut().unwrap() ^= 1;
    b.self_remove(&world, Opaque::new(bent).unwrap()).unwrap();
    world.delivered();
    assert_eq!(rejected(a.update(&world)), Reject::PendingProposals);

    let info = c.external_commit_info(&world).unwrap();
    let (leaf, key) = (c.leaf().0, c.key.clone());
    let request = c.resyncing(&ExternalCommitInfoReply { proposals: List::default(), ..info });
    world.call::<Resync>(&request, Some((leaf, &key))).unwrap();

    a.follow(&world.delivered());
    a.update(&world).unwrap();
    b.forget_proposals();
    assert_eq!(rejected(b.send(&world, b"still here?")), Reject::Unauthenticated);
}
