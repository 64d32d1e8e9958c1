//! The list of cases, and how a store sits one.

use std::sync::Arc;

use futures::executor::block_on;
use futures::future::BoxFuture;
use phoenix_core::port::Store;

use super::faulty::{Faulty, Persistent, every_third};
use super::sitting::Sitting;
use super::{Candidate, Checked, Violation, case};

/// One question of the exam.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, which begins with that of the clause it examines.
    pub name: &'static str,
    run: for<'a> fn(&'a Sitting<'a>) -> BoxFuture<'a, Result<(), Violation>>,
}

impl Case {
    /// The clause that is examined: `s1` to `s11`.
    #[must_use]
    pub fn clause(&self) -> &'static str {
        self.name.split('_').next().unwrap_or_default()
    }

    /// The case of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        CASES.iter().find(|case| case.name == name).copied()
    }
}

/// What lies between the store and the examiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// Nothing.
    Plain,
    /// A [`Faulty`] that fails every third call, before or after it was applied, and a caller that gives a
    /// failed call again, as the driver does.
    Faults,
    /// A [`Checked`] that compares every answer with a model.
    Checked,
}

/// Lets a store sit one case. `excused`, names from [`EXCUSES`], is what it need not be able to do.
///
/// # Errors
/// The [`Violation`] that was found, or that an excuse is not one.
pub fn sit(
    case: Case,
    conditions: Conditions,
    candidate: &dyn Candidate,
    excused: &[&str],
) -> Result<(), Violation> {
    if let Some(other) = excused.iter().find(|excuse| !EXCUSES.contains(excuse)) {
        return Err(Violation { case: case.name, what: format!("{other} is an excuse") });
    }
    let sitting = |store| Sitting::new(case.name, store, Some((candidate, excused)));
    let store = candidate.store();
    match conditions {
        Conditions::Plain => block_on((case.run)(&sitting(store))),
        Conditions::Faults => {
            let store: Arc<dyn Store> = Arc::new(Persistent::new(Arc::new(Faulty::new(store, every_third))));
            block_on((case.run)(&sitting(store)))
        }
        Conditions::Checked => {
            let checked = Arc::new(Checked::new(case.name, store));
            block_on(async {
                (case.run)(&Sitting::new(case.name, checked.clone(), None)).await?;
                checked.verdict().await
            })
        }
    }
}

/// What a store may be excused from: `s5`, where it claims no durability, and `replicas`, where it has none.
pub const EXCUSES: &[&str] = &["s5", "replicas"];

/// Makes the tests of a store: `store_exam!(fresh);`, where `fresh` is a function that makes a
/// [`Candidate`](crate::store::Candidate), or `store_exam!(fresh, excused: [s5]);` with what the store is excused
/// from ([`EXCUSES`](crate::store::EXCUSES)).
#[macro_export]
macro_rules! store_exam {
    ($fresh:ident) => { $crate::store_exam!($fresh, excused: []); };
    ($fresh:ident, excused: [$($excuse:ident),*]) => {
        mod plainly {
            $crate::store_cases!(@tests [super::$fresh(), &[$(stringify!($excuse)),*]] Plain);
        }
        mod under_faults {
            $crate::store_cases!(@tests [super::$fresh(), &[$(stringify!($excuse)),*]] Faults);
        }

        #[test]
        fn a_random_walk_agrees_with_the_model() {
            let walked = $crate::store::walk(&$fresh(), 2_024, 400);
            assert_eq!(walked, Ok(()));
        }
    };
}

