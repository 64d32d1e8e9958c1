//! Step 11: each homeserver examines the others, as `phoenix-server check` does.

use futures::future::join_all;
use phoenix_http::{CheckOutcome, CheckReport, FederationCheck};
use serde_json::json;

use crate::demo::{
    play::Play,
    report::{Stop, Told},
    stage::House,
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let houses = play.stage.houses();
    let pairs = houses.iter().flat_map(|from| houses.iter().map(move |to| (*from, *to)));
    let checks = pairs.filter(|(from, to)| from.domain != to.domain).map(|(from, to)| examine(from, to));
    let reports = join_all(checks).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let passed: usize = reports.iter().map(passed).sum();
    Ok(Told::new(format!(
        "each of {} examined the {} others: {passed} steps passed, from their addresses and certificates to keys, \
         clocks and a greeting",
        houses.len(),
        houses.len() - 1,
    ))
    .figure("reports", json!(reports)))
}

async fn examine(from: &House, to: &House) -> Result<CheckReport, Stop> {
    let check = FederationCheck::new(from.reach.clone()).greeting_as(from.home.clone());
    let report = check.of(&to.domain).await;
    match report.failure() {
        None => Ok(report),
        Some(step) => Err(Stop::failed(format!(
            "{} examines {}: {}: {}",
            from.domain,
            to.domain,
            step.step.as_str(),
            step.found
        ))),
    }
}

fn passed(report: &CheckReport) -> usize {
    report.steps.iter().filter(|step| step.outcome == CheckOutcome::Passed).count()
}
