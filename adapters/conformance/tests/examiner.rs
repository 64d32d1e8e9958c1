//! Does the exam bite? Eleven broken stores sit it, and a sound one.

use phoenix_conformance::store::broken::{CLAUSES, Sound, breaking};
use phoenix_conformance::store::{CASES, Conditions, sit, walk};

#[test]
fn a_sound_store_passes_every_case_under_all_conditions() {
    for case in CASES {
        for conditions in [Conditions::Plain, Conditions::Faults, Conditions::Checked] {
            assert_eq!(sit(*case, conditions, &Sound::default()), Ok(()), "{conditions:?}");
        }
    }
}

#[test]
fn each_broken_store_is_failed_by_its_own_clause() {
    for clause in CLAUSES {
        let failed_by = |case: &&phoenix_conformance::store::Case| {
            let candidate = breaking(clause);
            candidate.is_some_and(|candidate| sit(**case, Conditions::Plain, candidate.as_ref()).is_err())
        };
        let own = CASES.iter().filter(|case| case.clause() == clause);
        assert!(own.clone().count() >= 2, "{clause} has cases");
        assert!(own.clone().any(|case| failed_by(&case)), "{clause} notices the store that breaks it");
    }
}

#[test]
fn a_broken_store_passes_most_of_the_other_clauses() {
    for clause in CLAUSES {
        let passes = |case: &&phoenix_conformance::store::Case| {
            let candidate = breaking(clause);
            candidate.is_some_and(|candidate| sit(**case, Conditions::Plain, candidate.as_ref()).is_ok())
        };
        let others: Vec<_> = CASES.iter().filter(|case| case.clause() != clause).collect();
        let passed = others.iter().filter(|case| passes(case)).count();
        assert!(passed * 3 > others.len() * 2, "the store that breaks {clause} breaks little else: {passed}");
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
