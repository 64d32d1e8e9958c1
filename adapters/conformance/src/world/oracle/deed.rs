//! What clients do in a run, and what may come of it.

use phoenix_client::ClientError;
use phoenix_core::ErrorCode;

/// Something that an application asks its client for. Together they reach every endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    /// Sends a message to all members of a group.
    Send,
    /// Sends a message to one member alone.
    Whisper,
    /// Sends a message of the moment.
    Hint,
    /// Updates its leaf.
    Update,
    /// Adds a user to a group.
    Add,
    /// Removes a user from a group.
    Remove,
    /// Makes a member admin.
    Promote,
    /// Makes an admin a plain member.
    Demote,
    /// Leaves a group.
    Leave,
    /// Makes a group.
    Found,
    /// Ends a group.
    End,
    /// Gives a group the key of its profile.
    Share,
    /// Reports a member.
    Report,
    /// Stores nothing of a group any more.
    Block,
    /// Stores what comes of it again.
    Free,
    /// Says something in a group that went on without it, and holds what the others have.
    ComeBack,
    /// Reads through a stream.
    Stream,
    /// Registers a user.
    Register,
    /// Logs in as a further client of a user.
    LogIn,
    /// Gives a further client what the user's clients have in common.
    Provision,
    /// Takes over what another client gave.
    TakeOver,
    /// Removes a client of the user.
    RemoveClient,
    /// Changes the password.
    ChangePassword,
    /// Deletes the user.
    DeleteUser,
    /// Renews its credential.
    Renew,
    /// Publishes a profile.
    UpdateProfile,
    /// Reads another's profile.
    ReadProfile,
    /// Registers an alias.
    RegisterAlias,
    /// Keeps an alias for longer.
    RenewAlias,
    /// Gives an alias up.
    DeleteAlias,
    /// Offers a connection to whoever is behind an alias.
    ConnectAlias,
    /// Offers a connection to a user.
    Connect,
    /// Accepts an offer.
    Accept,
    /// Declines an offer.
    Decline,
    /// Makes an invitation.
    Invite,
    /// Fetches tokens.
    FetchTokens,
    /// Fetches a token of the other type.
    RequestToken,
    /// Takes an access token for APIs of homeservers.
    TakeAccessToken,
    /// Asks which clients were revoked.
    CheckAuthority,
    /// Makes its queue and publishes its packages.
    SetUp,
    /// Asks for its record at the queuing service.
    ReadRecord,
    /// Changes its user's friendship keys.
    Rotate,
    /// Takes another key at the queuing service.
    RotateKey,
    /// Gives its user another key there.
    RotateUserKey,
    /// Takes all its queue configs back.
    ReplaceConfigs,
    /// Leaves a push token.
    SetPushToken,
    /// Begins its queue again.
    RestartQueue,
    /// Ends its queue.
    DeleteQueue,
}

/// What the oracle says of a deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is accepted.
    Accept,
    /// It is refused.
    Refuse(Why),
}

