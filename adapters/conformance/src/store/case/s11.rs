//! S11 ordered: appended rows are numbered in commit order, never twice while the partition lives; a read that
//! shows a row shows all that were appended before it and not taken.

use bytes::Bytes;
use futures::FutureExt;
use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Base, Part, PartitionKey, Space, Write};

use crate::store::Violation;
use crate::store::sitting::{
    Sitting, append, bytes, check, fresh_mark, number_of, numbered, on_threads, pause, put, queue, write,
};

pub(in crate::store) async fn s11_appended_rows_are_counted_from_nought(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition with a row that was not appended
    let partition = queue("queue");
    sitting.done(&[write(&partition, [put("zero", "row")])]).await?;

    // when rows are appended by several batches
    sitting.done(&[write(&partition, [append("a"), append("b")])]).await?;
    sitting.done(&[write(&partition, [append("c")])]).await?;

    // then their keys are their numbers, in eight bytes
    let row = |number: u64, value| (Bytes::copy_from_slice(&number.to_be_bytes()), bytes(value));
    let expected = [row(0, "a"), row(1, "b"), row(2, "c"), (bytes("zero"), bytes("row"))];
    sitting.expect(sitting.whole(&partition).await?.rows == expected, "appended rows are counted from nought")
}

pub(in crate::store) async fn s11_a_number_is_not_given_twice_while_the_partition_lives(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition that lives by its alarm
    let partition = queue("queue");
    sitting.done(&[Part { alarm: Alarm::At(Timestamp(9)), ..write(&partition, []) }]).await?;
    let row = |number: u64| Bytes::copy_from_slice(&number.to_be_bytes());

    // when rows are appended and removed, from the head, from the tail and all of them
    let mut next = 0;
    for removed in 0..5 {
        sitting.done(&[write(&partition, [append("a"), append("b"), append("c")])]).await?;
        numbers_are(sitting, &partition, &[next, next + 1, next + 2]).await?;
        let writes = match removed {
            0 => vec![Write::Take(row(next)), Write::Take(row(next + 1)), Write::Take(row(next + 2))],
            1 => vec![Write::Delete(row(next + 2)), Write::Delete(row(next + 1)), Write::Delete(row(next))],
            _ => vec![Write::DeleteBelow(row(next + 3))],
        };
        sitting.done(&[Part { writes, ..write(&partition, []) }]).await?;
        next += 3;
    }

    // then no number comes back
    sitting.done(&[write(&partition, [append("last")])]).await?;
    numbers_are(sitting, &partition, &[next]).await
}

pub(in crate::store) async fn s11_a_conflict_takes_no_number(sitting: &Sitting<'_>) -> Result<(), Violation> {
    // given a partition with a row
    let partition = queue("queue");
    sitting.done(&[write(&partition, [append("a")])]).await?;

    // when appending ends in a conflict
    let stale = check(&queue("other"), Base::At(fresh_mark()));
    sitting.conflict(&[write(&partition, [append("lost")]), stale]).await?;

    // then the next row has the next number
    sitting.done(&[write(&partition, [append("b")])]).await?;
    numbers_are(sitting, &partition, &[0, 1]).await
}

pub(in crate::store) async fn s11_many_who_append_at_once_leave_no_gap(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given one lane
    let (lane, replica) = (queue("lane"), sitting.replica().await?);
    let there = replica.as_ref().unwrap_or(sitting);
    // when many append at once, at all replicas, and someone reads meanwhile, then the reader never sees a gap
    let reader = async {
        for _ in 0..ROUNDS {
            has_no_gap(sitting, &lane).await?;
            has_no_gap(there, &lane).await?;
            pause().await;
        }
        Ok(())
    };
    let writer = |who, here| appends(here, &lane, who);
    let two = async { futures::try_join!(writer(0, sitting), writer(1, there)).map(drop) };
    on_threads([two.boxed(), writer(2, sitting).boxed(), writer(3, there).boxed(), reader.boxed()])?;

    // and everyone's rows are there, each once and in their own order
    let rows = has_no_gap(sitting, &lane).await?;
    let values: Vec<u64> = rows.iter().filter_map(number_of).collect();
    for who in 0..4 {
        let own = values.iter().copied().filter(|value| value / 1_000 == who);
        sitting.expect(
            own.eq((0..ROUNDS).map(|round| who * 1_000 + round)),
            "rows keep the order of their commits",
        )?;
    }
    Ok(())
}

/// Appends numbers that tell who it was and in which order.
async fn appends(here: &Sitting<'_>, lane: &PartitionKey, who: u64) -> Result<(), Violation> {
    for round in 0..ROUNDS {
        // A batch brings a partition of its own, as a call brings its fare: it is known by that (S10).
        let receipt = write(&numbered(Space::Spent, who * 1_000 + round), [put("row", "x")]);
        let value = Bytes::copy_from_slice(&(who * 1_000 + round).to_be_bytes());
        here.done(&[write(lane, [Write::Append(value)]), receipt]).await?;
        pause().await;
    }
    Ok(())
}

/// Reads the lane and gives its values; its numbers must be 0, 1, 2 and so on.
async fn has_no_gap(sitting: &Sitting<'_>, lane: &PartitionKey) -> Result<Vec<Bytes>, Violation> {
    let rows = sitting.whole(lane).await?.rows;
    let numbers = rows.iter().map(|(row, _)| number_of(row));
    sitting.expect(numbers.eq((0..).map(Some).take(rows.len())), "who sees a row sees all before it")?;
    Ok(rows.into_iter().map(|(_, value)| value).collect())
}

async fn numbers_are(
    sitting: &Sitting<'_>,
    partition: &PartitionKey,
    expected: &[u64],
) -> Result<(), Violation> {
    let rows = sitting.whole(partition).await?.rows;
    let numbers: Vec<_> = rows.iter().filter_map(|(row, _)| number_of(row)).collect();
    sitting.expect(numbers == expected, "each number is given once, in the order of the commits")
}

const ROUNDS: u64 = 25;
