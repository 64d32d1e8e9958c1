//! What goes through a queue's stream, and when (06, "Wake-ups").

use std::collections::VecDeque;

use crate::{
    Reject,
    api::{
        queue::DequeueReply,
        stream::{MAX_UNACKNOWLEDGED, StreamRequest},
    },
};

/// How far a stream is: what it has sent, what was acknowledged, and whether more may be there.
///
/// A value: each change takes it and gives the next one. It keeps no entry, only their numbers, so a slow client costs
/// no memory beyond the message that is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The first number that was not sent.
    next: u64,
    /// The client has acknowledged everything below,
    acknowledged: u64,
    /// and the queue was told so up to here.
    told: u64,
    /// Numbers that were sent and not acknowledged, in order.
    open: VecDeque<u64>,
    /// The client was told that some below were dropped unread.
    gap_told: u64,
    /// Whether something may be in the queue that was not sent.
    has_news: bool,
}

/// What is to be read from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The first number wanted.
    pub from: u64,
    /// How many; 0 where the client has too many to acknowledge.
    pub max: u16,
    /// What lies below is to be deleted.
    pub ack_below: u64,
}

impl Flow {
    /// A stream that begins where it is asked to.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where more is acknowledged than was read.
    pub const fn new(request: &StreamRequest) -> Result<Self, Reject> {
        let StreamRequest { from, ack_below } = *request;
        if ack_below > from {
            return Err(Reject::Malformed("ack_below"));
        }
        // Told of nothing yet, unless there is nothing to tell: what the request acknowledges goes with the first read.
        let open = VecDeque::new();
        Ok(Self { next: from, acknowledged: ack_below, told: 0, open, gap_told: 0, has_news: true })
    }

    /// The client acknowledges all below a number.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where that was not sent.
    pub fn acknowledge(mut self, below: u64) -> Result<Self, Reject> {
        if below > self.next {
            return Err(Reject::Malformed("ack_below"));
        }
        self.acknowledged = self.acknowledged.max(below);
        while self.open.front().is_some_and(|seq| *seq < below) {
            self.open.pop_front();
        }
        Ok(self)
    }

    /// Something may have come.
    #[must_use]
    pub fn woken(mut self) -> Self {
        self.has_news = true;
        self
    }

    /// What is to be read now; none while there is nothing to do but wait.
    #[must_use]
    pub fn page(&self) -> Option<Page> {
        let room = MAX_UNACKNOWLEDGED.saturating_sub(self.open.len());
        let wants_entries = self.has_news && room > 0;
        let wants_told = self.acknowledged > self.told;
        let max = if self.has_news { u16::try_from(room).unwrap_or(u16::MAX) } else { 0 };
        (wants_entries || wants_told).then_some(Page { from: self.next, max, ack_below: self.acknowledged })
    }

    /// What is read to find out whether the stream is still its client's, also while there is nothing else to do.
    #[must_use]
    pub fn check(&self) -> Page {
        self.page().unwrap_or(Page { from: self.next, max: 0, ack_below: self.acknowledged })
    }