/// Why a deed is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Whoever does it is no member of the group.
    NoMember,
    /// The group has ended.
    Ended,
    /// Only admins may.
    NoAdmin,
    /// Nobody would be admin.
    LastAdmin,
    /// The two are not connected.
    Stranger,
    /// The two are connected already.
    Connected,
    /// There is nobody, or nothing, of that name.
    Unknown,
    /// Somebody else has it.
    Taken,
    /// There is no such thing of one's own.
    NotOurs,
    /// The password is wrong.
    WrongPassword,
    /// The key is another than the one that was compared.
    OtherKey,
    /// The client is no client any more.
    Gone,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 48] = [
        Self::Send,
        Self::Whisper,
        Self::Hint,
        Self::Update,
        Self::Add,
        Self::Remove,
        Self::Promote,
        Self::Demote,
        Self::Leave,
        Self::Found,
        Self::End,
        Self::Share,
        Self::Report,
        Self::Block,
        Self::Free,
        Self::ComeBack,
        Self::Stream,
        Self::Register,
        Self::LogIn,
        Self::Provision,
        Self::TakeOver,
        Self::RemoveClient,
        Self::ChangePassword,
        Self::DeleteUser,
        Self::Renew,
        Self::UpdateProfile,
        Self::ReadProfile,
        Self::RegisterAlias,
        Self::RenewAlias,
        Self::DeleteAlias,
        Self::ConnectAlias,
        Self::Connect,
        Self::Accept,
        Self::Decline,
        Self::Invite,
        Self::FetchTokens,
        Self::RequestToken,
        Self::TakeAccessToken,
        Self::CheckAuthority,
        Self::SetUp,
        Self::ReadRecord,
        Self::Rotate,
        Self::RotateKey,
        Self::RotateUserKey,
        Self::ReplaceConfigs,
        Self::SetPushToken,
        Self::RestartQueue,
        Self::DeleteQueue,
    ];

    /// Why it may be refused; what it needs else, it has in every run.
    #[must_use]
    pub const fn refusals(self) -> &'static [Why] {
        match self {
            Self::Send | Self::Hint | Self::Update | Self::Leave => &[Why::NoMember, Why::Ended],
            Self::Whisper | Self::Report => &[Why::NoMember, Why::Ended, Why::Unknown],
            Self::Add => &[Why::NoMember, Why::Ended, Why::NoAdmin, Why::Stranger],
            Self::Remove => &[Why::NoMember, Why::Ended, Why::NoAdmin, Why::Unknown],
            Self::Promote => &[Why::NoMember, Why::Ended, Why::NoAdmin, Why::Unknown],
            Self::Demote => &[Why::NoMember, Why::Ended, Why::NoAdmin, Why::LastAdmin],
            Self::End => &[Why::NoMember, Why::Ended, Why::NoAdmin],
            Self::Share => &[Why::NoMember, Why::Ended, Why::NotOurs],
            Self::Block => &[Why::Unknown],
            Self::Register => &[Why::Taken],
            Self::LogIn | Self::ChangePassword => &[Why::WrongPassword],
            Self::RemoveClient => &[Why::WrongPassword, Why::Unknown],
            Self::DeleteUser => &[Why::WrongPassword, Why::Gone],
            Self::Provision => &[Why::OtherKey, Why::NotOurs],
            Self::TakeOver => &[Why::NotOurs, Why::OtherKey],
            Self::Renew | Self::UpdateProfile | Self::Invite => &[Why::Gone],
            Self::FetchTokens | Self::RequestToken | Self::TakeAccessToken => &[Why::Gone],
            Self::ReadProfile | Self::ConnectAlias => &[Why::Unknown],
            Self::RegisterAlias => &[Why::Taken],
            Self::RenewAlias | Self::DeleteAlias => &[Why::NotOurs],
            Self::Connect => &[Why::Connected, Why::Unknown],
            Self::Accept | Self::Decline => &[Why::NotOurs],
            Self::ReadRecord | Self::Rotate | Self::SetPushToken | Self::RestartQueue => &[Why::NotOurs],
            Self::RotateKey | Self::RotateUserKey | Self::ReplaceConfigs => &[Why::NotOurs],
            Self::Found
            | Self::Free
            | Self::ComeBack
            | Self::Stream
            | Self::CheckAuthority
            | Self::SetUp
            | Self::DeleteQueue => &[],
        }
    }

    /// All that may come of it.
    pub fn verdicts(self) -> impl Iterator<Item = Verdict> {
        let refused = self.refusals().iter().map(|why| Verdict::Refuse(*why));
        [Verdict::Accept].into_iter().chain(refused)
    }

    /// Whether it changes who is in a group, or who is admin there.
    pub(super) const fn changes_a_group(self) -> bool {
        matches!(self, Self::Add | Self::Remove | Self::Promote | Self::Demote | Self::Leave | Self::End)
    }

    /// Whether it is about whoever has an alias.
    pub(super) const fn is_about_an_alias(self) -> bool {
        matches!(self, Self::RegisterAlias | Self::RenewAlias | Self::DeleteAlias | Self::ConnectAlias)
    }

    /// Whether it changes who has an alias.
    pub(super) const fn changes_an_alias(self) -> bool {
        matches!(self, Self::RegisterAlias | Self::DeleteAlias)
    }

    /// Whether it is nothing to the account of who does it, but costs tokens.
    pub(super) const fn costs_tokens(self) -> bool {
        matches!(
            self,
            Self::RegisterAlias
                | Self::RenewAlias
                | Self::DeleteAlias
                | Self::ConnectAlias
                | Self::Connect
                | Self::ReadProfile
                | Self::SetUp
        )
    }

    /// Whether it is done with the client's keys at the queuing service.
    pub(super) const fn needs_queue_keys(self) -> bool {
        matches!(
            self,
            Self::Block
                | Self::Free
                | Self::Stream
                | Self::Provision
                | Self::TakeOver
                | Self::Renew
                | Self::SetUp
                | Self::ReadRecord
                | Self::Rotate
                | Self::RotateKey
                | Self::RotateUserKey
                | Self::ReplaceConfigs
                | Self::SetPushToken
                | Self::RestartQueue
                | Self::DeleteQueue
        )
    }

    /// Whether it counts as done where it is refused for this reason, and an earlier try may have been carried out.
    pub(super) const fn is_repeated_safely(self, why: Why) -> bool {
        matches!((self, why), (Self::RemoveClient, Why::Unknown))
    }

    /// Whether it is done to a member, by what its client knows of the group.
    pub(super) const fn is_done_to_someone(self) -> bool {
        matches!(self, Self::Whisper | Self::Report | Self::Add | Self::Remove | Self::Promote | Self::Demote)
    }
}

impl Why {
    /// Whether an error is what one is told then. What the client knows it says itself, in these words; what it does not,
    /// its homeserver.
    pub(super) fn fits(self, error: &ClientError) -> bool {
        let is = |codes: &[ErrorCode]| error.code().is_some_and(|code| codes.contains(&code));
        let says_itself = matches!(error, ClientError::State(words) if self.words().contains(words));
        says_itself
            || match self {
                Self::NoMember | Self::Ended => is(&[ErrorCode::NotFound, ErrorCode::Unauthenticated]),
                Self::NoAdmin => is(&[ErrorCode::Forbidden]),
                Self::Unknown => is(&[ErrorCode::NotFound]),
                Self::Taken => is(&[ErrorCode::AlreadyExists]),
                Self::WrongPassword => *error == ClientError::WrongPassword,
                Self::OtherKey => matches!(error, ClientError::Unverified(_)),
                Self::Gone => is(&[ErrorCode::Unauthenticated]),
                Self::LastAdmin | Self::Stranger | Self::Connected | Self::NotOurs => false,
            }
    }

    /// What a client says itself.
    const fn words(self) -> &'static [&'static str] {
        match self {
            // Who had left it before is not told of its end.
            Self::NoMember | Self::Ended => {
                &["no such group", "not a member any more", "this client has left the group"]
            }
            Self::LastAdmin => &["nobody would be admin"],
            Self::Stranger => &["not connected"],
            Self::Connected => &["connected already"],
            Self::Unknown => &["no such group", "no such member"],
            Self::NotOurs => &[
                "no profile was published",
                "no such alias",
                "no such offer",
                "no such provision",
                "the client has no queue yet",
            ],
            Self::NoAdmin | Self::Taken | Self::WrongPassword | Self::OtherKey | Self::Gone => &[],
        }
    }
}
