//! Events on their way to the application.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{event::Event, table::Table};

/// Events in their order. Those that were handed out stay until the application comes for more: only then has it
/// surely seen them, and a state that is saved before holds them still.
#[derive(Debug, Default, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Outbox {
    events: Table<u64, Event>,
    /// The number of the next event.
    next: u64,
    /// Below it, events were handed out by this client; what was loaded hands them out again.
    #[tls_codec(skip)]
    handed: u64,
}

impl Outbox {
    pub(crate) fn put(&mut self, event: Event) {
        self.events.insert(self.next, event);
        self.next = self.next.saturating_add(1);
    }

    /// The event that was put last, if it is there still.
    pub(crate) fn last(&self) -> Option<&Event> {
        self.events.values().next_back()
    }

    /// Whether there is anything that was not handed out.
    pub(crate) fn has_news(&self) -> bool {
        self.events.range(self.handed..).next().is_some()
    }

    /// Hands out what was not handed out before.
    pub(crate) fn hand_out(&mut self) -> Vec<Event> {
        let news = self.events.range(self.handed..).map(|(_, event)| event.clone()).collect();
        self.handed = self.next;
        news
    }

    /// The application has seen what it was handed.
    pub(crate) fn drop_seen(&mut self) {
        let handed = self.handed;
        self.events.retain(|number, _| *number >= handed);
    }
}

#[cfg(test)]
mod tests {
    use phoenix_core::wire::Wire;

    use super::Outbox;
    use crate::event::Event;

    #[test]
    fn an_event_that_was_handed_out_is_saved_until_the_application_comes_for_more() {
        let mut outbox = Outbox::default();
        outbox.put(Event::Gap);
        outbox.put(Event::PackagesLow);

        assert_eq!(outbox.hand_out(), [Event::Gap, Event::PackagesLow]);
        assert!(!outbox.has_news());
        let mut loaded = Outbox::decode(&outbox.encode()).expect("its own encoding");
        assert_eq!(loaded.hand_out(), [Event::Gap, Event::PackagesLow]);

        outbox.put(Event::InvitationRefused);
        outbox.drop_seen();
        let mut loaded = Outbox::decode(&outbox.encode()).expect("its own encoding");
        assert_eq!(loaded.hand_out(), [Event::InvitationRefused]);
        assert_eq!(outbox.hand_out(), [Event::InvitationRefused]);
    }
}
