//! T18, a copy of the disk: what a thief reads who has the store and not the operator's key.

use std::{collections::BTreeSet, sync::OnceLock};

use phoenix_conformance::{
    audit::{Audit, Kind, Link},
    world::{Photograph, Story, Tape, story},
};
use phoenix_core::port::Space;

#[test]
fn t18_who_has_the_disk_reads_no_name_no_text_no_group_and_no_queue_of_a_user() {
    let told = told();
    let audit = Audit::new(&told.words.words).unwrap().published(&told.words.published).unwrap();
    let mut bytes = 0;

    for Photograph { disks, .. } in &told.photographs {
        for (domain, disk) in disks {
            let report = audit.of(&disk.dump());

            bytes += report.bytes;
            assert!(report.is_clean(), "{domain}: {:?}", report.findings);
            // What is found is what the table of 09 lists: users at the AS, pseudonyms at the QS.
            let found: BTreeSet<_> = report.in_place.keys().copied().collect();
            assert_eq!(found, [(Kind::User, Space::As), (Kind::Queue, Space::Qs)].into());
        }
    }
    let words = told.words.words.len();
    for kind in Kind::ALL {
        assert!(told.words.words.iter().any(|word| word.kind() == kind), "no {} are looked for", kind.name());
    }
    println!("{words} words, in {bytes} bytes: none but ids where they belong");
    assert!(words > 100);
}

#[test]
fn t18_the_thief_would_read_everything_that_a_homeserver_kept_in_clear() {
    // The search finds what it looks for: the same texts, kept as they were said.
    let told = told();
    let audit = Audit::new(&told.words.words).unwrap();
    let mut records = told.photographs.last().unwrap().disks.values().next().unwrap().dump();
    let group = records.iter_mut().find(|(key, _)| key.space() == Space::Ds).unwrap();

    group.1.rows.push(("z".into(), "<a says 0 while cut off>".into()));

    let found: Vec<Link> = audit.of(&records).findings.iter().map(|finding| finding.link).collect();
    assert!(found.contains(&Link::Word(Kind::Text)), "{found:?}");
}

fn told() -> &'static Story {
    static STORY: OnceLock<Story> = OnceLock::new();
    STORY.get_or_init(|| story(&Tape::of_seed(18)).unwrap())
}
