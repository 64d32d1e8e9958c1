//! `join_connection_group`: the other side of a connection joins by external commit.

use phoenix_core::{
    Failure, Reject,
    api::delivery::{self as api, JoinConnectionGroupRequest, Joined},
    crypto::VerifyingKey,
    limit::Loads,
    operation::{
        Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Purpose, Reading, Rows,
    },
    wire::Sender,
};

use crate::{
    accept::{Newcomer, accept},
    commit::{Committer, Staged, Submission, stage},
    group::Group,
    loads,
    mls::{self, context},
    rules::{self, Act},
    service::DeliveryService,
};

/// Lets the holder of a join code into a connection group.
pub struct JoinConnectionGroup;

impl Operation for JoinConnectionGroup {
    type Endpoint = api::JoinConnectionGroup;
    type Service = DeliveryService;
    type State = Group;
    type Sender = VerifyingKey;
    const EFFORT: Effort = Effort::Heavy;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        let readings = Group::readings(&call.request().access, found, Purpose::Change, cx)?;
        if found.is_empty() {
            rules::check_own_config(&call.request().config, cx)?;
        }
        Ok(readings)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Group, Failure> {
        Group::open(&call.request().access, &found, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        group: &Group,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Proven<VerifyingKey>, Failure> {
        context::check_join_code(group.tree.group.group_context(), &call.request().join_code, cx.now)?;
        let frame = call.frame()?;
        let Sender::NewKey(key) = frame.sender() else { return Err(Reject::Unauthenticated.into()) };
        Ok(frame.prove_new_key(key, key.clone())?)
    }

    fn loads(call: &Decoded<Self>, _: &Group, _: &VerifyingKey, _: &Context<DeliveryService>) -> Loads {
        loads::join(&call.request().access.group)
    }

    fn decide(
        group: Group,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Joined>, Failure> {
        let request = call.request();
        let roster = &group.members.roster;
        if roster.closed.is_set() {
            return Err(Reject::Conflict(Some(roster.epoch.0)).into());
        }
        let submission =
            Submission { access: &request.access, commit: &request.commit, update: &request.group_info };
        let staged = stage(group, submission, Committer::Joiner, Act::Join)?;
        let newcomer = newcomer(&staged, request, call.sender())?;
        accept(staged, vec![newcomer], cx)
    }
}

fn newcomer(
    staged: &Staged<'_>,
    request: &JoinConnectionGroupRequest,
    sender: &VerifyingKey,
) -> Result<Newcomer, Reject> {
    let leaf = staged.commit.update_path_leaf_node().ok_or(Reject::Malformed("commit"))?;
    let key = mls::signature_key(staged.group.tree.suite()?, leaf)?;
    if key != *sender {
        return Err(Reject::Unauthenticated);
    }
    let pseudonym = mls::credential(leaf)?.pseudonym;
    rules::check_pseudonym(&staged.group, &rules::roles(&staged.group)?, &pseudonym)?;
    if staged.group.members.roster.uses_config(&request.config.sealed, None) {
        return Err(Reject::DuplicateKey);
    }
    let keys = staged.path_keys.clone().ok_or(Reject::Malformed("keys"))?;
    Ok(Newcomer { key, pseudonym, config: request.config.clone(), keys, invitation: None })
}

#[cfg(test)]
mod tests;
