//! Step 7: what is refused, and how.

use futures::future::try_join_all;
use phoenix_core::{
    ErrorCode, GroupId,
    token::{Class, Token},
};

use crate::demo::{
    play::Play,
    player::Player,
    report::{Doing, Stop, Told, ensure},
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let group = play.group()?;
    let person = play.three()?.0.person.clone();
    let line = play.line(&person);
    let (a, ..) = play.three()?;
    let caller = Caller { play, a, group, line };
    let token = caller.token(Class::Standard).await?;
    ensure(caller.call(token.clone()).await?.is_none(), || "a good token was refused".to_owned())?;
    let spent = caller.call(token).await?;
    let mut forged = caller.token(Class::Standard).await?;
    if let Some(byte) = forged.nonce.first_mut() {
        *byte ^= 1;
    }
    let forged = caller.call(forged).await?;
    let wrong_class = caller.call(caller.token(Class::Contact).await?).await?;
    let replayed = caller.replay().await?;
    let expected = [
        ("a spent token", spent, ErrorCode::TokenSpent),
        ("a forged token", forged, ErrorCode::TokenInvalid),
        ("a token of the wrong class", wrong_class, ErrorCode::TokenRequired),
        ("a replayed request", replayed, ErrorCode::Unauthenticated),
    ];
    for (what, answer, code) in expected {
        ensure(answer == Some(code), || match answer {
            None => format!("{what} was accepted"),
            Some(other) => format!("{what} was refused with {other:?}, not {code:?}"),
        })?;
    }
    // The two that were accepted reach everyone, so that the next step begins with nothing on its way.
    let (_, b, c) = caller.play.three()?;
    try_join_all([b, c].map(|player| player.messages(&caller.group, ACCEPTED))).await?;
    Ok(Told::new(
        "a spent token is token_spent, a forged one token_invalid, one of the wrong class token_required, and a \
         request replayed with a fresh token unauthenticated",
    )
    .figure("spent", "token_spent")
    .figure("forged", "token_invalid")
    .figure("wrong_class", "token_required")
    .figure("replayed", "unauthenticated"))
}

/// Sends messages of a's with tokens of our own choosing.
struct Caller<'a> {
    play: &'a Play,
    a: &'a Player,
    group: GroupId,
    line: String,
}

impl Caller<'_> {
    async fn token(&self, class: Class) -> Result<Token, Stop> {
        self.a.client.take_token(&self.group.domain, class).await.doing("a takes a token")
    }

    /// Sends a message with this token; gives the error with which it was refused, if it was.
    async fn call(&self, token: Token) -> Result<Option<ErrorCode>, Stop> {
        let outgoing = self.a.client.prepare_message(&self.group, &self.line, Some(token)).await;
        self.send(outgoing.doing("a prepares a message")?).await
    }

    /// Sends a message, then the same request again with a fresh token: a token that was spent with it would be
    /// refused as such, and another does not fit what was signed.
    async fn replay(&self) -> Result<Option<ErrorCode>, Stop> {
        let token = self.token(Class::Standard).await?;
        let outgoing = self.a.client.prepare_message(&self.group, &self.line, Some(token)).await;
        let mut outgoing = outgoing.doing("a prepares a message")?;
        ensure(self.send(outgoing.clone()).await?.is_none(), || "a good request was refused".to_owned())?;
        outgoing.call.token = Some(self.token(Class::Standard).await?);
        self.send(outgoing).await
    }

    async fn send(&self, outgoing: phoenix_core::port::Outgoing) -> Result<Option<ErrorCode>, Stop> {
        let answer = self.play.stage.road.send(&self.group.domain, outgoing).await.doing("a sends")?;
        Ok(answer.err().map(|error| error.code))
    }
}

/// Messages that were accepted on the way.
const ACCEPTED: usize = 2;
