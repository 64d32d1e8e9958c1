//! Does the exam bite? Twelve broken stores sit it, and a sound one.

use std::sync::Arc;

use phoenix_conformance::store::broken::{CLAUSES, Sound, breaking, caching};
use phoenix_conformance::store::{CASES, Candidate, Case, Conditions, sit, walk};
use phoenix_core::port::Store;
use phoenix_core::store::MemoryStore;

#[test]
fn a_sound_store_passes_every_case_under_all_conditions() {
    for case in CASES {
        for conditions in [Conditions::Plain, Conditions::Faults, Conditions::Checked] {
            assert_eq!(sit(*case, conditions, &Sound::default(), &[]), Ok(()), "{conditions:?}");
        }
    }
}

#[test]
fn each_broken_store_is_failed_by_its_own_clause() {
    for clause in CLAUSES {
        let failed_by = |case: &&Case| {
            let candidate = breaking(clause);
            candidate
                .is_some_and(|candidate| sit(**case, Conditions::Plain, candidate.as_ref(), &[]).is_err())
        };
        let own = CASES.iter().filter(|case| case.clause() == clause);
        assert!(own.clone().count() >= 2, "{clause} has cases");
        assert!(own.clone().any(|case| failed_by(&case)), "{clause} notices the store that breaks it");
    }
}

#[test]
fn a_broken_store_passes_most_of_the_other_clauses() {
    for clause in CLAUSES {
        let passes = |case: &&Case| {
            let candidate = breaking(clause);
            candidate.is_some_and(|candidate| sit(**case, Conditions::Plain, candidate.as_ref(), &[]).is_ok())
        };
        let others: Vec<_> = CASES.iter().filter(|case| case.clause() != clause).collect();
        let passed = others.iter().filter(|case| passes(case)).count();
        assert!(passed * 3 > others.len() * 2, "the store that breaks {clause} breaks little else: {passed}");
    }
}

#[test]
fn replicas_that_each_remember_for_themselves_are_failed_where_they_meet_and_nowhere_else() {
    let meeting = [
        "s2_of_many_who_write_on_one_base_one_wins",
        "s10_a_batch_given_again_to_a_replica_changes_nothing",
        "s11_many_who_append_at_once_leave_no_gap",
    ];
    for case in CASES {
        let sat = sit(*case, Conditions::Plain, caching().as_ref(), &[]);
        assert_eq!(sat.is_err(), meeting.contains(&case.name), "{sat:?}");
    }
}

#[test]
fn a_store_without_replicas_or_durability_is_excused_by_name_alone() {
    let sits = |name: &str, excused: &[&str]| {
        let case = Case::named(name).expect("the case exists");
        sit(case, Conditions::Plain, &Alone::default(), excused)
    };
    let (kill, replica) =
        ("s5_what_was_done_is_there_after_a_kill", "s3_a_replica_shows_what_was_done_before_it");

    for (case, excuse, other) in [(kill, "s5", "replicas"), (replica, "replicas", "s5")] {
        assert!(sits(case, &[]).is_err());
        assert!(sits(case, &[other]).is_err());
        assert_eq!(sits(case, &[excuse]), Ok(()));
    }
    assert!(sits("s7_rows_are_ordered_as_bytes", &["s7"]).is_err(), "nobody is excused from the rest");
}

/// A store that neither outlives a kill nor has replicas.
#[derive(Default)]
struct Alone(MemoryStore);

#[async_trait::async_trait]
impl Candidate for Alone {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    async fn revived(&self) -> Option<Arc<dyn Store>> {
        None
    }

    async fn replica(&self) -> Option<Arc<dyn Store>> {
        None
    }
}

#[test]
fn random_walks_find_no_fault_in_a_sound_store() {
    for seed in 0..30 {
        assert_eq!(walk(&Sound::default(), seed, 300), Ok(()), "seed {seed}");
    }
}

#[test]
fn random_walks_find_the_stores_that_break_what_one_caller_can_see() {
    for clause in ["s1", "s2", "s6", "s8", "s10", "s11"] {
        let found = (0..20)
            .any(|seed| breaking(clause).is_some_and(|store| walk(store.as_ref(), seed, 300).is_err()));
        assert!(found, "a walk finds the store that breaks {clause}");
    }
}
