//! What may get lost, on its way from the call that gave it to whoever takes it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use event_listener::{Event, EventListener};

/// Hands things on in memory. Those that there is no room for are lost, since the calls that give them do not wait.
pub struct Lossy<T> {
    waiting: Mutex<VecDeque<(T, usize)>>,
    most: Bounds,
    event: Event,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

impl<T> Lossy<T> {
    pub(crate) fn new(most: Bounds) -> Self {
        Self { waiting: Mutex::default(), most, event: Event::new() }
    }

    /// Gives something of so many bytes; false where it is lost.
    pub(crate) fn give(&self, thing: T, bytes: usize) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.iter().map(|(_, bytes)| *bytes).fold(bytes, usize::saturating_add);
        if waiting.len() >= self.most.count || taken > self.most.bytes {
            return false;
        }
        waiting.push_back((thing, bytes));
        drop(waiting);
        self.event.notify(1);
        true
    }

    /// What was given first and not taken yet.
    pub fn take(&self) -> Option<T> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front().map(|(thing, _)| thing)
    }

    /// Waits for what is given next.
    pub async fn next(&self) -> T {
        loop {
            let listener = self.listen();
            if let Some(thing) = self.take() {
                return thing;
            }
            listener.await;
        }
    }

    /// Wakes when something is given from now on.
    pub(super) fn listen(&self) -> EventListener {
        self.event.listen()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, executor::block_on};

    use super::{Bounds, Lossy};

    const MOST: Bounds = Bounds { count: 3, bytes: 100 };

    #[test]
    fn what_is_given_is_taken_in_order() {
        let lossy = Lossy::new(MOST);
        assert!(lossy.next().now_or_never().is_none());

        assert!([1, 2].into_iter().all(|number| lossy.give(number, 1)));

        assert_eq!(block_on(lossy.next()), 1);
        assert_eq!(lossy.take(), Some(2));
        assert_eq!(lossy.take(), None);
    }

    #[test]
    fn what_there_is_no_room_for_is_lost_and_what_waits_stays() {
        let many = Lossy::new(MOST);
        assert_eq!([0, 1, 2, 3].map(|number| many.give(number, 1)), [true, true, true, false]);
        assert_eq!(many.take(), Some(0));
        assert!(many.give(4, 1));

        let large = Lossy::new(MOST);
        assert_eq!(
            [(0, 60), (1, 41), (2, 40)].map(|(number, bytes)| large.give(number, bytes)),
            [true, false, true]
        );
        assert_eq!([large.take(), large.take(), large.take()], [Some(0), Some(2), None]);
    }

    #[test]
    fn who_waits_is_woken_by_what_is_given() {
        let lossy = Lossy::new(MOST);
        let mut next = Box::pin(lossy.next());
        assert!((&mut next).now_or_never().is_none());

        lossy.give(7, 1);

        assert_eq!(block_on(next), 7);
    }
}
