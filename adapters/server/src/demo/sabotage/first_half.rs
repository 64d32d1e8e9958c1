//! Sabotage of the steps up to the conversation.

use phoenix_core::port::Space;

use super::{
    Sabotaged, holds,
    stores::{LANE, LosesAppends},
    transports::{Confuses, Forges, Swallows},
};
use crate::demo::parts::Side;

#[tokio::test(flavor = "multi_thread")]
async fn without_sabotage_every_step_holds() {
    holds(Sabotaged::in_step(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_tampered_with_fail_registration() {
    Sabotaged::in_step(1)
        .road(Forges("as_credentials"))
        .fails(1, &[2, 3, 4, 5, 6, 7, 8, 9, 10, 12], "registers: what came does not verify")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_credential_fails_registration() {
    Sabotaged::in_step(1)
        .road(Forges("register_finish"))
        .fails(1, &[2, 3, 4, 5, 6, 7, 8, 9, 10, 12], "registers: what came does not verify")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_keys_of_the_other_server_fail_issuance() {
    Sabotaged::in_step(2)
        .wire(Side::Beta, Confuses)
        .fails(2, &[3, 4, 5, 6, 7, 8, 9, 10], "a fetches Standard tokens of beta.test")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_do_not_prove_their_key_fail_issuance() {
    Sabotaged::in_step(2)
        .road(Forges("issue_tokens"))
        .fails(2, &[3, 4, 5, 6, 7, 8, 9, 10], "does not verify: token invalid")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_dropped_after_its_acknowledgement_fails_connecting() {
    Sabotaged::in_step(3)
        .road(Swallows("enqueue_offer"))
        .fails(3, &[4, 5, 6, 7, 8, 9, 10], "b waits in vain for an offer")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_word_of_the_qs_for_its_packages_fails_the_group() {
    // The reply ends with the signature of its KeyPackageBatch, which nobody but alpha's DS checks.
    Sabotaged::in_step(4)
        .road(Forges("get_add_packages"))
        .fails(4, &[5, 7, 8, 9, 10], "a adds b and c: the homeserver refused: Forbidden")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_welcome_dropped_after_its_acknowledgement_fails_the_group() {
    Sabotaged::in_step(4)
        .store(Side::Alpha, LosesAppends::all(Space::Lane, LANE))
        .fails(4, &[5, 7, 8, 9, 10], "b waits in vain for the invitation")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_dropped_after_its_acknowledgement_fails_the_conversation() {
    Sabotaged::in_step(5)
        .store(Side::Alpha, LosesAppends::one(Space::Lane, LANE, 17))
        .fails(5, &[], "only 39 of 40 messages came")
        .await;
}
