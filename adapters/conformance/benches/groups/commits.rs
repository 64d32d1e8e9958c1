//! `update_client`, until it is accepted: its delivery is a message's.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode};
use phoenix_core::{
    api::{
        Endpoint,
        delivery::{Mls, UpdateClient},
    },
    wire::Call,
};

use crate::{
    ONCE, SIZES, counted,
    cpu::{CpuTime, cost, median, micros},
    floor::{Floor, Unavoidable},
    house::{Kind, Lengths},
    observer::Observer,
    scene::Scene,
};

pub(crate) fn measure(criterion: &mut Criterion<CpuTime>, floor: &Floor) -> String {
    let mut table = String::from(
        "| commit, store | members | bytes | OpenMLS | floor | accepted | ratio |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for kind in Kind::ALL {
        for members in SIZES {
            table += &measure_one(criterion, floor, (kind, members)).unwrap_or_default();
        }
    }
    table
}

fn measure_one(
    criterion: &mut Criterion<CpuTime>,
    floor: &Floor,
    (kind, members): (Kind, usize),
) -> Option<String> {
    let mut begun = None;
    let (mut accepted, mut openmls, mut floors, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut benches = criterion.benchmark_group("update_client");
    benches.sampling_mode(SamplingMode::Flat);
    benches.bench_function(BenchmarkId::new(kind.name(), members), |bencher| {
        let (scene, observer, unavoidable) = begun.get_or_insert_with(|| {
            let (scene, observer) = begin(kind, members);
            let unavoidable = of_commits(floor, &scene);
            (scene, observer, unavoidable)
        });
        bencher.iter_custom(|times| {
            let (time, commits) = scene.update(times);
            accepted.push(micros(time) / times as f64);
            // In turn with the server's, and of the same commits.
            openmls.extend(commits.iter().map(|commit| micros(cost(|| observer.follow(commit)).0)));
            floors.extend(commits.iter().map(|_| unavoidable.cost()));
            bytes = commits.last().map_or(bytes, |commit| commit.len());
            time
        });
    });
    benches.finish();
    begun?;
    let (accepted, openmls) = (median(accepted), median(openmls));
    let floor = openmls + median(floors);
    let (kind, ratio) = (kind.name(), accepted / floor);
    Some(format!(
        "| {kind} | {members} | {bytes} | {openmls:.0} | {floor:.0} | {accepted:.0} | {ratio:.2} |\n"
    ))
}

pub(crate) fn once(kind: Kind, members: usize) {
    let (mut scene, observer) = begin(kind, members);
    let (calls, commits) = scene.updates(ONCE);
    counted(|| scene.house.measured(&UpdateClient::DESCRIPTION, calls, 0));
    counted(|| commits.iter().for_each(|commit| observer.follow(commit)));
    let floor = Floor::new();
    let mut unavoidable = of_commits(&floor, &scene);
    counted(|| (0..ONCE).for_each(|_| unavoidable.spend()));
}

/// Beside OpenMLS: the frame's signature and the GroupInfo's, and the group's records.
fn of_commits<'a>(floor: &'a Floor, scene: &Scene) -> Unavoidable<'a> {
    let Lengths { roster, tree, .. } = scene.house.lengths();
    floor.of_calls(2, &[roster, tree], &[roster, tree])
}

fn begin(kind: Kind, members: usize) -> (Scene, Observer) {
    let scene = Scene::new(kind, members);
    let observer = Observer::new(&scene.group.exported());
    (scene, observer)
}

impl Scene {
    /// What so many commits of the creator take, until they are accepted; and the commits.
    fn update(&mut self, times: u64) -> (Duration, Vec<Mls>) {
        let (calls, commits) = self.updates(times);
        let (time, ()) = cost(|| self.house.measured(&UpdateClient::DESCRIPTION, calls, 0));
        (time, commits)
    }

    fn updates(&mut self, times: u64) -> (Vec<Call>, Vec<Mls>) {
        let Self { house, purse, group, .. } = self;
        (0..times).map(|_| group.update(house, purse)).unzip()
    }
}
