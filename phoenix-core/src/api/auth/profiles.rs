//! Profiles: what a user shows of itself, encrypted (04).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    UserId,
    api::{Description, Empty, Endpoint, SenderKind, ServiceName},
    token::Class,
    wire::Opaque,
};

/// Publishes a version of the caller's profile. The last two are kept, so that peers who hold the key of the one
/// before are not cut off.
pub struct UpdateProfile;

impl Endpoint for UpdateProfile {
    const DESCRIPTION: Description = Description::new(0x0114, ServiceName::As, "update_profile")
        .local()
        .signed_by(SenderKind::Client)
        .costs(Class::Standard);
    type Request = Profile;
    type Reply = Empty;
}

/// A version of a profile.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Profile {
    /// Higher than those before.
    pub version: u32,
    /// Under the user's profile key, which the AS does not know.
    pub ciphertext: Opaque<MAX_PROFILE>,
}

/// Fetches a version of a user's profile.
pub struct GetProfile;

impl Endpoint for GetProfile {
    const DESCRIPTION: Description =
        Description::new(0x0115, ServiceName::As, "get_profile").costs(Class::Standard);
    type Request = GetProfileRequest;
    type Reply = Opaque<MAX_PROFILE>;
}

/// Which profile is wanted.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GetProfileRequest {
    /// Whose.
    pub user: UserId,
    /// Which version.
    pub version: u32,
}

/// Longest encrypted profile (04).
pub const MAX_PROFILE: usize = 64 << 10;
