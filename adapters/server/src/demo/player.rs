//! A person with a client, who listens.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use phoenix_client::{Client, ClientPorts, Event, Message, Settings};
use phoenix_core::{Fqdn, GroupId, UserId, port::Transport};
use phoenix_homeserver::{OsEntropy, SystemClock};

use super::{
    cast::Person,
    parts::Parts,
    report::{Doing, Stop},
};

/// One of the players.
pub(crate) struct Player {
    pub(crate) person: Person,
    pub(crate) client: Client,
    /// What was heard and not dealt with yet, and when it was.
    heard: Mutex<Vec<(Instant, Event)>>,
    /// How long to wait for what must come.
    patience: Duration,
}

/// A message, and when it was decrypted.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) message: Message,
}

impl Player {
    /// Registers a person with a homeserver.
    pub(crate) async fn register(
        person: Person,
        domain: &Fqdn,
        road: Arc<dyn Transport>,
        parts: &dyn Parts,
    ) -> Result<Self, Stop> {
        let mut settings = Settings::new(domain.clone(), person.password.clone());
        settings.user = Some(person.uuid);
        settings.stretch = parts.stretch();
        settings.habits = parts.habits();
        let ports = ClientPorts {
            transport: road,
            witness: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        };
        let client = Client::register(settings, ports).await.doing(format!("{} registers", person.letter))?;
        let patience = Duration::from_millis(parts.patience_ms());
        Ok(Self { person, client, heard: Mutex::default(), patience })
    }

    /// The letter that lines call this player by.
    pub(crate) const fn letter(&self) -> char {
        self.person.letter
    }

    /// This player's user.
    pub(crate) const fn user(&self) -> &UserId {
        self.client.user()
    }

    /// Waits for an event that `find` makes something of, and takes it; other events stay.
    pub(crate) async fn hear<T>(
        &self,
        what: &str,
        mut find: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Stop> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some((_, found)) = self.take(&mut find) {
                return Ok(found);
            }
            if Instant::now() >= until {
                return Err(Stop::failed(format!("{} waits in vain for {what}", self.letter())));
            }
            self.listen(WAIT).await?;
        }
    }

    /// Listens until so many messages of a group have come, and gives them, with any that came besides.
    ///
    /// # Errors
    /// Where they do not come in time, or something comes that cannot be opened or verified.
    pub(crate) async fn messages(&self, group: &GroupId, count: usize) -> Result<Vec<Heard>, Stop> {
        let until = Instant::now() + self.patience;
        let mut messages = Vec::new();
        loop {
            messages.extend(self.heard_messages(group)?);
            if messages.len() >= count {
                return Ok(messages);
            }
            if Instant::now() >= until {
                let (letter, came) = (self.letter(), messages.len());
                return Err(Stop::failed(format!("only {came} of {count} messages came to {letter}")));
            }
            self.listen(WAIT).await?;
        }
    }

    /// Waits for one line, and takes it.
    pub(crate) async fn line(&self, group: &GroupId, line: &str) -> Result<(), Stop> {
        let is_it = |event: &Event| matches!(event, Event::Message(it) if it.group == *group && it.text == line.as_bytes());
        self.hear("a message", |event| is_it(event).then_some(())).await
    }

    /// The messages of a group that have come so far.
    ///
    /// # Errors
    /// Where something came that cannot be opened or verified.
    pub(crate) fn heard_messages(&self, group: &GroupId) -> Result<Vec<Heard>, Stop> {
        self.check()?;
        let mut found = Vec::new();
        while let Some((at, message)) = self.take(&mut |event| match event {
            Event::Message(message) if message.group == *group => Some(message.clone()),
            _ => None,
        }) {
            found.push(Heard { at, message });
        }
        Ok(found)
    }

    /// Reads what has come, without waiting.
    pub(crate) async fn read(&self) -> Result<(), Stop> {
        self.listen(Duration::ZERO).await
    }

    /// Reads, and gives the others a moment.
    pub(crate) async fn wait(&self) -> Result<(), Stop> {
        self.read().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    /// Listens for a moment, and forgets what was heard; says whether there was something.
    pub(crate) async fn drain(&self) -> bool {
        // Whoever cannot read will say so in the step that needs it.
        let _ = self.listen(WAIT).await;
        let heard = !self.lock().is_empty();
        self.forget();
        heard
    }

    /// Forgets what was heard.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// Reads and waits for what comes, at most so long.
    async fn listen(&self, wait: Duration) -> Result<(), Stop> {
        let events = self.client.sync(wait).await.doing(format!("{} reads", self.letter()))?;
        let now = Instant::now();
        self.lock().extend(events.into_iter().map(|event| (now, event)));
        Ok(())
    }

    /// Nothing came that cannot be opened, verified, or was lost on the way.
    fn check(&self) -> Result<(), Stop> {
        let letter = self.letter();
        let wrong = self.lock().iter().find_map(|(_, event)| match event {
            Event::Undecryptable { .. } => Some("a message came that cannot be opened, or came twice"),
            Event::Unverified { .. } => Some("a message came from somebody unknown"),
            Event::Gap => Some("entries of the queue were lost"),
            Event::InvitationRefused => Some("an invitation does not verify"),
            Event::RoleViolated { .. } => Some("a member did what it may not do"),
            Event::GivenUp { .. } => Some("its homeserver is not to be trusted with a group"),
            Event::KeyChanged { .. } => Some("a friend's key changed"),
            _ => None,
        });
        wrong.map_or(Ok(()), |wrong| Err(Stop::failed(format!("to {letter}, {wrong}"))))
    }

    fn take<T>(&self, find: &mut impl FnMut(&Event) -> Option<T>) -> Option<(Instant, T)> {
        let mut heard = self.lock();
        let found =
            heard.iter().enumerate().find_map(|(place, (at, event))| Some((place, *at, find(event)?)));
        let (place, at, found) = found?;
        heard.remove(place);
        Some((at, found))
    }

    /// No event is ever half written.
    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Event)>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long one read waits: at the end of a step, nobody waits much longer for those who listen still.
const WAIT: Duration = Duration::from_secs(1);
