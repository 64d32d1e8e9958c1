//! S2 conditional: a batch is applied only if every named partition is at its base.

use std::sync::atomic::{AtomicUsize, Ordering};

use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Base, Commit, Part, Wanted};

use crate::store::Violation;
use crate::store::sitting::{Sitting, alarm, append, check, fresh_mark, on_threads, put, queue, rows, write};

pub(in crate::store) async fn s2_a_base_that_does_not_hold_is_a_conflict(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition that was written twice
    let partition = queue("queue");
    let on = |base: Base| Part { base, ..write(&partition, [put("row", "value")]) };
    let (first, second) = (on(Base::Absent), on(Base::Any));
    sitting.conflict(&[on(Base::At(fresh_mark()))]).await?;
    sitting.done(std::slice::from_ref(&first)).await?;
    sitting.done(std::slice::from_ref(&second)).await?;

    // when it is written on what was before, then that is a conflict
    sitting.conflict(&[on(Base::At(first.mark))]).await?;
    sitting.conflict(&[on(Base::Absent)]).await?;
    sitting.conflict(&[on(Base::At(fresh_mark()))]).await?;

    // and when it is written on what is now, it is done
    let third = on(Base::At(second.mark));
    sitting.done(std::slice::from_ref(&third)).await?;
    sitting.conflict(&[on(Base::At(second.mark))]).await?;
    sitting.done(&[on(Base::At(third.mark))]).await
}

pub(in crate::store) async fn s2_a_written_partition_carries_the_mark_of_its_part(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given two partitions
    let (first, second) = (queue("first"), queue("second"));
    let parts = [write(&first, [put("row", "value")]), write(&second, [append("value")])];

    // when one batch writes both, then each carries its own part's mark
    sitting.done(&parts).await?;
    for part in &parts {
        let mark = sitting.look(&part.partition, Wanted::Mark).await?.mark;
        sitting.expect(mark == Some(part.mark), "a written partition carries its part's mark")?;
    }

    // and a part that sets the alarm alone, or removes what is not there, is a write as well
    for again in
        [alarm(&first, Alarm::At(Timestamp(9))), write(&first, [crate::store::sitting::delete("missing")])]
    {
        sitting.done(std::slice::from_ref(&again)).await?;
        let mark = sitting.look(&first, Wanted::Mark).await?.mark;
        sitting.expect(mark == Some(again.mark), "every write leaves its mark")?;
    }
    Ok(())
}

pub(in crate::store) async fn s2_a_partition_only_checked_keeps_its_mark(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition
    let (watched, other, absent) = (queue("watched"), queue("other"), queue("absent"));
    let part = write(&watched, [put("row", "value")]);
    sitting.done(std::slice::from_ref(&part)).await?;

    // when batches check it, then its mark stays
    let base = Base::At(part.mark);
    sitting
        .done(&[check(&watched, base), check(&absent, Base::Absent), write(&other, [append("x")])])
        .await?;
    sitting.done(&[check(&watched, Base::Any), check(&absent, Base::Any)]).await?;
    let found = sitting.whole(&watched).await?;
    sitting.expect(found.mark == Some(part.mark), "a check leaves the mark as it is")?;
    sitting.expect(found.rows == rows(&[("row", "value")]), "a check leaves the rows as they are")?;
    sitting.expect(sitting.whole(&absent).await?.mark.is_none(), "a check makes no partition")
}

pub(in crate::store) async fn s2_a_check_that_fails_holds_the_writes_back(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition that has moved on
    let (watched, other) = (queue("watched"), queue("other"));
    let seen = write(&watched, [put("row", "seen")]);
    sitting.done(std::slice::from_ref(&seen)).await?;
    sitting.done(&[write(&watched, [put("row", "moved")])]).await?;

    // when a batch writes another on condition of what was seen, then it is a conflict
    for part in [check(&watched, Base::At(seen.mark)), check(&watched, Base::Absent)] {
        sitting.conflict(&[write(&other, [append("x")]), part]).await?;
    }
    sitting.expect(sitting.whole(&other).await?.mark.is_none(), "a check that fails holds the writes back")
}

pub(in crate::store) async fn s2_of_many_who_write_on_one_base_one_wins(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    let (partition, replica) = (queue("queue"), sitting.replica().await?);
    let mut base = Base::Absent;
    for _ in 0..10 {
        // given one base, and many who know it, at all replicas
        let parts: Vec<Part> =
            (0..8).map(|_| Part { base, ..write(&partition, [put("row", "x")]) }).collect();
        let won = AtomicUsize::new(0);

        // when all write at once, some by one task and some by threads of their own
        let attempt = |(who, part): (usize, Part)| {
            let won = &won;
            let here = replica.as_ref().filter(|_| who % 2 == 1).unwrap_or(sitting);
            async move {
                let commit = here.commit(&[part]).await?;
                won.fetch_add(usize::from(commit == Commit::Done), Ordering::SeqCst);
                Ok(())
            }
        };
        let mut apart: Vec<_> = parts.iter().cloned().enumerate().map(attempt).collect();
        let together = apart.split_off(4);
        let together = async { futures::future::try_join_all(together).await.map(drop) };
        let apart = apart.into_iter().map(futures::future::FutureExt::boxed);
        on_threads(apart.chain([futures::future::FutureExt::boxed(together)]))?;

        // then one has won, and its mark is the new base
        sitting.expect(won.into_inner() == 1, "of many who write on one base exactly one wins")?;
        let mark = sitting.look(&partition, Wanted::Mark).await?.mark;
        sitting.expect(parts.iter().any(|part| Some(part.mark) == mark), "the mark is the winner's")?;
        base = mark.map_or(Base::Absent, Base::At);
    }
    Ok(())
}
