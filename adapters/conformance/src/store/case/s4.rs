//! S4 snapshot: rows, mark and alarm of one place are of one instant.

use bytes::Bytes;
use futures::FutureExt;
use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Part, PartitionKey, Place, Snapshot, Wanted, Write};

use crate::store::Violation;
use crate::store::sitting::{Sitting, bytes, on_threads, pause, put, queue, write};

pub(in crate::store) async fn s4_rows_mark_and_alarm_are_of_one_instant(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given someone who writes a partition again and again, when another reads it meanwhile
    let partition = queue("queue");
    let (wrote, read) = futures::join!(write_on(sitting, &partition), read_on(sitting, &partition));

    // then each snapshot is of one batch
    wrote.and(read)
}

pub(in crate::store) async fn s4_a_range_and_listed_rows_are_of_one_instant_under_threads(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    let partition = queue("queue");
    on_threads([write_on(sitting, &partition).boxed(), read_on(sitting, &partition).boxed()])
}

/// Each batch writes its mark into two rows far apart, and its alarm into a third.
async fn write_on(sitting: &Sitting<'_>, partition: &PartitionKey) -> Result<(), Violation> {
    for round in 0..ROUNDS {
        let part = write(partition, []);
        let mark = Bytes::copy_from_slice(&part.mark.0);
        let time = Bytes::copy_from_slice(&round.to_be_bytes());
        let writes = vec![
            Write::Put(bytes("a"), mark.clone()),
            Write::Put(bytes("m"), time),
            Write::Put(bytes("z"), mark),
        ];
        sitting.done(&[Part { writes, alarm: Alarm::At(Timestamp(round)), ..part }]).await?;
        pause().await;
    }
    Ok(())
}

async fn read_on(sitting: &Sitting<'_>, partition: &PartitionKey) -> Result<(), Violation> {
    for round in 0..ROUNDS {
        let listed = Wanted::Keys(vec![bytes("z"), bytes("a"), bytes("m")]);
        let wanted = if round % 2 == 0 { Wanted::first(3) } else { listed };
        let snapshot = sitting.look(partition, wanted).await?;
        sitting.expect(is_of_one_batch(&snapshot), "rows, mark and alarm are of one instant")?;
        pause().await;
    }
    Ok(())
}

fn is_of_one_batch(snapshot: &Snapshot) -> bool {
    let Some(mark) = snapshot.mark else { return *snapshot == Snapshot::default() };
    let Some(alarm) = snapshot.alarm else { return false };
    let [(_, first), (_, middle), (_, last)] = snapshot.rows.as_slice() else { return false };
    first == mark.0.as_slice() && last == mark.0.as_slice() && middle == alarm.0.to_be_bytes().as_slice()
}

pub(in crate::store) async fn s4_places_come_back_in_the_order_asked(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given two partitions
    let (first, second) = (queue("first"), queue("second"));
    let parts = [write(&first, [put("row", "1")]), write(&second, [put("row", "2")])];
    sitting.done(&parts).await?;

    // when they are read with one that does not exist, in any order and twice
    let place = |partition: PartitionKey| Place { partition, wanted: Wanted::first(1) };
    let places = [place(second.clone()), place(queue("third")), place(first), place(second)];
    let marks: Vec<_> = sitting.read(&places).await?.into_iter().map(|snapshot| snapshot.mark).collect();

    // then each answer stands where its place was asked
    let [first, second] = parts.map(|part| Some(part.mark));
    sitting.expect(marks == [second, None, first, second], "places come back in the order asked")
}

const ROUNDS: u64 = 150;
