//! `send_message`, until it lies in all queues that it is for.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode};
use phoenix_core::{
    api::{Endpoint, delivery::SendMessage},
    wire::Call,
};

use crate::{
    ONCE, SIZES, counted,
    cpu::{CpuTime, cost, median, micros},
    floor::Floor,
    house::Kind,
    scene::Scene,
};

/// What a message to a group of one size costs.
struct Cost {
    members: usize,
    floor: f64,
    warm: f64,
    cold: f64,
}

pub(crate) fn measure(criterion: &mut Criterion<CpuTime>, floor: &Floor) -> String {
    let mut table = String::from(
        "| message, store | members | floor | warm | ratio | cold | ratio |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for kind in Kind::ALL {
        let mut costs = Vec::new();
        for members in SIZES {
            costs.extend(measure_one(criterion, floor, (kind, members)));
        }
        for Cost { members, floor, warm, cold } in &costs {
            table += &format!(
                "| {} | {members} | {floor:.1} | {warm:.1} | {:.2} | {cold:.1} | {:.2} |\n",
                kind.name(),
                warm / floor,
                cold / floor
            );
        }
        if let [_, ten, _, thousand] = costs.as_slice() {
            let slope = |of: fn(&Cost) -> f64| (of(thousand) - of(ten)) / 990.0;
            table += &format!(
                "| {}, each recipient from 10 to 1,000 | | | {:.2} | | {:.2} | |\n",
                kind.name(),
                slope(|it| it.warm),
                slope(|it| it.cold)
            );
        }
    }
    table
}

fn measure_one(
    criterion: &mut Criterion<CpuTime>,
    floor: &Floor,
    (kind, members): (Kind, usize),
) -> Option<Cost> {
    let mut begun = None;
    let (mut samples, mut floors) = (Vec::new(), Vec::new());
    let mut benches = criterion.benchmark_group("send_message");
    benches.sampling_mode(SamplingMode::Flat);
    benches.bench_function(BenchmarkId::new(kind.name(), members), |bencher| {
        let (scene, unavoidable) = begun.get_or_insert_with(|| {
            let scene = Scene::settled(kind, members);
            let roster = scene.house.lengths().roster;
            (scene, floor.of_calls(1, &[roster], &[]))
        });
        bencher.iter_custom(|times| {
            let time = scene.send(times);
            samples.push(micros(time) / times as f64);
            // In turn with the server's.
            floors.extend((0..times).map(|_| unavoidable.cost()));
            scene.read();
            time
        });
    });
    benches.finish();
    let (mut scene, _) = begun?;
    let floor = median(floors);
    let cold = (0..COLD).map(|_| {
        scene.house.restart();
        let time = micros(scene.send(1));
        scene.read();
        time
    });
    Some(Cost { members, floor, warm: median(samples), cold: median(cold.collect()) })
}

pub(crate) fn once(kind: Kind, members: usize) {
    let mut scene = Scene::settled(kind, members);
    let calls = scene.messages(ONCE);
    // Queue configs are opened by what settled the group.
    counted(|| scene.house.measured(&SendMessage::DESCRIPTION, calls, members as u64 - 1));
    let (floor, lengths) = (Floor::new(), scene.house.lengths());
    let mut unavoidable = floor.of_calls(1, &[lengths.roster], &[]);
    counted(|| (0..ONCE).for_each(|_| unavoidable.spend()));
    counted(|| floor.seal_entries(members - 1, lengths.entry));
}

impl Scene {
    /// What so many messages of the creator take, until they lie in all queues.
    fn send(&mut self, times: u64) -> Duration {
        let calls = self.messages(times);
        let entries = self.group.members() as u64 - 1;
        cost(|| self.house.measured(&SendMessage::DESCRIPTION, calls, entries)).0
    }

    fn messages(&mut self, times: u64) -> Vec<Call> {
        let Self { house, purse, group, .. } = self;
        (0..times).map(|_| group.message(house, purse, 0)).collect()
    }
}

/// Restarts, each with a cold cache.
const COLD: usize = 5;
