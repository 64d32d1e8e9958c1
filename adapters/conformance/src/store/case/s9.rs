//! S9 cancel-safe: a dropped future leaves the state as before or as committed.

use futures::poll;
use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Batch, Part, Place, Space, Wanted};

use crate::store::Violation;
use crate::store::sitting::{Sitting, append, numbered, pause, queue, write};

pub(in crate::store) async fn s9_a_dropped_commit_is_whole_or_absent(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    for polls in 0..40 {
        // given a batch of several partitions
        let partitions: Vec<_> = (0..4).map(|number| numbered(Space::Qs, polls * 10 + number)).collect();
        let append = |partition| Part { alarm: Alarm::At(Timestamp(1)), ..write(partition, [append("x")]) };
        let batch = Batch { parts: partitions.iter().map(append).collect() };

        // when its commit is dropped on its way
        let mut commit = sitting.store().commit(&batch);
        for _ in 0..polls % 5 {
            if poll!(&mut commit).is_ready() {
                break;
            }
            pause().await;
        }
        drop(commit);
        sitting.done(&[write(&queue("after"), [crate::store::sitting::append("x")])]).await?;

        // then all of its partitions were written, or none
        let places = partitions
            .iter()
            .map(|partition| Place { partition: partition.clone(), wanted: Wanted::first(9) });
        let places: Vec<_> = places.collect();
        // Places of one read need not agree, so what is still on its way may show in part: the second look counts.
        sitting.read(&places).await?;
        let found = sitting.read(&places).await?;
        let written = found.iter().filter(|snapshot| snapshot.mark.is_some()).count();
        sitting.expect(written == 0 || written == found.len(), "a dropped commit is whole or absent")?;
        let whole = found.iter().all(|found| found.rows.len() == usize::from(found.mark.is_some()));
        sitting.expect(whole, "a dropped commit leaves rows and mark together")?;
    }
    Ok(())
}

pub(in crate::store) async fn s9_a_store_goes_on_after_dropped_futures(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given many calls that were dropped on their way
    let partition = queue("queue");
    for _ in 0..50 {
        let batch = Batch { parts: vec![write(&partition, [append("dropped")])] };
        let mut commit = sitting.store().commit(&batch);
        let mut due = sitting.store().due(Space::Qs, Timestamp(9), 9);
        let _ = (poll!(&mut commit), poll!(&mut due));
    }

    // when someone goes on, then everything works as before
    sitting.done(&[write(&partition, [append("kept")])]).await?;
    let rows = sitting.whole(&partition).await?.rows;
    let kept = rows.iter().filter(|(_, value)| *value == "kept").count();
    sitting.expect(kept == 1, "a store goes on after dropped futures")?;
    sitting.expect(rows.len() <= 51, "no dropped batch is applied twice")
}
