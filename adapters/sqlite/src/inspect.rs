//! Looking at a whole database, for audits: what no service can do through the port.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use phoenix_core::port::{PartitionKey, Snapshot, Space};

use crate::OpenError;
use crate::connect;
use crate::failure::Failure;
use crate::tables::Tables;

/// All that a database holds, as of one instant: each partition with its rows, in the order in which the tables show
/// them. A partition whose head is gone while rows of it are left has no mark; nor has what stands for long values whose
/// rows are gone: a partition without a key, with rows that have none either, before all others of its space.
///
/// The file is opened for reading alone, and may be in use. All of it is held in memory. This is for those who have
/// the file: an auditor, or a thief. The [`Store`](phoenix_core::port::Store) port has no such function.
///
/// # Errors
/// [`OpenError`], where the file cannot be opened, is not of this version of this program, or is damaged.
pub fn inspect(path: impl AsRef<Path>) -> Result<Vec<(PartitionKey, Snapshot)>, OpenError> {
    let path = path.as_ref();
    let connection = connect::inspector(path).map_err(|refused| OpenError::refused(path, &refused))?;
    let tables = Tables::new();
    let all = || -> Result<_, Failure> {
        let mut found = Vec::new();
        for space in Space::ALL {
            let mut remains = Snapshot::default();
            tables.each_remain(space, &connection, |value| remains.rows.push((Bytes::new(), value)))?;
            if !remains.rows.is_empty() {
                found.push((PartitionKey::new(space, Bytes::new()), remains));
            }
            let mut places = HashMap::new();
            tables.each_head(space, &connection, |key, head| {
                places.insert(key.clone(), found.len());
                found.push((
                    PartitionKey::new(space, key),
                    Snapshot { mark: Some(head.mark), alarm: head.alarm, ..Snapshot::default() },
                ));
            })?;
            tables.each_row(space, &connection, |of, row, value| {
                let place = *places.entry(of.clone()).or_insert_with(|| {
                    found.push((PartitionKey::new(space, of), Snapshot::default()));
                    found.len().saturating_sub(1)
                });
                if let Some((_, partition)) = found.get_mut(place) {
                    partition.rows.push((row, value));
                }
            })?;
        }
        Ok(found)
    };
    all().map_err(|Failure(error)| OpenError::from_store(path, error))
}
