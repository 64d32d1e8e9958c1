//! `create_group`: a group of one, its creator.

use openmls_rust_crypto::RustCrypto;
use phoenix_core::{
    Epoch, Failure, LeafIndex, Reject,
    api::{
        Empty,
        delivery::{self as api, CreateGroupRequest, GroupAccess, GroupReservation},
        mls::Roles,
    },
    crypto::{HpkeSecretKey, VerifyingKey},
    operation::{
        Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Purpose, Reading, Rows,
    },
    port::Write,
    time::Month,
    wire::{Flag, List, Secret, Sender, Wire},
};

use crate::{
    group::{self, Clear, Graveyard, Group, Members, Site},
    kinds,
    mls::{self, context},
    roster::{Member, Roster},
    rules,
    sealed::LEAST_KEY,
    service::DeliveryService,
    tree::Tree,
};

/// Creates a group.
pub struct CreateGroup;

impl Operation for CreateGroup {
    type Endpoint = api::CreateGroup;
    type Service = DeliveryService;
    /// Whether the id is taken.
    type State = bool;
    type Sender = VerifyingKey;
    const EFFORT: Effort = Effort::Heavy;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let site = Site::of(&access(call.request()), cx)?;
        check_reservation(&call.request().reservation, cx)?;
        rules::check_own_config(&call.request().config, cx)?;
        Ok(vec![site.reading(&[kinds::CLEAR], Purpose::Change)])
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<DeliveryService>) -> Result<bool, Failure> {
        Ok(found.place(0)?.mark.is_some())
    }

    fn authenticate(
        call: &Decoded<Self>,
        _: &bool,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Proven<VerifyingKey>, Failure> {
        let frame = call.frame()?;
        let Sender::NewKey(key) = frame.sender() else { return Err(Reject::Unauthenticated.into()) };
        Ok(frame.prove_new_key(key, key.clone())?)
    }

    fn decide(
        taken: bool,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Empty>, Failure> {
        if taken {
            return Err(Reject::AlreadyExists.into());
        }
        let request = call.request();
        let access = access(request);
        let tree = Tree::create(&RustCrypto::default(), &request.tree, &request.group_info)?;
        let roster = roster(&tree, request, call.sender(), cx)?;
        let members = Members { site: Site::of(&access, cx)?, roster };
        let chance = &mut cx.chance("group");
        let tombstone = HpkeSecretKey::generate(tree.suite()?, chance);
        let clear = Clear {
            month: Month::of(cx.now),
            tombstone: tombstone.public_key().clone(),
            ear_key_id: request.ear_key_id,
        };
        let secret: Secret<32> = tombstone.to_secret_bytes();
        let sealed = members.site.ear.seal(&kinds::TOMBSTONE, &secret, LEAST_KEY, chance)?;
        let group = Group { members, clear, graveyard: Graveyard::default(), tree };
        let mut writes = group.writes(chance)?;
        writes.push(Write::Put(kinds::TOMBSTONE, sealed));
        Ok(Decision::reply(Empty {}).change(group.members.site.at, writes, group::expiry(cx.now)))
    }
}

fn access(request: &CreateGroupRequest) -> GroupAccess {
    let CreateGroupRequest { reservation, ear_key_id, ear_key, .. } = request;
    GroupAccess { group: reservation.group.clone(), ear_key_id: *ear_key_id, ear_key: ear_key.clone() }
}

fn check_reservation(reservation: &GroupReservation, cx: &Context<DeliveryService>) -> Result<(), Reject> {
    let mac = cx.keys.service.reservation_mac(&reservation.group, reservation.expires);
    let ours = mac == Secret::new(reservation.mac);
    if ours && cx.now.as_secs() <= reservation.expires { Ok(()) } else { Err(Reject::Forbidden) }
}

/// The roster of a group of one that never had another: its only leaf is the creator's, and its only admin.
fn roster(
    tree: &Tree,
    request: &CreateGroupRequest,
    creator: &VerifyingKey,
    cx: &Context<DeliveryService>,
) -> Result<Roster, Failure> {
    let (context, suite) = (tree.group.group_context(), tree.suite()?);
    if context.group_id().as_slice() != request.reservation.group.encode().as_ref() {
        return Err(Reject::Malformed("group id").into());
    }
    let current = cx.keys.service.current(suite, cx.now).ok_or(Reject::Internal)?;
    context::check_new(context, current, cx.keys.service.known())?;
    if tree.epoch() != Epoch(0) || tree.group.treesync().leaves().len() != 1 {
        return Err(TREE.into());
    }
    let leaf = tree.leaf(CREATOR).ok_or(TREE)?;
    if mls::signature_key(suite, leaf)? != *creator {
        return Err(Reject::Unauthenticated.into());
    }
    let pseudonym = mls::credential(leaf)?.pseudonym;
    let expected = Roles { admins: List::new(vec![pseudonym]).map_err(Reject::from)? };
    if context::roles(context)? != expected {
        return Err(Reject::Malformed("roles").into());
    }
    let member = Member {
        leaf: CREATOR,
        pseudonym,
        key: creator.clone(),
        config: request.config.clone(),
        admin: Flag::Yes,
        keys: request.keys.clone(),
        active: Month::of(cx.now),
        active_epoch: tree.epoch(),
        since: tree.epoch(),
        last_resort: Flag::No,
        awaited: None,
    };
    // Only a connection's offer lets anyone join a group by itself.
    let closed = context::connection(context)?.is_none().into();
    let members = List::new(vec![member]).map_err(Reject::from)?;
    Ok(Roster { epoch: tree.epoch(), closed, members })
}

const TREE: Reject = Reject::Malformed("tree");
/// The only leaf of a new group.
const CREATOR: LeafIndex = LeafIndex(0);

#[cfg(test)]
mod tests;
