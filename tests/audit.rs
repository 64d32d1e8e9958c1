//! The story of two homeservers on SQLite: the files hold what the stores in memory held, and tell as little.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may panic, and report")]

use futures::executor::block_on;
use phoenix_conformance::{
    audit::{Audit, Link},
    world::{Story, Tape, story},
};
use phoenix_core::port::{Commit, Space, Store};
use phoenix_sqlite::{SqliteStore, inspect};

#[test]
fn after_the_story_a_database_holds_what_a_store_in_memory_does_and_tells_nothing_either() {
    let Story { batches, photographs, words, .. } = story(&Tape::of_seed(1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::new(&words.words).unwrap().published(&words.published).unwrap();
    for (domain, disk) in &photographs.last().unwrap().disks {
        let path = folder.path().join(format!("{domain}.db"));
        let store = SqliteStore::open(&path).unwrap();
        for batch in &batches[domain] {
            assert_eq!(block_on(store.commit(batch)), Ok(Commit::Done));
        }
        // In use, as it is while a server runs.
        let mut found = inspect(&path).unwrap();

        let report = audit.of(&found);
        println!("{domain}: {} partitions, {} rows, {} bytes", report.partitions, report.rows, report.bytes);
        assert!(report.is_clean(), "{domain}: {:?}", report.findings);
        assert_eq!(found, disk.dump());

        // What is planted in it is found.
        let mark = found.iter().find(|(key, _)| key.space() == Space::As).unwrap().1.mark;
        found.iter_mut().find(|(key, _)| key.space() == Space::Qs).unwrap().1.mark = mark;
        assert!(audit.of(&found).findings.iter().any(|finding| finding.link == Link::SameMark));
    }
}
