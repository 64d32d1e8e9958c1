//! S10 traceable: the same batch given again answers `Done` and changes nothing, as long as one of its
//! partitions carries its mark.

use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Base, Part, PartitionKey, Snapshot};

use crate::store::Violation;
use crate::store::sitting::{Sitting, alarm, append, put, queue, take, write};

pub(in crate::store) async fn s10_a_batch_given_again_changes_nothing(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a batch that was done, with writes that would show if they were done twice
    let (lane, list) = (queue("lane"), queue("list"));
    sitting.done(&[write(&lane, [append("head"), put("row", "x")])]).await?;
    let parts = [write(&lane, [take("row"), append("tail")]), write(&list, [append("entry")])];
    sitting.done(&parts).await?;
    let before = both(sitting, &lane, &list).await?;

    // when it is given again, then it is done, and nothing has changed
    for _ in 0..3 {
        sitting.done(&parts).await?;
        let after = both(sitting, &lane, &list).await?;
        sitting.expect(before == after, "a batch given again changes nothing")?;
    }
    Ok(())
}

pub(in crate::store) async fn s10_a_batch_given_again_is_done_though_its_base_has_moved(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given batches whose bases were true only before them
    let (token, record) = (queue("token"), queue("record"));
    let old = write(&record, [put("row", "old")]);
    sitting.done(std::slice::from_ref(&old)).await?;
    let spend = Part { base: Base::Absent, ..alarm(&token, Alarm::At(Timestamp(9))) };
    let change = Part { base: Base::At(old.mark), ..write(&record, [put("row", "new")]) };
    let parts = [spend, change];
    sitting.done(&parts).await?;

    // when they are given again, then they are done
    let before = both(sitting, &token, &record).await?;
    sitting.done(&parts).await?;
    sitting.expect(before == both(sitting, &token, &record).await?, "a batch given again changes nothing")?;

    // but the same with marks of its own is a conflict
    let others: Vec<Part> =
        parts.iter().map(|part| Part { mark: write(&part.partition, []).mark, ..part.clone() }).collect();
    sitting.conflict(&others).await
}

pub(in crate::store) async fn s10_one_partition_that_carries_its_mark_is_enough(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a batch that was done, and partitions of it that others have written since, and emptied
    let (kept, moved, gone) = (queue("kept"), queue("moved"), queue("gone"));
    let parts = [
        write(&moved, [append("first")]),
        Part { base: Base::Absent, ..write(&gone, [put("row", "first")]) },
        write(&kept, [append("first")]),
    ];
    sitting.done(&parts).await?;
    sitting.done(&[write(&moved, [append("second")]), write(&gone, [take("row")])]).await?;
    let before = [both(sitting, &kept, &moved).await?, both(sitting, &gone, &gone).await?];

    // when it is given again, then it is known by the one that still carries its mark
    sitting.done(&parts).await?;
    let after = [both(sitting, &kept, &moved).await?, both(sitting, &gone, &gone).await?];
    sitting.expect(before == after, "one partition that carries its mark is enough")
}

pub(in crate::store) async fn s10_a_batch_given_again_to_a_replica_changes_nothing(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given two replicas that have both been at work
    let Some(replica) = sitting.replica().await? else { return Ok(()) };
    let (lane, record) = (queue("lane"), queue("record"));
    sitting.done(&[write(&lane, [append("first"), put("row", "x")])]).await?;
    replica.done(&[write(&lane, [append("second"), put("line", "x")])]).await?;

    for (round, (here, there)) in [(sitting, &replica), (&replica, sitting)].into_iter().enumerate() {
        // when a batch is done here and given again there, as when a caller goes elsewhere for its answer
        let token = queue(if round == 0 { "token" } else { "another token" });
        let spend = Part { base: Base::Absent, ..alarm(&token, Alarm::At(Timestamp(9))) };
        let taken = take(if round == 0 { "row" } else { "line" });
        let parts = [spend, write(&lane, [taken, append("tail")]), write(&record, [append("entry")])];
        here.done(&parts).await?;
        let before = both(there, &lane, &record).await?;
        there.done(&parts).await?;

        // then it is done, and nothing has changed, though others have written a part of it meanwhile
        sitting.expect(before == both(here, &lane, &record).await?, "a replica knows a batch again")?;
        there.done(&[write(&record, [append("other")])]).await?;
        let before = both(here, &lane, &record).await?;
        here.done(&parts).await?;
        sitting.expect(before == both(there, &lane, &record).await?, "a replica knows a batch again")?;
    }
    Ok(())
}

async fn both(
    sitting: &Sitting<'_>,
    first: &PartitionKey,
    second: &PartitionKey,
) -> Result<(Snapshot, Snapshot), Violation> {
    Ok((sitting.whole(first).await?, sitting.whole(second).await?))
}
