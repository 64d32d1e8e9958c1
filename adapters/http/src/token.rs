//! The headers of the Privacy Pass authentication scheme (RFC 9577 §2).

use base64::{Engine, engine::general_purpose::URL_SAFE};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use phoenix_core::{Reject, token::Token, wire::Wire};

use crate::home::Challenge;

/// The token that a request brings in `Authorization: PrivateToken token="…"`.
///
/// # Errors
/// [`Reject::Malformed`] when there is such a header, but not exactly one with exactly one token.
pub(crate) fn token_of(headers: &HeaderMap) -> Result<Option<Token>, Reject> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(MALFORMED);
    }
    let encoded = value.to_str().ok().and_then(token_parameter).ok_or(MALFORMED)?;
    let bytes = URL_SAFE.decode(encoded).map_err(|_| MALFORMED)?;
    Token::decode(&bytes).map(Some).map_err(|_| MALFORMED)
}

/// The header's value for a token.
pub(crate) fn authorization(token: &Token) -> Option<HeaderValue> {
    let text = format!("{SCHEME} token=\"{}\"", URL_SAFE.encode(token.encode()));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The value of `WWW-Authenticate` that tells which token is wanted.
pub(crate) fn authenticate(challenge: &Challenge) -> Option<HeaderValue> {
    let Challenge { challenge, token_key } = challenge;
    let (challenge, token_key) = (URL_SAFE.encode(challenge), URL_SAFE.encode(token_key));
    HeaderValue::from_str(&format!("{SCHEME} challenge=\"{challenge}\", token-key=\"{token_key}\"")).ok()
}

/// The one `token` among the parameters; others are ignored (RFC 9577 §2.2.1).
fn token_parameter(value: &str) -> Option<&str> {
    let (scheme, mut rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let mut token = None;
    loop {
        let (name, after) = rest.trim_start().split_once("=\"")?;
        let (content, after) = after.split_once('"')?;
        if name.eq_ignore_ascii_case("token") && token.replace(content).is_some() {
            return None;
        }
        let after = after.trim();
        if after.is_empty() {
            return token;
        }
        rest = after.strip_prefix(',')?;
    }
}

const SCHEME: &str = "PrivateToken";
const MALFORMED: Reject = Reject::Malformed("authorization");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
    use phoenix_core::{Reject, token::Token};

    use super::{authorization, token_of};

    #[test]
    fn a_token_makes_the_round_trip_through_its_header() {
        let token = token();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization(&token).unwrap())]);

        assert_eq!(token_of(&headers), Ok(Some(token)));
        assert_eq!(token_of(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn scheme_and_parameter_may_be_of_any_case_and_have_company() {
        let header = authorization(&token()).unwrap();
        let encoded = header.to_str().unwrap().split('"').nth(1).unwrap();

        for text in [
            format!("privatetoken TOKEN=\"{encoded}\""),
            format!("PrivateToken  token=\"{encoded}\" "),
            format!("PrivateToken extensions=\"AA==\", token=\"{encoded}\", more=\"\""),
        ] {
            assert_eq!(token_of(&one(&text)), Ok(Some(token())), "{text}");
        }
    }

    #[test]
    fn a_malformed_authorization_is_refused() {
        let header = authorization(&token()).unwrap();
        let encoded = header.to_str().unwrap().split('"').nth(1).unwrap();

        for text in [
            String::new(),
            "PrivateToken".into(),
            "PrivateToken ".into(),
            "Bearer abc".into(),
            "PrivateToken token=".into(),
            "PrivateToken token=\"".into(),
            "PrivateToken token=\"\"".into(),
            "PrivateToken token=\"AAAA\"".into(),
            "PrivateToken token=\"?\"".into(),
            format!("PrivateToken token={encoded}"),
            format!("Bearer token=\"{encoded}\""),
            format!("PrivateToken token=\"{encoded}\" token=\"{encoded}\""),
            format!("PrivateToken token=\"{encoded}\", token=\"{encoded}\""),
            format!("PrivateToken challenge=\"{encoded}\""),
            format!("PrivateToken token=\"{encoded}AAAA\""),
        ] {
            assert_eq!(token_of(&one(&text)), Err(Reject::Malformed("authorization")), "{text}");
        }
        let mut two = one(header.to_str().unwrap());
        two.append(AUTHORIZATION, header);
        assert!(token_of(&two).is_err());
    }

    fn one(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(text).unwrap())])
    }

    fn token() -> Token {
        Token {
            token_type: 5,
            nonce: [1; 32],
            challenge_digest: [2; 32],
            key_id: [3; 32],
            authenticator: [0xfe; 64],
        }
    }
}
