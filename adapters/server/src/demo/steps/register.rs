//! Step 1: three users register and publish by what others reach them.

use futures::future::try_join_all;

use crate::demo::{
    play::Play,
    player::Player,
    report::{Doing, Stop, Told, ensure},
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let three = play.cast.three.clone();
    // The client verifies the chain of its credential with the keys that its AS publishes, or registers not.
    let players = try_join_all(three.into_iter().map(|(person, side)| play.enter(person, side))).await?;
    for player in &players {
        ensure(player.user().uuid == player.person.uuid, || {
            format!("{} got another user id", player.letter())
        })?;
    }
    try_join_all(players.iter().map(set_up)).await?;
    if let Some(c) = players.last() {
        c.client.register_alias(&c.person.alias).await.doing("c registers an alias")?;
    }
    let count = players.len();
    play.players = players;
    Ok(Told::new(format!(
        "{count} users by OPAQUE, {count} credential chains verified, {count} QS records, \
         AddPackages and connection packages published, 1 alias"
    ))
    .figure("users", count)
    .figure("chains_verified", count)
    .figure("qs_records", count)
    .figure("aliases", 1))
}

/// Makes a player's QS record, and publishes its packages.
pub(super) async fn set_up(player: &Player) -> Result<(), Stop> {
    player.client.set_up().await.doing(format!("{} sets a record and packages up", player.letter()))
}
