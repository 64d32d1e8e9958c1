//! S3 current: a read shows all commits that returned before it began, from any replica.

use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Space, Wanted};

use crate::store::Violation;
use crate::store::sitting::{Sitting, alarm, append, numbered, on_threads, queue, write};

pub(in crate::store) async fn s3_a_read_shows_what_was_done_before_it(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    written_here_shows_there(sitting, sitting).await
}

pub(in crate::store) async fn s3_a_replica_shows_what_was_done_before_it(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    let Some(replica) = sitting.replica().await? else { return Ok(()) };
    written_here_shows_there(sitting, &replica).await?;
    written_here_shows_there(&replica, sitting).await
}

async fn written_here_shows_there(here: &Sitting<'_>, there: &Sitting<'_>) -> Result<(), Violation> {
    // given a partition
    let partition = queue("queue");
    for round in 0..30 {
        // when it is written here
        let part = write(&partition, [append("x")]);
        here.done(std::slice::from_ref(&part)).await?;
        here.done(&[alarm(&numbered(Space::Spent, round), Alarm::At(Timestamp(round)))]).await?;

        // then a read there shows it
        let mark = there.look(&partition, Wanted::Mark).await?.mark;
        here.expect(mark == Some(part.mark), "a read shows what was done before it")?;
        let due = there.due(Space::Spent, round, 100).await?;
        here.expect(due.contains(&numbered(Space::Spent, round)), "a ringing alarm shows at once")?;
    }
    // and is gone when it was removed here
    here.done(&[write(&partition, [phoenix_core::port::Write::Drop])]).await?;
    here.expect(there.look(&partition, Wanted::Mark).await?.mark.is_none(), "a read shows what was removed")
}

pub(in crate::store) async fn s3_everyone_reads_their_own_writes_at_once(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    let everyone = (0..4_u64).map(|who| async move {
        // given a partition of one's own
        let partition = numbered(Space::As, who);
        for _ in 0..25 {
            // when it is written, beside others who write theirs
            let part = write(&partition, [append("x")]);
            sitting.done(std::slice::from_ref(&part)).await?;

            // then the next read shows it
            let mark = sitting.look(&partition, Wanted::Mark).await?.mark;
            sitting.expect(mark == Some(part.mark), "one reads what one has written")?;
        }
        Ok(())
    });
    on_threads(everyone)
}
