//! Step 3: connections by user id and by alias.

use phoenix_client::{Event, OfferId};
use phoenix_core::UserId;

use crate::demo::{
    parts::Side,
    play::Play,
    player::Player,
    report::{Doing, Stop, Told, ensure},
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let (a, b, c) = play.three()?;
    if !play.have_tokens {
        return Err(Stop::Skipped("token of the other AS"));
    }
    befriend(a, b).await?;
    let domain = &play.house(Side::Beta).domain;
    let group =
        a.client.connect_alias(&c.person.alias, domain).await.doing("a offers a connection to c's alias")?;
    let (offer, is_by_alias) = offer_from(c, a.user()).await?;
    ensure(is_by_alias, || "c was not told that the offer was to its alias".to_owned())?;
    c.client.accept(offer).await.doing("c accepts")?;
    let answered = |event: &Event| matches!(event, Event::AliasAnswered { group: it, user } if *it == group && user == c.user());
    a.hear("c's answer", |event| answered(event).then_some(())).await?;
    let confirmed = a.client.confirm(&group).await.doing("a confirms who is behind the alias")?;
    ensure(confirmed == *c.user(), || "somebody else is behind c's alias".to_owned())?;
    compare(a, c).await?;
    play.are_connected = true;
    Ok(Told::new(
        "a and b by user id, a and c by alias; both accepted, and both pairs of safety numbers agree",
    )
    .figure("connections", 2)
    .figure("safety_numbers_agree", 2))
}

/// Connects two players by user id, and compares their safety numbers.
pub(super) async fn befriend(one: &Player, other: &Player) -> Result<(), Stop> {
    let (a, b) = (one.letter(), other.letter());
    one.client.connect(other.user()).await.doing(format!("{a} offers a connection to {b}"))?;
    let (offer, _) = offer_from(other, one.user()).await?;
    other.client.accept(offer).await.doing(format!("{b} accepts"))?;
    let connected = |event: &Event| matches!(event, Event::Connected { user, .. } if user == other.user());
    one.hear(&format!("{b}'s answer"), |event| connected(event).then_some(())).await?;
    compare(one, other).await
}

/// The offer of a user, and whether it was made to an alias.
async fn offer_from(player: &Player, user: &UserId) -> Result<(OfferId, bool), Stop> {
    let find = |event: &Event| match event {
        Event::Offer { offer, from, alias } if from == user => Some((*offer, alias.is_some())),
        _ => None,
    };
    player.hear("an offer", find).await
}

async fn compare(one: &Player, other: &Player) -> Result<(), Stop> {
    let doing = format!("{} and {} compare safety numbers", one.letter(), other.letter());
    let theirs = one.client.safety_number(other.user()).await.doing(&doing)?;
    let ours = other.client.safety_number(one.user()).await.doing(&doing)?;
    ensure(theirs == ours, || format!("{doing}: they differ"))
}
