//! The demo: three homeservers, one conversation, and a check after every step.

mod authority;
mod cast;
mod disk;
mod options;
mod parts;
mod play;
mod player;
mod report;
#[cfg(test)]
mod sabotage;
mod stage;
mod steps;
mod watch;
mod wire;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::options::Options;
use self::{
    cast::Dice,
    parts::{Parts, Sound},
    play::Play,
    report::{Format, Report, Stop},
    stage::Stage,
    steps::Step,
};

/// Plays, and prints what happened; the exit code is 0 only where everything held.
pub(crate) async fn main(options: Options) -> anyhow::Result<ExitCode> {
    let format = if options.json { Format::Json } else { Format::Text };
    let mut report = Report::new(format, Box::new(std::io::stdout()));
    run(&options, Arc::new(Sound), &mut report).await?;
    Ok(exit_code(&report))
}

fn exit_code(report: &Report) -> ExitCode {
    if report.all_held() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays with the given parts.
pub(crate) async fn run(options: &Options, parts: Arc<dyn Parts>, report: &mut Report) -> anyhow::Result<()> {
    let began = Instant::now();
    let stage = Stage::open(options, &parts).await?;
    let mut play = Play::new(stage, Dice::new(options.seed), &parts);
    for step in Step::ALL.into_iter().filter(|step| step.number() <= options.until) {
        parts.begin(step.number());
        let began = Instant::now();
        let outcome = tokio::time::timeout(STEP_TIME, step.play(&mut play)).await;
        let late = || Err(Stop::failed(format!("it took longer than {} s", STEP_TIME.as_secs())));
        let outcome = outcome.unwrap_or_else(|_| late());
        let has_failed = matches!(outcome, Err(Stop::Failed(_)));
        report.tell((step.number(), step.name()), outcome, began.elapsed());
        if has_failed {
            play.stage.check_room()?;
            play.settle().await;
        }
    }
    report.remark(&format!("The play took {:.1} s (seed {}).", began.elapsed().as_secs_f64(), options.seed));
    if options.keep {
        keep(&play.stage, report).await?;
    }
    play.stage.close().await;
    Ok(())
}

/// Leaves the servers up until the process is interrupted.
async fn keep(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    for house in stage.houses() {
        report.remark(&format!(
            "{} is at https://{}, its database is {}",
            house.domain,
            house.address,
            house.file.display()
        ));
    }
    report.remark(&format!(
        "Their certificates are by the authority in {}.",
        stage.authority_file()?.display()
    ));
    report.remark("Interrupt to end.");
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// Longest time that a step may take: five times what it takes on a slow machine.
const STEP_TIME: Duration = Duration::from_secs(60);
