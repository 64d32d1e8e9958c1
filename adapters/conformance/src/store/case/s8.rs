//! S8 forgetful: a partition that has neither rows nor alarm is gone, with its mark.

use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Base, Part, PartitionKey, Place, Snapshot, Wanted, Write};

use crate::store::Violation;
use crate::store::sitting::{
    Sitting, alarm, append, bytes, check, delete, number_of, put, queue, take, write,
};

pub(in crate::store) async fn s8_the_last_row_takes_its_partition_along(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    let partition = queue("queue");
    for last in [delete("b"), take("b"), Write::DeleteBelow(bytes("c")), Write::Drop] {
        // given a partition with one row left
        sitting.done(&[write(&partition, [put("a", "1"), put("b", "2")])]).await?;
        sitting.done(&[write(&partition, [take("a")])]).await?;
        let mark = sitting.whole(&partition).await?.mark;
        sitting.expect(mark.is_some(), "a partition with a row is there")?;

        // when that row goes, then the partition is gone, with its mark
        sitting.done(&[write(&partition, [last])]).await?;
        is_gone(sitting, &partition).await?;
    }
    Ok(())
}

pub(in crate::store) async fn s8_an_alarm_alone_keeps_a_partition(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition with an alarm and no row
    let partition = queue("queue");
    let spent = Part { base: Base::Absent, ..alarm(&partition, Alarm::At(Timestamp(5))) };
    sitting.done(std::slice::from_ref(&spent)).await?;

    // when it is read, or made again, then it is there
    let found = sitting.whole(&partition).await?;
    let expected = Snapshot { mark: Some(spent.mark), alarm: Some(Timestamp(5)), ..Snapshot::default() };
    sitting.expect(found == expected, "an alarm alone keeps a partition")?;
    sitting.conflict(&[Part { base: Base::Absent, ..alarm(&partition, Alarm::At(Timestamp(6))) }]).await?;

    // and when the alarm goes, it is gone
    sitting.done(&[Part { base: Base::At(spent.mark), ..alarm(&partition, Alarm::Never) }]).await?;
    is_gone(sitting, &partition).await
}

pub(in crate::store) async fn s8_a_dropped_partition_is_gone(sitting: &Sitting<'_>) -> Result<(), Violation> {
    // given a partition with rows and an alarm
    let partition = queue("queue");
    let full = Part {
        alarm: Alarm::At(Timestamp(5)),
        ..write(&partition, [append("a"), append("b"), put("c", "d")])
    };
    sitting.done(&[full]).await?;

    // when it is dropped, then it is gone
    sitting.done(&[write(&partition, [Write::Drop])]).await?;
    is_gone(sitting, &partition).await?;
    sitting.expect(
        sitting.due(partition.space(), u64::MAX, 10).await?.is_empty(),
        "a drop takes the alarm along",
    )?;

    // and one made anew counts from nought
    sitting.done(&[Part { base: Base::Absent, ..write(&partition, [append("x")]) }]).await?;
    let rows = sitting.whole(&partition).await?.rows;
    let numbers: Vec<_> = rows.iter().filter_map(|(row, _)| number_of(row)).collect();
    sitting.expect(numbers == [0], "a partition made anew remembers nothing")
}

pub(in crate::store) async fn s8_a_write_that_leaves_nothing_makes_no_partition(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given no partition
    let partition = queue("queue");

    // when parts write that leave neither row nor alarm, then there is none afterwards
    for writes in [[delete("a"), delete("b")], [put("a", "1"), delete("a")], [append("x"), Write::Drop]] {
        sitting.done(&[write(&partition, writes)]).await?;
        is_gone(sitting, &partition).await?;
    }
    sitting.done(&[alarm(&partition, Alarm::Never)]).await?;
    is_gone(sitting, &partition).await
}

pub(in crate::store) async fn s8_a_partition_emptied_and_filled_by_one_batch_lives_on(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition with appended rows
    let partition = queue("queue");
    sitting.done(&[write(&partition, [append("a"), append("b")])]).await?;

    // when one part removes all and appends another
    let below = Write::DeleteBelow(bytes("\u{7f}"));
    sitting.done(&[write(&partition, [below, append("c")])]).await?;

    // then the partition was never empty to anyone, and its numbering goes on
    let rows = sitting.whole(&partition).await?.rows;
    let numbers: Vec<_> = rows.iter().filter_map(|(row, _)| number_of(row)).collect();
    sitting.expect(numbers == [2], "a partition is judged empty after the whole part")
}

async fn is_gone(sitting: &Sitting<'_>, partition: &PartitionKey) -> Result<(), Violation> {
    for wanted in [Wanted::Mark, Wanted::first(9), Wanted::Keys(vec![bytes("a")])] {
        let place = Place { partition: partition.clone(), wanted };
        let found = sitting.read(&[place]).await?;
        sitting.expect(
            found == [Snapshot::default()],
            "a partition without rows and alarm is gone, with its mark",
        )?;
    }
    sitting.done(&[check(partition, Base::Absent)]).await
}
