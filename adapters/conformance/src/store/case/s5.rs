//! S5 durable: what `Done` was returned for outlives `kill -9` and power loss.

use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Part, Space};

use crate::store::Violation;
use crate::store::sitting::{Sitting, append, number_of, numbered, put, queue, write};

pub(in crate::store) async fn s5_what_was_done_is_there_after_a_kill(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    for round in 0..12 {
        // given a batch that was done
        let partition = numbered(Space::Ds, round);
        let row = write(&partition, [put("row", "value")]);
        sitting
            .done(&[Part { alarm: Alarm::At(Timestamp(round)), ..row }, write(&queue("log"), [append("x")])])
            .await?;
        let before = sitting.whole(&partition).await?;

        // when the store is killed at once
        let Some(revived) = sitting.revived().await? else { return Ok(()) };

        // then its successor has it
        let after = revived.whole(&partition).await?;
        sitting.expect(before == after, "what was done is there after a kill")?;
        let due = revived.due(Space::Ds, u64::MAX, 100).await?;
        sitting.expect(due.contains(&partition), "alarms outlive a kill")?;
    }
    Ok(())
}

pub(in crate::store) async fn s5_the_numbering_goes_on_after_a_kill(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given a partition of which rows were taken
    let partition = queue("queue");
    let append = || append("x");
    let keep = Part { alarm: Alarm::At(Timestamp(1)), ..write(&partition, [append(), append(), append()]) };
    sitting.done(&[keep]).await?;
    sitting.done(&[write(&partition, [phoenix_core::port::Write::DeleteBelow(vec![255].into())])]).await?;

    // when the store is killed and its successor appends
    let Some(revived) = sitting.revived().await? else { return Ok(()) };
    revived.done(&[write(&partition, [append()])]).await?;

    // then no number is given again
    let rows = revived.whole(&partition).await?.rows;
    let numbers: Vec<_> = rows.iter().filter_map(|(row, _)| number_of(row)).collect();
    sitting.expect(numbers == [3], "the numbering goes on after a kill")
}
