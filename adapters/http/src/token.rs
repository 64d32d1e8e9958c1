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

/// The value of `WWW-Authenticate` that tells which tokens are wanted, any of which will do (RFC 9577 §2.1).
pub(crate) fn authenticate(challenges: &[Challenge]) -> Option<HeaderValue> {
    let written = challenges.iter().map(|Challenge { challenge, token_key }| {
        let (challenge, token_key) = (URL_SAFE.encode(challenge), URL_SAFE.encode(token_key));
        format!("{SCHEME} challenge=\"{challenge}\", token-key=\"{token_key}\"")
    });
    let value = written.collect::<Vec<_>>().join(", ");
    if value.is_empty() { None } else { HeaderValue::from_str(&value).ok() }
}

/// The one `token` among the parameters; others are ignored (RFC 9577 §2.2.1). Each is a name, `=`, and a token or a
/// quoted string, with white space anywhere between (RFC 9110 §11.2).
fn token_parameter(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let (mut rest, mut token) = (rest.trim_matches(BETWEEN), None);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_matches(WHITE);
        if name.is_empty() || !name.chars().all(is_token) {
            return None;
        }
        let (content, after) = content(after.trim_start_matches(WHITE))?;
        if name.eq_ignore_ascii_case("token") && token.replace(content).is_some() {
            return None;
        }
        let after = after.trim_start_matches(WHITE);
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        rest = after.trim_start_matches(BETWEEN);
    }
    token
}

/// The value at the start, and what comes after it. What is escaped in a quoted one stays so: base64url needs no escape.
fn content(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // The padding of base64url is none of the characters of a token, but senders leave the quotes out all the same.
        let end = text.find(|it| !is_token(it) && it != '=').unwrap_or(text.len());
        return text.split_at_checked(end).filter(|(content, _)| !content.is_empty());
    };
    let mut is_escaped = false;
    let end = quoted.find(|it| {
        let ends = it == '"' && !is_escaped;
        is_escaped = it == '\\' && !is_escaped;
        ends
    });
    let (content, after) = quoted.split_at_checked(end?)?;
    Some((content, after.strip_prefix('"')?))
}

/// The characters of a token (RFC 9110 §5.6.2).
fn is_token(it: char) -> bool {
    it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it)
}

/// Optional white space (RFC 9110 §5.6.3),
const WHITE: [char; 2] = [' ', '\t'];
/// and what stands between the elements of a list, some of which may be empty (RFC 9110 §5.6.1.2).
const BETWEEN: [char; 3] = [' ', '\t', ','];
const SCHEME: &str = "PrivateToken";
const MALFORMED: Reject = Reject::Malformed("authorization");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
    use phoenix_core::{
        Reject,
        token::{Authenticator, Token},
    };

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
            format!("PrivateToken token={encoded}"),
            format!("PrivateToken token = \t\"{encoded}\" ,a=b"),
            format!("PrivateToken realm=alpha.test,, token={encoded},"),
            format!("PrivateToken x=\"a \\\" token=\\\\\", token=\"{encoded}\""),
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
            format!("PrivateToken token={encoded} token={encoded}"),
            format!("PrivateToken token={encoded}, token=\"{encoded}\""),
            format!("PrivateToken to ken={encoded}"),
            format!("PrivateToken ={encoded}"),
            format!("PrivateToken x=\"\\\", token=\"{encoded}\""),
            format!("PrivateToken {encoded}"),
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

    #[test]
    fn padding_may_stand_without_quotes() {
        let token = Token { authenticator: Authenticator::P384([0xfe; 48]), ..token() };
        let header = authorization(&token).unwrap();
        let text = header.to_str().unwrap().replace('"', "");

        assert!(text.ends_with('='), "{text}");
        assert_eq!(token_of(&one(&text)), Ok(Some(token)));
    }

    fn one(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(text).unwrap())])
    }

    fn token() -> Token {
        Token {
            nonce: [1; 32],
            challenge_digest: [2; 32],
            key_id: [3; 32],
            authenticator: Authenticator::Ristretto255([0xfe; 64]),
        }
    }
}
