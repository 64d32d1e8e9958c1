//! S7 opaque: keys are ordered as bytes; keys and values are not interpreted.

use bytes::Bytes;
use phoenix_core::port::{Base, Part, PartitionKey, RowKey, Space, Wanted, Write};

use crate::store::Violation;
use crate::store::sitting::{Sitting, put, queue, write};

pub(in crate::store) async fn s7_rows_are_ordered_as_bytes(sitting: &Sitting<'_>) -> Result<(), Violation> {
    // given rows with awkward keys, written in no order
    let partition = queue("queue");
    let mut keys = awkward_keys();
    keys.reverse();
    for some in keys.chunks(50) {
        let writes = some.iter().map(|key| Write::Put(key.clone(), key.clone())).collect();
        sitting.done(&[Part { writes, ..write(&partition, []) }]).await?;
    }

    // when they are read, then they are in the order of their bytes
    keys.sort_unstable();
    let found: Vec<RowKey> = sitting.whole(&partition).await?.rows.into_iter().map(|(key, _)| key).collect();
    sitting.expect(found == keys, "rows are ordered as bytes")?;
    let listed =
        sitting.look(&partition, Wanted::Keys(keys.iter().rev().chain(&keys).cloned().collect())).await?;
    let listed: Vec<RowKey> = listed.rows.into_iter().map(|(key, _)| key).collect();
    sitting.expect(listed == keys, "rows that are listed come back once each, in the order of their bytes")
}

pub(in crate::store) async fn s7_keys_that_look_alike_name_different_things(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given partitions of all spaces whose keys look alike, each with a row of its own
    let all = || {
        Space::ALL
            .into_iter()
            .flat_map(|space| awkward_keys().into_iter().step_by(9).map(move |key| (space, key)))
    };
    for (space, key) in all() {
        let partition = PartitionKey::new(space, key.clone());
        let part = write(&partition, [Write::Put(key.clone(), Bytes::from(vec![space as u8]))]);
        sitting.done(&[Part { base: Base::Absent, ..part }]).await?;
    }

    // when each is read, then it has its own row alone
    for (space, key) in all() {
        let found = sitting.whole(&PartitionKey::new(space, key.clone())).await?.rows;
        let own = [(key, Bytes::from(vec![space as u8]))];
        sitting.expect(found == own, "keys are compared byte by byte, space by space")?;
    }
    Ok(())
}

pub(in crate::store) async fn s7_a_range_begins_with_its_first_key_and_ends_before_its_last(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given rows
    let partition = queue("queue");
    let keys: Vec<RowKey> = (0..=255_u8).map(|byte| Bytes::from(vec![byte])).collect();
    let writes = keys.iter().map(|key| Write::Put(key.clone(), Bytes::new())).collect();
    sitting.done(&[Part { writes, ..write(&partition, []) }]).await?;

    // when ranges of them are read, then they have the rows from the first to before the last, as many as asked
    let ranges =
        [(&[][..], &[][..], 300), (&[3], &[9], 300), (&[3], &[9], 6), (&[3], &[9], 5), (&[3], &[9], 0)];
    let more_ranges =
        [(&[250][..], &[][..], 6), (&[250], &[], 5), (&[9], &[3], 5), (&[7], &[7], 5), (&[7, 0], &[8, 0], 5)];
    for (from, below, limit) in ranges.into_iter().chain(more_ranges) {
        let is_wanted = |key: &&RowKey| key.as_ref() >= from && (below.is_empty() || key.as_ref() < below);
        let expected: Vec<&RowKey> = keys.iter().filter(is_wanted).collect();
        let limit_of = usize::try_from(limit).unwrap_or(usize::MAX);
        let (from, below) = (Bytes::copy_from_slice(from), Bytes::copy_from_slice(below));
        let found = sitting.look(&partition, Wanted::Range { from, below, limit, bytes: usize::MAX }).await?;
        let rows = found.rows.iter().map(|(key, _)| key);
        sitting.expect(
            rows.eq(expected.iter().copied().take(limit_of)),
            "a range has its rows, as many as asked",
        )?;
        sitting.expect(found.more == (expected.len() > limit_of), "a range tells whether there is more")?;
    }

    // and deleting below a key leaves that key
    sitting.done(&[write(&partition, [Write::DeleteBelow(Bytes::from_static(&[254]))])]).await?;
    let left: Vec<RowKey> = sitting.whole(&partition).await?.rows.into_iter().map(|(key, _)| key).collect();
    sitting.expect(left == [vec![254], vec![255]], "deleting below a key leaves the key")
}

