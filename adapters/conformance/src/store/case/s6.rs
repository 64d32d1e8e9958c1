//! S6 alarmed: `due` returns a partition exactly while its last committed alarm is at or before `now`.

use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Base, Part, PartitionKey, Space, Write};

use crate::store::Violation;
use crate::store::sitting::{Sitting, alarm, check, fresh_mark, numbered, put, queue, write};

pub(in crate::store) async fn s6_a_partition_is_due_from_its_alarm_on(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition with an alarm, and others without one or in another space
    let partition = numbered(Space::Spent, 1);
    let twin = numbered(Space::Lane, 1);
    let silent = numbered(Space::Spent, 2);
    let later = Timestamp(2_000);
    sitting
        .done(&[alarm(&partition, at(1_000)), alarm(&twin, at(500)), write(&silent, [put("row", "x")])])
        .await?;

    // when time passes, then it is due from its alarm on, and stays so
    for (now, is_due) in [(0, false), (999, false), (1_000, true), (1_001, true), (u64::MAX, true)] {
        let due = sitting.due(Space::Spent, now, 10).await?;
        let expected: &[PartitionKey] = if is_due { std::slice::from_ref(&partition) } else { &[] };
        sitting.expect(due == expected, "a partition is due from its alarm on, in its own space")?;
    }
    sitting.done(&[alarm(&partition, Alarm::At(later))]).await?;
    sitting.expect(
        sitting.due(Space::Spent, 1_999, 10).await?.is_empty(),
        "an alarm that was moved rings later",
    )?;
    let alarm = sitting.whole(&partition).await?.alarm;
    sitting.expect(alarm == Some(later), "a read shows the alarm")
}

pub(in crate::store) async fn s6_only_the_last_committed_alarm_counts(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition that has a row, so that it stays
    let partition = queue("queue");
    sitting.done(&[write(&partition, [put("row", "x")])]).await?;

    // when its alarm changes, then what it was before is forgotten
    let steps = [
        (Alarm::IfNone(Timestamp(50)), Some(50)),
        (Alarm::IfNone(Timestamp(20)), Some(50)),
        (at(70), Some(70)),
        (at(30), Some(30)),
        (Alarm::Never, None),
        (Alarm::Never, None),
        (Alarm::IfNone(Timestamp(40)), Some(40)),
    ];
    for (change, expected) in steps {
        sitting.done(&[alarm(&partition, change)]).await?;
        sitting.done(&[write(&partition, [put("row", "y")])]).await?;
        rings_exactly_from(sitting, &partition, expected).await?;
    }

    // and a drop takes it away, unless its own part sets one
    sitting.done(&[Part { alarm: Alarm::IfNone(Timestamp(60)), ..write(&partition, [Write::Drop]) }]).await?;
    rings_exactly_from(sitting, &partition, Some(60)).await?;
    sitting.done(&[write(&partition, [Write::Drop, put("row", "z")])]).await?;
    rings_exactly_from(sitting, &partition, None).await
}

async fn rings_exactly_from(
    sitting: &Sitting<'_>,
    partition: &PartitionKey,
    expected: Option<u64>,
) -> Result<(), Violation> {
    sitting.expect(
        sitting.whole(partition).await?.alarm == expected.map(Timestamp),
        "the last alarm is shown",
    )?;
    for now in 0..100 {
        let due = sitting.due(partition.space(), now, 10).await?;
        let is_due = expected.is_some_and(|alarm| alarm <= now);
        sitting.expect(due.contains(partition) == is_due, "only the last committed alarm counts")?;
    }
    Ok(())
}

pub(in crate::store) async fn s6_the_oldest_alarm_comes_first_and_no_more_than_asked(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given many partitions whose alarms are not in the order of their keys
    let alarms: Vec<(PartitionKey, u64)> =
        (0..40).map(|number| (numbered(Space::Peers, number), number * 7 % 41 * 10)).collect();
    for (partition, time) in &alarms {
        sitting.done(&[alarm(partition, at(*time))]).await?;
    }
    let mut expected = alarms;
    expected.sort_by_key(|(_, time)| *time);

    // when some are asked for, then they are the oldest, in their order
    for limit in [0, 1, 2, 17, 40, 100] {
        let due = sitting.due(Space::Peers, 205, limit).await?;
        let oldest =
            expected.iter().filter(|(_, time)| *time <= 205).take(limit).map(|(partition, _)| partition);
        sitting.expect(due.iter().eq(oldest), "the oldest alarms come first, and no more than asked")?;
    }
    Ok(())
}

pub(in crate::store) async fn s6_a_conflict_leaves_the_alarm(sitting: &Sitting<'_>) -> Result<(), Violation> {
    // given a partition with an alarm
    let partition = queue("queue");
    sitting.done(&[alarm(&partition, at(10))]).await?;

    // when batches that would change it are conflicts
    for change in [at(5), at(50), Alarm::Never] {
        let stale = check(&queue("other"), Base::At(fresh_mark()));
        sitting.conflict(&[alarm(&partition, change), stale]).await?;
    }

    // then it rings as before
    sitting.expect(sitting.due(Space::Qs, 9, 10).await?.is_empty(), "a conflict moves no alarm")?;
    sitting.expect(sitting.due(Space::Qs, 10, 10).await? == [partition], "a conflict clears no alarm")
}

pub(in crate::store) async fn s6_the_first_and_the_last_instant_can_be_alarms(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given alarms at the ends of time, and around where a signed count would turn over
    let middle = u64::MAX / 2;
    let times = [0, 1, middle - 1, middle, middle + 1, u64::MAX - 1, u64::MAX];
    let partitions: Vec<_> =
        (0..).zip(times).map(|(number, time)| (numbered(Space::Ds, number), time)).collect();
    for (partition, time) in &partitions {
        sitting.done(&[alarm(partition, at(*time))]).await?;
    }

    // when any of these is now, then those before it are due
    for now in times {
        let due = sitting.due(Space::Ds, now, 10).await?;
        let expected = partitions.iter().filter(|(_, time)| *time <= now).map(|(partition, _)| partition);
        sitting.expect(due.iter().eq(expected), "times are ordered from the first to the last")?;
    }
    Ok(())
}

const fn at(time: u64) -> Alarm {
    Alarm::At(Timestamp(time))
}
