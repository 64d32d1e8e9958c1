//! What homeservers hold is audited for what they must not know (09).

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use phoenix_core::{Fqdn, api::ServiceName, port::Space, store::MemoryStore};

use super::{Narrator, Turn};
use crate::audit::{Audit, Kind, Report, Word};

impl Narrator {
    pub(super) async fn the_stores_are_audited(&mut self) -> Result<(), Turn> {
        self.photograph("the end");
        self.remember_everyone()?;
        self.remember_what_is_published().await?;
        let texts = self.people.values().flat_map(|actor| actor.diary().groups.clone());
        self.expect(texts.count() > 0, "there was nothing to search for")?;
        let audit = Audit::new(&self.words.words)
            .and_then(|audit| audit.published(&self.words.published))
            .map_err(|error| self.turn(error.to_string()))?;
        let (mut rows, mut joined) = (0, Vec::new());
        for (domain, disk) in self.photographs.iter().flat_map(|photograph| &photograph.disks) {
            let report = audit.of(&disk.dump());
            if !report.is_clean() {
                joined.push(told(domain, &report));
            }
            rows += report.rows;
        }
        self.expect(joined.is_empty(), &joined.join("; "))?;
        self.users_are_found_where_they_registered()?;
        self.done(format!(
            "{rows} rows hold no text and no name, and nothing that joins users to queues and groups"
        ));
        Ok(())
    }

    /// Someone, and all that is theirs, is looked for.
    pub(super) fn remember(&mut self, kind: Kind, word: impl AsRef<[u8]>) -> Result<(), Turn> {
        let word = Word::new(kind, word).map_err(|error| self.turn(error.to_string()))?;
        self.words.words.push(word);
        Ok(())
    }

    fn remember_everyone(&mut self) -> Result<(), Turn> {
        let people: Vec<_> = self.people.values().cloned().collect();
        for actor in people {
            let groups = actor.diary().groups.clone();
            for (group, chapter) in groups {
                self.remember(Kind::Group, group.uuid.as_bytes())?;
                for text in chapter.texts {
                    self.remember(Kind::Text, text)?;
                }
            }
        }
        for names in self.ground.ledger.names().into_values() {
            for client in names.clients {
                self.remember(Kind::User, client.user.uuid.as_bytes())?;
                self.remember(Kind::User, client.client.as_bytes())?;
            }
            for user in names.queue_users {
                self.remember(Kind::Queue, user.as_bytes())?;
            }
            for client in names.queue_clients {
                self.remember(Kind::Queue, client.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Domains, and all that stands in published documents: as it is, and what it says in base64.
    async fn remember_what_is_published(&mut self) -> Result<(), Turn> {
        for domain in self.ground.domains() {
            self.words.published.push(domain.as_str().as_bytes().to_vec());
            let (home, _) = self.ground.home(&domain).ok_or_else(|| self.turn("a homeserver is away"))?;
            for service in [ServiceName::As, ServiceName::Qs, ServiceName::Ds] {
                let document = home.document(service).await;
                let document = document.map_err(|_| self.turn("a homeserver does not publish its keys"))?;
                let text = String::from_utf8_lossy(&document).into_owned();
                let said = text.split('"').filter_map(|word| URL_SAFE_NO_PAD.decode(word).ok());
                self.words.published.extend(said.filter(|it| it.len() >= LEAST_CONSTANT));
            }
        }
        Ok(())
    }

    /// Shows that the search finds what is there: who registered is known to their own AS, and to no other.
    fn users_are_found_where_they_registered(&self) -> Result<(), Turn> {
        let disks = self.ground.disks();
        for (name, actor) in &self.people {
            let word = Word::new(Kind::User, actor.user.uuid.as_bytes());
            let audit =
                word.and_then(|word| Audit::new(&[word])).map_err(|error| self.turn(error.to_string()))?;
            let known = |disk: &MemoryStore| audit.of(&disk.dump()).in_place;
            let known: BTreeMap<&Fqdn, _> =
                disks.iter().map(|(domain, disk)| (domain, known(disk))).collect();
            let found: Vec<_> =
                known.iter().flat_map(|(domain, it)| it.keys().map(|it| (*domain, *it))).collect();
            let expected = [(&actor.user.domain, (Kind::User, Space::As))];
            self.expect(found == expected, &format!("the id of {name} is found in {found:?}"))?;
        }
        Ok(())
    }
}

fn told(domain: &Fqdn, report: &Report) -> String {
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    format!("{domain} holds {}", findings.join("; "))
}

/// Shorter words of a document are its own.
const LEAST_CONSTANT: usize = 12;
