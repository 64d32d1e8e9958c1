//! Measures the store: commits and reads a second, alone and with many callers at once.
//!
//! `cargo run --release -p phoenix-sqlite --example measure -- [folder]`
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::executor::block_on;
use futures::future::try_join_all;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Alarm, Base, Batch, Mark, Part, PartitionKey, Place, Space, Store, StoreError, Wanted, Write,
};
use phoenix_sqlite::SqliteStore;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let store = Arc::new(SqliteStore::open(folder.path().join("db"))?);
    for callers in [1, 8, 64, 512] {
        let each = (TOTAL / callers).clamp(1, 500);
        let begun = Instant::now();
        block_on(try_join_all((0..callers).map(|caller| write(&store, callers, caller, each))))?;
        tell("commits", callers, each, begun);
        let begun = Instant::now();
        block_on(try_join_all((0..callers).map(|caller| read(&store, callers, caller, each))))?;
        tell("reads", callers, each, begun);
    }
    Ok(())
}

fn tell(what: &str, callers: u64, each: u64, begun: Instant) {
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
    let count = callers * each;
    println!(
        "{callers:4} callers: {:7} {what}/s, {:5} us each",
        count * 1_000_000 / micros,
        micros / count.max(1)
    );
}

/// One message: a token is spent, the head of a queue is written, an entry of 1 KiB is appended, an old one goes.
async fn write(store: &SqliteStore, callers: u64, caller: u64, each: u64) -> Result<(), StoreError> {
    for round in 0..each {
        let mark =
            Mark((u128::from(callers) << 96 | u128::from(caller) << 48 | u128::from(round)).to_be_bytes());
        let old = Bytes::copy_from_slice(&round.saturating_sub(30).to_be_bytes());
        let head = Write::Put(Bytes::from_static(b"h"), Bytes::from(vec![7; 200]));
        let entry = Write::Append(Bytes::from(vec![7; 1_024]));
        let queue = Part {
            partition: queue(callers, caller),
            base: Base::Any,
            mark,
            writes: vec![head, entry, Write::DeleteBelow(old)],
            alarm: Alarm::IfNone(Timestamp(caller)),
        };
        let token = Part {
            partition: PartitionKey::new(Space::Spent, Bytes::copy_from_slice(&scattered(mark))),
            base: Base::Absent,
            mark,
            writes: Vec::new(),
            alarm: Alarm::At(Timestamp(86_400_000)),
        };
        let _ = store.commit(&Batch { parts: vec![token, queue] }).await?;
    }
    Ok(())
}

async fn read(store: &SqliteStore, callers: u64, caller: u64, each: u64) -> Result<(), StoreError> {
    for _ in 0..each {
        store.read(&[Place { partition: queue(callers, caller), wanted: Wanted::first(4) }]).await?;
    }
    Ok(())
}

fn queue(callers: u64, caller: u64) -> PartitionKey {
    let mark = Mark((u128::from(callers) << 64 | u128::from(caller)).to_be_bytes());
    PartitionKey::new(Space::Qs, Bytes::copy_from_slice(&scattered(mark)))
}

/// Keys of a homeserver come in no order; an odd factor scatters these likewise.
const fn scattered(mark: Mark) -> [u8; 16] {
    u128::from_be_bytes(mark.0).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}

const TOTAL: u64 = 20_000;