/// The names of all cases, for the table below and for the tests that [`store_exam!`] makes.
#[doc(hidden)]
#[macro_export]
macro_rules! store_cases {
    (@tests $of:tt $conditions:ident) => { $crate::store_cases!(@all tests_of $of $conditions); };
    (@tests_of $of:tt $conditions:ident $($clause:ident { $($name:ident)* })*) => { $($(
        #[test]
        fn $name() {
            $crate::store_cases!(@sit $name $conditions $of);
        }
    )*)* };
    (@sit $name:ident $conditions:ident [$candidate:expr, $excused:expr]) => {
        let case = $crate::store::Case::named(stringify!($name));
        let conditions = $crate::store::Conditions::$conditions;
        let sat = case.map(|case| $crate::store::sit(case, conditions, &$candidate, $excused));
        assert_eq!(sat, Some(Ok(())));
    };
    (@table) => { $crate::store_cases!(@all table_of [] Plain) };
    (@table_of [] $conditions:ident $($clause:ident { $($name:ident)* })*) => {
        &[$($(Case { name: stringify!($name), run: |sitting| Box::pin(case::$clause::$name(sitting)) },)*)*]
    };
    (@all $then:ident $of:tt $conditions:ident) => { $crate::store_cases! { @$then $of $conditions
        s1 {
            s1_a_stale_base_undoes_the_other_parts
            s1_a_missing_row_to_take_undoes_what_stands_before_it
            s1_whoever_looks_sees_all_partitions_of_a_batch_or_none
            s1_the_writes_of_a_part_apply_in_their_order
            s1_a_batch_at_every_bound_is_applied
            s1_a_batch_beyond_a_bound_is_invalid_and_changes_nothing
        }
        s2 {
            s2_a_base_that_does_not_hold_is_a_conflict
            s2_a_written_partition_carries_the_mark_of_its_part
            s2_a_partition_only_checked_keeps_its_mark
            s2_a_check_that_fails_holds_the_writes_back
            s2_of_many_who_write_on_one_base_one_wins
        }
        s3 {
            s3_a_read_shows_what_was_done_before_it
            s3_a_replica_shows_what_was_done_before_it
            s3_everyone_reads_their_own_writes_at_once
        }
        s4 {
            s4_rows_mark_and_alarm_are_of_one_instant
            s4_a_range_and_listed_rows_are_of_one_instant_under_threads
            s4_places_come_back_in_the_order_asked
        }
        s5 {
            s5_what_was_done_is_there_after_a_kill
            s5_the_numbering_goes_on_after_a_kill
        }
        s6 {
            s6_a_partition_is_due_from_its_alarm_on
            s6_only_the_last_committed_alarm_counts
            s6_the_oldest_alarm_comes_first_and_no_more_than_asked
            s6_a_conflict_leaves_the_alarm
            s6_the_first_and_the_last_instant_can_be_alarms
        }
        s7 {
            s7_rows_are_ordered_as_bytes
            s7_keys_that_look_alike_name_different_things
            s7_a_range_begins_with_its_first_key_and_ends_before_its_last
            s7_a_range_has_no_more_bytes_than_are_asked_for_but_one_row
            s7_values_come_back_as_they_were
        }
        s8 {
            s8_the_last_row_takes_its_partition_along
            s8_an_alarm_alone_keeps_a_partition
            s8_a_dropped_partition_is_gone
            s8_a_write_that_leaves_nothing_makes_no_partition
            s8_a_partition_emptied_and_filled_by_one_batch_lives_on
        }
        s9 {
            s9_a_dropped_commit_is_whole_or_absent
            s9_a_store_goes_on_after_dropped_futures
        }
        s10 {
            s10_a_batch_given_again_changes_nothing
            s10_a_batch_given_again_is_done_though_its_base_has_moved
            s10_one_partition_that_carries_its_mark_is_enough
            s10_a_batch_given_again_to_a_replica_changes_nothing
        }
        s11 {
            s11_appended_rows_are_counted_from_nought
            s11_a_number_is_not_given_twice_while_the_partition_lives
            s11_a_conflict_takes_no_number
            s11_many_who_append_at_once_leave_no_gap
        }
    } };
}

/// All cases, in the order of the clauses.
pub const CASES: &[Case] = store_cases!(@table);
