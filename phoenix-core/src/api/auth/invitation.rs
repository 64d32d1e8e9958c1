//! Invitations (05, "Registration policy").

use std::{fmt, str::FromStr};

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    Reject,
    api::{Description, Empty, Endpoint, SenderKind, ServiceName},
    token::Class,
    wire::Secret,
};

/// Makes an invitation, where the policy lets clients invite.
pub struct MakeInvitation;

impl Endpoint for MakeInvitation {
    const DESCRIPTION: Description = Description::new(0x0116, ServiceName::As, "make_invitation")
        .local()
        .signed_by(SenderKind::Client)
        .costs(Class::Alias);
    type Request = Empty;
    type Reply = Invitation;
}

/// Lets one user register.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Invitation {
    /// What to bring; good once.
    pub code: InvitationCode,
    /// Last second in which it is good.
    pub expires: u64,
}

/// What an invited user brings: 16 random bytes, written as four groups of eight hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct InvitationCode(pub Secret<16>);

impl InvitationCode {
    /// The code as it is handed on: `0123abcd-…`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let groups = self.0.expose().chunks(GROUP);
        let groups: Vec<String> =
            groups.map(|group| group.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
        groups.join("-")
    }
}

impl FromStr for InvitationCode {
    type Err = Reject;

    /// Reads what [`InvitationCode::to_text`] wrote, with or without its hyphens and in any case.
    fn from_str(text: &str) -> Result<Self, Reject> {
        let digits: Option<Vec<u32>> =
            text.trim().chars().filter(|it| *it != '-').map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 32).ok_or(MALFORMED)?;
        let byte = |pair: &[u32]| pair.iter().fold(0_u32, |byte, digit| byte << 4 | digit);
        let bytes: Vec<u8> = digits.chunks(2).filter_map(|pair| u8::try_from(byte(pair)).ok()).collect();
        bytes.try_into().map(|code| Self(Secret::new(code))).map_err(|_| MALFORMED)
    }
}

impl fmt::Display for Invitation {
    /// Never the code itself: what is formatted ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invitation(…)")
    }
}

/// Bytes in a group of digits.
const GROUP: usize = 4;
const MALFORMED: Reject = Reject::Malformed("invitation");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::InvitationCode;
    use crate::wire::Secret;

    #[test]
    fn a_code_is_read_as_it_was_written_and_shows_itself_to_no_log() {
        let code = InvitationCode(Secret::new([0xab; 16]));

        let text = code.to_text();

        assert_eq!(text, "abababab-abababab-abababab-abababab");
        assert_eq!(text.parse(), Ok(code.clone()));
        assert_eq!(text.replace('-', "").to_uppercase().parse(), Ok(code.clone()));
        assert!(!format!("{code:?}").contains("ab, ab") && !format!("{code:?}").contains("171"));
        for bad in ["", "abababab", "xbababab-abababab-abababab-abababab", &format!("{text}00")] {
            assert!(bad.parse::<InvitationCode>().is_err(), "{bad}");
        }
    }
}