pub(in crate::store) async fn s7_a_range_has_no_more_bytes_than_are_asked_for_but_one_row(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given four rows, of which the third is large
    let partition = queue("queue");
    let sizes = [300, 300, 70_000, 300];
    let row = |(key, size): (u8, usize)| Write::Put(Bytes::from(vec![key]), Bytes::from(vec![key; size]));
    let writes = (0_u8..).zip(sizes).map(row).collect();
    sitting.done(&[Part { writes, ..write(&partition, []) }]).await?;

    // when so many bytes are asked for from a row on, then those come that fit, and one at least
    let cases =
        [(0, 599, 1), (0, 600, 2), (0, 70_599, 2), (0, 70_600, 3), (0, 70_900, 4), (2, 0, 1), (2, 70_300, 2)];
    for (first, bytes, expected) in cases {
        let (from, below) = (Bytes::from(vec![first]), Bytes::new());
        let found = sitting.look(&partition, Wanted::Range { from, below, limit: 9, bytes }).await?;
        sitting.expect(
            found.rows.len() == expected,
            "a range has the rows that its bytes allow, and one at least",
        )?;
        let all = usize::from(first).saturating_add(expected) == sizes.len();
        sitting.expect(found.more != all, "a range that its bytes cut short tells that there is more")?;
    }
    Ok(())
}

pub(in crate::store) async fn s7_values_come_back_as_they_were(
    sitting: &Sitting<'_>,
) -> Result<(), Violation> {
    // given values of all bytes, and none
    let partition = queue("queue");
    let values = [
        Vec::new(),
        (0..=255).collect(),
        vec![0; 5_000],
        b"'; DROP TABLE".to_vec(),
        vec![0xff, 0xfe, 0, 0x80],
    ];
    for value in values.map(Bytes::from) {
        // when one is stored, then it comes back
        sitting
            .done(&[write(&partition, [Write::Put(Bytes::new(), value.clone()), put("other", "x")])])
            .await?;
        let found =
            sitting.look(&partition, Wanted::Keys(vec![Bytes::new(), Bytes::from_static(b"none")])).await?;
        sitting.expect(found.rows == [(Bytes::new(), value)], "a value comes back as it was")?;
    }
    Ok(())
}

/// Keys that a store would confuse if it took them for text, numbers or paths.
fn awkward_keys() -> Vec<RowKey> {
    let single = (0..=255_u8).map(|byte| vec![byte]);
    let double = [0, 1, 9, 32, 64, 127, 128, 191, 255].into_iter().flat_map(|byte: u8| {
        [
            vec![byte, 0],
            vec![byte, 0, 0],
            vec![byte, 255],
            vec![byte, byte],
            vec![0, byte, 7],
            vec![255, byte, 7],
        ]
    });
    let texts = [
        "Key",
        "key",
        "KEY",
        "key ",
        " key",
        "ke",
        "keyy",
        "k\u{e9}y",
        "ke\u{301}y",
        "1",
        "01",
        "1.0",
        "%",
        "a/b",
    ];
    let mut keys: Vec<RowKey> =
        single.chain(double).chain(texts.map(|text| text.as_bytes().to_vec())).map(Bytes::from).collect();
    keys.push(Bytes::new());
    keys.sort_unstable();
    keys.dedup();
    keys
}
