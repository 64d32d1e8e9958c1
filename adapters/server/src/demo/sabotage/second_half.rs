//! Sabotage of the steps after the conversation.

use bytes::Bytes;
use phoenix_core::port::Space;

use super::{
    SEED, Sabotaged, holds,
    stores::{Forgets, LosesAppends, MAILBOX, RECEIPT, Readers, ShowsOldGroups, Writes},
    transports::{Notices, Repeats, Swallows},
};
use crate::demo::{cast::Dice, parts::Side, play::Cast};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_commit_let_through_fails_the_race() {
    let once = ShowsOldGroups::to(Readers::Committers, 0);
    Sabotaged::in_step(6)
        .road(Notices("update_client"))
        .store(Side::Alpha, once)
        .fails(6, &[8], "2 commits won epoch 1")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_spent_set_fails_the_refusals() {
    Sabotaged::in_step(7)
        .store(Side::Alpha, Forgets { space: Space::Spent, kind: None })
        .fails(7, &[], "a spent token was accepted")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_replayed_without_deduplication_fails_the_cut() {
    let without_receipts = Forgets { space: Space::Qs, kind: Some(RECEIPT) };
    let sabotaged = Sabotaged::in_step(8).wire(Side::Alpha, Repeats("federated_enqueue"));
    sabotaged.store(Side::Beta, without_receipts).fails(8, &[], "came twice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_replayed_with_deduplication_changes_nothing() {
    holds(Sabotaged::in_step(8).wire(Side::Alpha, Repeats("federated_enqueue"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_row_of_the_mailbox_fails_the_cut() {
    Sabotaged::in_step(8)
        .store(Side::Alpha, LosesAppends::one(Space::Qs, MAILBOX, 9))
        .fails(8, &[], "only 44 messages are in alpha's mailbox")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_that_may_send_fails_the_removal() {
    let first = ShowsOldGroups::to(Readers::Senders, 0);
    Sabotaged::in_step(9)
        .road(Notices("remove_users"))
        .store(Side::Alpha, first)
        .fails(9, &[], "b was removed, and its message was accepted")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_kept_in_the_fan_out_fails_the_removal() {
    let second = ShowsOldGroups::to(Readers::Senders, 1);
    Sabotaged::in_step(9)
        .road(Notices("remove_users"))
        .store(Side::Alpha, second)
        .fails(9, &[], "b's queue got 2 entries")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_twice_to_a_queue_that_has_moved_fails_the_move() {
    let without_receipts = Forgets { space: Space::Qs, kind: Some(RECEIPT) };
    let sabotaged = Sabotaged::in_step(10).wire(Side::Alpha, Repeats("federated_enqueue"));
    sabotaged.store(Side::Gamma, without_receipts).fails(10, &[], "came twice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_does_not_arrive_fails_the_check() {
    let sabotaged = Sabotaged::in_step(11).wire(Side::Beta, Swallows("federated_enqueue"));
    sabotaged.fails(11, &[], "beta.test examines alpha.test: transaction").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_in_clear_in_a_row_of_the_qs_fails_the_search() {
    let alias = Cast::draw(&mut Dice::new(SEED)).three[2].0.alias.clone();
    let writes = Writes { space: Space::Qs, what: Bytes::from(alias) };
    Sabotaged::in_step(5).store(Side::Beta, writes).fails(12, &[], "aliases in queue_rows").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_id_in_a_row_of_the_ds_fails_the_search() {
    let id = Cast::draw(&mut Dice::new(SEED)).three[0].0.uuid;
    let writes = Writes { space: Space::Ds, what: Bytes::copy_from_slice(id.as_bytes()) };
    Sabotaged::in_step(4).store(Side::Alpha, writes).fails(12, &[], "user ids in delivery_rows").await;
}
