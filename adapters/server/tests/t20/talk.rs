//! Clients that talk with each other.

use std::time::Duration;

use phoenix_client::{Client, Event};
use phoenix_core::GroupId;

/// Two users with a connection.
pub(crate) struct Talk {
    from: Client,
    to: Client,
    pub(crate) group: GroupId,
    said: usize,
}

impl Talk {
    /// Connects two clients of one server.
    pub(crate) async fn new(from: Client, to: Client) -> Self {
        let group = from.connect(to.user()).await.unwrap();
        loop {
            for event in to.sync(WAIT).await.unwrap() {
                if let Event::Offer { offer, .. } = event {
                    to.accept(offer).await.unwrap();
                }
            }
            let events = from.sync(WAIT).await.unwrap();
            if events.iter().any(|event| matches!(event, Event::Connected { .. })) {
                return Self { from, to, group, said: 0 };
            }
        }
    }

    /// Sends so many messages, and waits until they have come.
    pub(crate) async fn exchange(&mut self, messages: usize) {
        for _ in 0..messages {
            self.said += 1;
            self.from.send(&self.group, format!("{}", self.said)).await.unwrap();
        }
        let mut arrived = 0;
        while arrived < messages {
            let events = self.to.sync(WAIT).await.unwrap();
            arrived += events.iter().filter(|event| matches!(event, Event::Message(_))).count();
        }
    }
}

const WAIT: Duration = Duration::from_secs(1);
