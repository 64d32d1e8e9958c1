//! S1 atomic: a batch is applied whole or not at all, whatever fails and whoever looks.

use bytes::Bytes;
use futures::FutureExt;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Alarm, Base, MAX_BATCH_BYTES, MAX_PARTS, MAX_VALUE, MAX_WRITES, Part, RowKey, Snapshot, Space, Wanted,
    Write,
};

use crate::store::Violation;
use crate::store::sitting::{
    Sitting, alarm, append, bytes, check, delete, fresh_mark, numbered, on_threads, pause, put, queue, rows,
    take, write,
};

pub(in crate::store) async fn s1_a_stale_base_undoes_the_other_parts(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given two partitions, one with an alarm
    let (first, second, third) = (queue("first"), queue("second"), queue("third"));
    sitting.done(&[write(&first, [put("row", "old")]), alarm(&second, Alarm::At(Timestamp(7)))]).await?;
    let before = [sitting.whole(&first).await?, sitting.whole(&second).await?];

    // when a batch writes them and a third, but expects something wrong of a fourth
    let stale = check(&queue("fourth"), Base::At(fresh_mark()));
    let parts = [
        write(&first, [put("row", "new")]),
        alarm(&second, Alarm::Never),
        write(&third, [append("new")]),
        stale,
    ];
    sitting.conflict(&parts).await?;

    // then nothing has changed
    let after = [sitting.whole(&first).await?, sitting.whole(&second).await?];
    sitting.expect(before == after, "a conflict changes no partition")?;
    sitting.expect(sitting.whole(&third).await?.mark.is_none(), "a conflict makes no partition")
}

pub(in crate::store) async fn s1_a_missing_row_to_take_undoes_what_stands_before_it(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given two partitions with rows
    let (first, second) = (queue("first"), queue("second"));
    sitting.done(&[write(&first, [put("a", "1"), put("b", "2")]), write(&second, [append("kept")])]).await?;
    let before = [sitting.whole(&first).await?, sitting.whole(&second).await?];

    // when batches write both of them, and then take what is not there
    let gone = write(&second, [append("lost"), take("missing")]);
    sitting.conflict(&[write(&first, [Write::Drop]), gone]).await?;
    let twice = write(&second, [put("new", "lost"), take("new"), take("new")]);
    sitting.conflict(&[write(&first, [Write::DeleteBelow(bytes("b"))]), twice]).await?;
    sitting.conflict(&[write(&first, [put("c", "lost"), Write::Drop, take("a")])]).await?;
    sitting.conflict(&[write(&first, [Write::DeleteBelow(bytes("b")), take("a")])]).await?;
    sitting.conflict(&[write(&first, [delete("b"), take("b")])]).await?;

    // then nothing has changed
    let after = [sitting.whole(&first).await?, sitting.whole(&second).await?];
    sitting.expect(before == after, "a row that cannot be taken undoes the whole batch")
}

pub(in crate::store) async fn s1_whoever_looks_sees_all_partitions_of_a_batch_or_none(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given someone who writes one number to two partitions at once, again and again
    let (first, second) = (numbered(Space::Ds, 1), numbered(Space::Ds, 2));
    let value = |number: u64| Write::Put(bytes("row"), Bytes::copy_from_slice(&number.to_be_bytes()));
    let count = |snapshot: Snapshot| snapshot.rows.first().map(|(_, value)| value.clone());
    let writer = || async {
        for number in 0..ROUNDS {
            sitting.done(&[write(&first, [value(number)]), write(&second, [value(number)])]).await?;
            pause().await;
        }
        Ok(())
    };

    // when someone else looks at one and then at the other, then the other is never behind
    let reader = || async {
        for round in 0..ROUNDS {
            let (one, other) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
            let earlier = count(sitting.look(one, Wanted::first(1)).await?);
            let later = count(sitting.look(other, Wanted::first(1)).await?);
            sitting.expect(earlier <= later, "who has seen one partition of a batch sees all of them")?;
            pause().await;
        }
        Ok(())
    };
    let (wrote, read) = futures::join!(writer(), reader());
    wrote.and(read)?;

    // and the same holds on threads of their own, once both begin anew
    sitting.done(&[write(&first, [Write::Drop]), write(&second, [Write::Drop])]).await?;
    on_threads([writer().boxed(), reader().boxed()])
}

