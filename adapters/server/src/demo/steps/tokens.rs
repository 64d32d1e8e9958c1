//! Step 2: tokens of their own AS and of the other.

use phoenix_core::{Fqdn, api::ServiceName, token::Class};

use crate::demo::{
    parts::Side,
    play::Play,
    player::Player,
    report::{Doing, Stop, Told, ensure},
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let (a, b, c) = play.three()?;
    let [alpha, beta] = [Side::Alpha, Side::Beta].map(|side| play.house(side));
    let wants: [(&Player, &Fqdn, &[Class]); 6] = [
        (a, &alpha.domain, &[Class::Standard, Class::Contact]),
        (b, &beta.domain, &[Class::Standard]),
        (c, &beta.domain, &[Class::Standard]),
        (a, &beta.domain, &[Class::Standard, Class::Contact]),
        (b, &alpha.domain, &[Class::Standard]),
        (c, &alpha.domain, &[Class::Standard]),
    ];
    let (mut own, mut remote) = (0, 0);
    for (player, domain, classes) in wants {
        for class in classes {
            let obtained = fetch(player, domain, *class).await?;
            let count = if player.user().domain == *domain { &mut own } else { &mut remote };
            *count += obtained;
        }
    }
    for (issuer, other) in [(alpha, beta), (beta, alpha)] {
        let fetched = issuer.log.has_fetched(&other.domain, ServiceName::As);
        ensure(fetched, || format!("{} did not fetch the keys of {}", issuer.domain, other.domain))?;
    }
    play.have_tokens = true;
    Ok(Told::new(format!(
        "{own} of their own AS, {remote} of the other's, for whom each AS fetched the other's keys"
    ))
    .figure("own_tokens", own)
    .figure("remote_tokens", remote)
    .figure("key_fetches", 2))
}

async fn fetch(player: &Player, domain: &Fqdn, class: Class) -> Result<usize, Stop> {
    let doing = format!("{} fetches {class:?} tokens of {domain}", player.letter());
    let before = player.client.tokens_left(domain, class).await;
    player.client.fetch_tokens(domain, class).await.doing(&doing)?;
    let obtained = player.client.tokens_left(domain, class).await.saturating_sub(before);
    ensure(obtained > 0, || format!("{doing}: none came"))?;
    Ok(obtained)
}
