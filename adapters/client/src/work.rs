//! Proof of work, done on the caller's thread in slices, so that dropping the call ends it (05).

use std::{future::poll_fn, task::Poll};

use phoenix_core::{
    UserId,
    api::auth::{WorkChallenge, WorkProof},
};

use crate::error::ClientError;

/// Solves a challenge, if it asks for no more than so many bits.
pub(crate) async fn solve(
    challenge: &WorkChallenge,
    user: &UserId,
    most_bits: u8,
) -> Result<WorkProof, ClientError> {
    if challenge.bits > most_bits {
        return Err(ClientError::TooMuchWork(challenge.bits));
    }
    let mut from = 0_u64;
    loop {
        if let Some(proof) = challenge.solve(user, from, SLICE) {
            return Ok(proof);
        }
        from = from.wrapping_add(SLICE);
        give_way().await;
    }
}

/// Lets others of the executor have their turn.
async fn give_way() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Nonces in a row: a few milliseconds.
const SLICE: u64 = 1 << 13;

#[cfg(test)]
mod tests {
    use futures::{FutureExt, executor::block_on};
    use phoenix_core::{
        UserId, Uuid,
        api::auth::{MAX_BITS, WorkChallenge},
    };

    use super::solve;
    use crate::error::ClientError;

    #[test]
    fn work_is_done_up_to_a_bound_and_can_be_left_in_the_middle() {
        let user = UserId { uuid: Uuid([1; 16]), domain: "alpha.test".parse().expect("domain") };
        let challenge = |bits| WorkChallenge { salt: [1; 32], bits, expires: 0 };

        let done = block_on(solve(&challenge(14), &user, 14)).expect("solved");
        let refused = block_on(solve(&challenge(15), &user, 14));

        assert!(done.holds(&user));
        assert_eq!(refused, Err(ClientError::TooMuchWork(15)));
        // A single poll comes back, though the work would take half an hour.
        assert!(solve(&challenge(MAX_BITS), &user, MAX_BITS).now_or_never().is_none());
    }
}
