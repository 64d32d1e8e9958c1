//! 64 who send at once: in one group, and each in a group of its own.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode};
use phoenix_core::{
    api::{Endpoint, delivery::SendMessage},
    wire::Call,
};

use crate::{
    calls::Purse,
    cpu::{CpuTime, cost, median, micros},
    group::Group,
    house::{House, Kind},
    people::Person,
};

pub(crate) fn measure(criterion: &mut Criterion<CpuTime>) -> String {
    let mut table = String::from(
        "| 64 at once, store | in one group | in 64 groups | ratio | on the clock, one | 64 | ratio |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for kind in Kind::ALL {
        let mut crowd = None;
        let mut measured = |spread| measure_one(criterion, &mut crowd, (kind, spread));
        let (one, many) = (measured(Spread::OneGroup), measured(Spread::ManyGroups));
        if let Some(((one, one_clock), (many, many_clock))) = one.zip(many) {
            let (ratio, clock_ratio) = (one / many, one_clock / many_clock);
            table += &format!(
                "| {} | {one:.1} | {many:.1} | {ratio:.2} | {one_clock:.1} | {many_clock:.1} | {clock_ratio:.2} |\n",
                kind.name()
            );
        }
    }
    table
}

/// Who sends where.
#[derive(Clone, Copy)]
enum Spread {
    OneGroup,
    ManyGroups,
}

/// Per message: processor time, and time.
fn measure_one(
    criterion: &mut Criterion<CpuTime>,
    crowd: &mut Option<Crowd>,
    (kind, spread): (Kind, Spread),
) -> Option<(f64, f64)> {
    let (mut processor, mut clock) = (Vec::new(), Vec::new());
    let mut benches = criterion.benchmark_group("64_at_once");
    benches.sampling_mode(SamplingMode::Flat);
    let name = match spread {
        Spread::OneGroup => "one group",
        Spread::ManyGroups => "64 groups",
    };
    benches.bench_function(BenchmarkId::new(kind.name(), name), |bencher| {
        let crowd = crowd.get_or_insert_with(|| Crowd::new(kind));
        bencher.iter_custom(|times| {
            let rounds = (0..times).map(|_| {
                let (time, waited) = crowd.send(spread);
                processor.push(micros(time) / CROWD as f64);
                clock.push(micros(waited) / CROWD as f64);
                time
            });
            rounds.sum()
        });
    });
    benches.finish();
    if processor.is_empty() { None } else { Some((median(processor), median(clock))) }
}

/// 64 groups of 64 people each.
struct Crowd {
    house: House,
    purse: Purse,
    groups: Vec<Group>,
}

impl Crowd {
    fn new(kind: Kind) -> Self {
        let mut house = House::new(kind);
        let mut purse = Purse::new(&house);
        // Nobody's packages are served without end in a day, so half of the groups are of others.
        let groups = (0..2).flat_map(|_| Self::circle(&house, &mut purse));
        let groups: Vec<_> = groups.collect();
        house.work();
        // Each of both circles was told once that few packages are left.
        let notices = 2 * CROWD as u64;
        house.arrive(notices + groups.iter().map(|group| group.entries).sum::<u64>());
        Self { house, purse, groups }
    }

    /// Half of the groups: the same 64 people in each, and each time somebody else's.
    fn circle(house: &House, purse: &mut Purse) -> Vec<Group> {
        let mut people: Vec<_> = (0..CROWD).map(|_| Person::new(house, purse)).collect();
        people.iter_mut().for_each(|person| person.publish(house, purse, CROWD / 2));
        let group = |_| {
            let (creator, others) = people.split_first_mut().unwrap();
            let candidates = others.iter_mut().map(|person| person.candidate(house, purse)).collect();
            let group = Group::new(house, purse, creator, candidates);
            people.rotate_left(1);
            group
        };
        (0..CROWD / 2).map(group).collect()
    }

    fn send(&mut self, spread: Spread) -> (Duration, Duration) {
        let calls = self.messages(spread);
        let entries = (CROWD * (CROWD - 1)) as u64;
        let began = Instant::now();
        let (time, ()) = cost(|| self.house.crowded(&SendMessage::DESCRIPTION, calls, entries));
        (time, began.elapsed())
    }

    /// A message of each of 64.
    fn messages(&mut self, spread: Spread) -> Vec<Call> {
        let Self { house, purse, groups } = self;
        let message = |number: usize| match spread {
            Spread::OneGroup => groups[0].message(house, purse, number),
            Spread::ManyGroups => groups[number].message(house, purse, 0),
        };
        (0..CROWD).map(message).collect()
    }
}

/// Who sends at once; also how many are in each group.
const CROWD: usize = 64;