    /// A page was read: what of it is to be sent. A gap is told once, though many pages before it may show it.
    #[must_use]
    pub fn read(mut self, page: &Page, mut found: DequeueReply) -> (Self, Option<DequeueReply>) {
        self.told = self.told.max(page.ack_below);
        if page.max == 0 {
            // No entry was asked for, so that none came says nothing.
            return (self, None);
        }
        let behind_gap = found.gap_before.unwrap_or_default();
        found.gap_before = found.gap_before.filter(|gap| *gap > self.next && *gap > self.gap_told);
        self.gap_told = self.gap_told.max(found.gap_before.unwrap_or_default());
        let is_news = !found.entries.is_empty() || found.gap_before.is_some();
        for entry in &found.entries {
            self.open.push_back(entry.seq);
            self.next = self.next.max(entry.seq.saturating_add(1));
        }
        // A full queue drops what comes behind its entries: the gap is next only where none of them is left to be sent.
        if found.entries.is_empty() {
            self.next = self.next.max(behind_gap);
        }
        // Where more waits and yet nothing came, asking again at once would bring nothing either.
        self.has_news = found.remaining > 0 && is_news;
        (self, is_news.then_some(found))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{Flow, Page};
    use crate::{
        Reject,
        api::{
            queue::{DequeueReply, EntryPayload, QueueEntry, SealedEntry},
            stream::StreamRequest,
        },
        wire::{List, Opaque},
    };

    #[test]
    fn a_stream_begins_where_it_is_asked_to_and_acknowledges_with_its_first_read() {
        let flow = begun(7, 5);

        assert_eq!(flow.page(), Some(Page { from: 7, max: 100, ack_below: 5 }));
    }

    #[test]
    fn a_stream_that_acknowledges_more_than_it_read_is_refused() {
        assert!(Flow::new(&StreamRequest { from: 5, ack_below: 5 }).is_ok());
        assert_eq!(Flow::new(&StreamRequest { from: 5, ack_below: 6 }), Err(Reject::Malformed("ack_below")));
    }

    #[test]
    fn at_most_a_hundred_entries_are_unacknowledged() {
        // given a stream that has sent sixty
        let flow = sent(begun(0, 0), 0..60, 940);
        // when forty more are read
        let page = flow.page().unwrap();
        assert_eq!(page, Page { from: 60, max: 40, ack_below: 0 });
        let flow = sent(flow, 60..100, 900);

        // then nothing more is read until the client acknowledges
        assert_eq!(flow.page(), None);
        assert_eq!(flow.clone().woken().page(), None);
        let flow = flow.acknowledge(1).unwrap();
        assert_eq!(flow.page(), Some(Page { from: 100, max: 1, ack_below: 1 }));
    }

    #[test]
    fn what_is_acknowledged_is_told_to_the_queue_once() {
        let flow = sent(begun(0, 0), 0..3, 0);
        assert_eq!(flow.page(), None, "nothing to read, nothing to tell");

        let flow = flow.acknowledge(2).unwrap();
        let page = flow.page().unwrap();
        assert_eq!(page, Page { from: 3, max: 0, ack_below: 2 });
        let (flow, news) = flow.read(&page, reply(Vec::new(), 0, None));

        assert_eq!((flow.page(), news), (None, None));
        let flow = flow.acknowledge(1).unwrap().acknowledge(2).unwrap();
        assert_eq!(flow.page(), None, "a lower number, or the same, changes nothing");
    }

    #[test]
    fn a_check_reads_what_is_to_be_read_and_nothing_where_nothing_is() {
        let flow = begun(0, 0);
        assert_eq!(Some(flow.check()), flow.page());

        // given a full window, behind which more waits
        let flow = sent(flow, 0..100, 900);
        let page = flow.check();
        assert_eq!(page, Page { from: 100, max: 0, ack_below: 0 });
        let (after, news) = flow.clone().read(&page, reply(Vec::new(), 900, None));

        assert_eq!((after, news), (flow, None));
    }

    #[test]
    fn what_was_not_sent_cannot_be_acknowledged() {
        let flow = sent(begun(0, 0), 0..3, 0);

        assert!(flow.clone().acknowledge(3).is_ok());
        assert_eq!(flow.acknowledge(4), Err(Reject::Malformed("ack_below")));
    }

    #[test]
    fn what_comes_while_the_client_is_behind_is_read_when_it_catches_up() {
        // given a full window, and an acknowledgement that is told while something came
        let flow = sent(begun(0, 0), 0..100, 0).woken().acknowledge(100).unwrap();

        // when it is read
        let page = flow.page().unwrap();

        // then what came is asked for
        assert_eq!(page, Page { from: 100, max: 100, ack_below: 100 });
    }

    #[test]
    fn a_gap_is_sent_once_and_the_stream_goes_on_behind_it() {
        let flow = begun(3, 3);
        let page = flow.page().unwrap();

        let (flow, news) = flow.read(&page, reply(Vec::new(), 0, Some(9)));
        assert!(news.is_some());
        let flow = flow.woken();
        let page = flow.page().unwrap();
        assert_eq!(page.from, 9);
        let (flow, news) = flow.read(&page, reply(Vec::new(), 0, Some(9)));

        assert_eq!((flow.page(), news), (None, None));
        assert!(flow.acknowledge(9).is_ok());
    }

    #[test]
    fn what_a_full_queue_holds_is_sent_before_the_gap_behind_it() {
        // given a queue of 150 entries that has dropped the next fifty
        let flow = begun(0, 0);
        let page = flow.page().unwrap();
        let (flow, news) = flow.read(&page, reply((0..100).collect(), 100, Some(200)));
        assert_eq!(news.unwrap().gap_before, Some(200));

        // then the gap is told once, what was not sent cannot be acknowledged, and what is there is sent
        assert_eq!(flow.clone().acknowledge(101), Err(Reject::Malformed("ack_below")));
        let flow = flow.acknowledge(100).unwrap();
        let page = flow.page().unwrap();
        assert_eq!(page, Page { from: 100, max: 100, ack_below: 100 });
        let (_, another) = flow.clone().read(&page, reply((100..150).collect(), 50, Some(201)));
        assert_eq!(another.unwrap().gap_before, Some(201));
        let (flow, news) = flow.read(&page, reply((100..150).collect(), 50, Some(200)));
        assert_eq!(news.unwrap().gap_before, None);
        let page = flow.page().unwrap();
        assert_eq!(page.from, 150);
        let (flow, news) = flow.read(&page, reply(Vec::new(), 50, Some(200)));
        assert_eq!((flow.page(), news), (None, None));
        assert_eq!(flow.woken().page().unwrap().from, 200);
    }

    #[test]
    fn a_page_of_no_entries_says_nothing_about_a_gap() {
        let flow = sent(begun(0, 0), 0..100, 50).woken();
        let flow = flow.acknowledge(0).unwrap();
        assert_eq!(flow.page(), None);
        let page = Page { from: 100, max: 0, ack_below: 0 };

        let (flow, news) = flow.read(&page, reply(Vec::new(), 50, Some(200)));

        assert_eq!(news, None);
        assert_eq!(flow.acknowledge(100).unwrap().page().unwrap().from, 100);
    }

    #[test]
    fn a_queue_that_promises_more_than_it_shows_is_not_asked_without_end() {
        let flow = begun(0, 0);
        let page = flow.page().unwrap();

        let (flow, _) = flow.read(&page, reply(Vec::new(), 10, None));

        assert_eq!(flow.page(), None);
        assert!(flow.woken().page().is_some());
    }

    fn begun(from: u64, ack_below: u64) -> Flow {
        Flow::new(&StreamRequest { from, ack_below }).unwrap()
    }

    /// The stream after these were read, behind which so many wait.
    fn sent(flow: Flow, numbers: std::ops::Range<u64>, remaining: u32) -> Flow {
        let page = flow.page().unwrap();
        let (flow, news) = flow.read(&page, reply(numbers.collect(), remaining, None));
        assert!(news.is_some());
        flow
    }

    fn reply(numbers: Vec<u64>, remaining: u32, gap_before: Option<u64>) -> DequeueReply {
        let sealed = SealedEntry { salt: [0; 16], ciphertext: Opaque::default() };
        let entry = |seq| QueueEntry { seq, payload: EntryPayload::Message(sealed.clone()) };
        let entries = List::new(numbers.into_iter().map(entry).collect()).unwrap();
        DequeueReply { entries, remaining, gap_before }
    }
}
