//! What calls that commit say of epochs.

use phoenix_core::{
    GroupId,
    api::{
        Endpoint, EndpointId,
        delivery::{
            Accepted, AddUsers, AddUsersRequest, ChangeRoles, CommitRequest, DeleteGroup,
            JoinConnectionGroup, JoinConnectionGroupRequest, Joined, Mls, RemoveUsers, Resync, UpdateClient,
        },
    },
    port::Outgoing,
    wire::Wire,
};

/// The group and epoch that an accepted commit led to.
pub(super) fn led_to(outgoing: &Outgoing, reply: &[u8]) -> Option<(GroupId, u64)> {
    let (group, _) = commit_in(outgoing)?;
    let joins = [Resync::DESCRIPTION.id, JoinConnectionGroup::DESCRIPTION.id];
    let epoch = if joins.contains(&outgoing.call.endpoint) {
        Joined::decode(reply).ok()?.epoch
    } else {
        Accepted::decode(reply).ok()?.epoch
    };
    Some((group, epoch.0))
}

/// The group of a commit, and the epoch that it was made in.
pub(super) fn made_in(outgoing: &Outgoing) -> Option<(GroupId, u64)> {
    let (group, commit) = commit_in(outgoing)?;
    Some((group, epoch_of(commit.as_slice())?))
}

/// The group that a call commits to, and the commit.
fn commit_in(outgoing: &Outgoing) -> Option<(GroupId, Mls)> {
    let (endpoint, body) = (outgoing.call.endpoint, outgoing.call.body.as_slice());
    if endpoint == AddUsers::DESCRIPTION.id {
        let AddUsersRequest { access, commit, .. } = AddUsersRequest::decode(body).ok()?;
        Some((access.group, commit))
    } else if endpoint == JoinConnectionGroup::DESCRIPTION.id {
        let JoinConnectionGroupRequest { access, commit, .. } =
            JoinConnectionGroupRequest::decode(body).ok()?;
        Some((access.group, commit))
    } else if COMMITS.contains(&endpoint) {
        let CommitRequest { access, commit, .. } = CommitRequest::decode(body).ok()?;
        Some((access.group, commit))
    } else {
        None
    }
}

/// The epoch that stands in clear in an MLSMessage with a PrivateMessage or PublicMessage (RFC 9420 §6): version, wire
/// format, group id, epoch.
pub(crate) fn epoch_of(message: &[u8]) -> Option<u64> {
    let (length, rest) = message.get(4..)?.split_first()?;
    // Group ids of the protocol are longer than 63 bytes or not; the two high bits tell the length's own length.
    let (length, rest) = match length >> 6 {
        0 => (usize::from(*length), rest),
        1 => {
            let (low, rest) = rest.split_first()?;
            (usize::from(length & 0x3f) << 8 | usize::from(*low), rest)
        }
        _ => return None,
    };
    let epoch = rest.get(length..)?.get(..8)?;
    Some(u64::from_be_bytes(epoch.try_into().ok()?))
}

/// Endpoints that take commits, and nothing beside them.
const COMMITS: [EndpointId; 5] = [
    RemoveUsers::DESCRIPTION.id,
    ChangeRoles::DESCRIPTION.id,
    UpdateClient::DESCRIPTION.id,
    DeleteGroup::DESCRIPTION.id,
    Resync::DESCRIPTION.id,
];