pub(in crate::store) async fn s1_the_writes_of_a_part_apply_in_their_order(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition with rows
    let partition = queue("queue");
    sitting.done(&[write(&partition, [put("a", "1"), put("b", "2"), put("c", "3")])]).await?;

    // when a part writes rows more than once
    let writes =
        [put("a", "4"), Write::DeleteBelow(bytes("b")), put("a", "5"), delete("c"), take("b"), put("c", "6")];
    sitting.done(&[write(&partition, writes)]).await?;

    // then the last word on each row counts
    sitting.expect(
        sitting.whole(&partition).await?.rows == rows(&[("a", "5"), ("c", "6")]),
        "writes are applied in their order",
    )?;
    sitting
        .done(&[write(&partition, [put("d", "7"), Write::Drop, put("e", "8"), take("e"), put("f", "9")])])
        .await?;
    sitting.expect(
        sitting.whole(&partition).await?.rows == rows(&[("f", "9")]),
        "a drop removes what stands before it",
    )
}

pub(in crate::store) async fn s1_a_batch_at_every_bound_is_applied(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given batches of as many parts, writes and bytes as the contract allows
    let parts: Vec<Part> =
        most_parts().map(|number| write(&numbered(Space::Lane, number), [append("x")])).collect();
    let writes: Vec<Write> = most_writes().map(|number| Write::Put(row(number), Bytes::new())).collect();
    let many = Part { writes, ..write(&numbered(Space::As, 0), []) };
    let value = Bytes::from(vec![7; MAX_VALUE]);
    let large = write(&numbered(Space::Ds, 0), [Write::Append(value.clone())]);

    // when they are committed, then they are there
    sitting.done(&parts).await?;
    sitting.done(&[many]).await?;
    sitting.done(&[large]).await?;
    sitting.done(&[]).await?;
    for number in most_parts() {
        let found = sitting.whole(&numbered(Space::Lane, number)).await?;
        sitting.expect(found.rows.len() == 1, "every part of a full batch is applied")?;
    }
    let found = sitting.whole(&numbered(Space::As, 0)).await?;
    sitting.expect(found.rows.len() == MAX_WRITES, "every write of a full batch is applied")?;
    let found = sitting.whole(&numbered(Space::Ds, 0)).await?;
    sitting
        .expect(found.rows.iter().all(|(_, found)| *found == value), "the largest value comes back as it was")
}

pub(in crate::store) async fn s1_a_batch_beyond_a_bound_is_invalid_and_changes_nothing(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given batches that each break one bound
    let partition = queue("queue");
    let too_many_parts: Vec<Part> =
        (0..).take(MAX_PARTS + 1).map(|number| write(&numbered(Space::Qs, number), [append("x")])).collect();
    let too_many_writes = vec![append("x"); MAX_WRITES + 1];
    let half = Write::Append(Bytes::from(vec![7; MAX_VALUE]));
    let too_many_bytes = vec![half; MAX_BATCH_BYTES / MAX_VALUE];

    // when they are committed, then they are invalid
    sitting.invalid(&too_many_parts).await?;
    sitting.invalid(&[Part { writes: too_many_writes, ..write(&partition, []) }]).await?;
    sitting.invalid(&[Part { writes: too_many_bytes, ..write(&partition, []) }]).await?;
    sitting.invalid(&[write(&partition, [Write::Append(Bytes::from(vec![7; MAX_VALUE + 1]))])]).await?;
    sitting.invalid(&[write(&partition, [append("x")]), check(&partition, Base::Any)]).await?;

    // and nothing has changed
    let first = sitting.look(&numbered(Space::Qs, 0), Wanted::Mark).await?;
    sitting.expect(first.mark.is_none(), "an invalid batch changes nothing")?;
    sitting
        .expect(sitting.whole(&partition).await? == Snapshot::default(), "an invalid batch changes nothing")
}

fn most_parts() -> impl Iterator<Item = u64> {
    (0..u64::MAX).take(MAX_PARTS)
}

fn most_writes() -> impl Iterator<Item = u64> {
    (0..u64::MAX).take(MAX_WRITES)
}

fn row(number: u64) -> RowKey {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

const ROUNDS: u64 = 100;
