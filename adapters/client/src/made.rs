//! Offers of ours, and what became of them; declining those of others (04, step 5).

use phoenix_core::{
    GroupId,
    api::auth::{EnqueueOffer, EnqueueOfferRequest},
    crypto::sha256,
    time::DAY,
    wire::{Flag, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    direct::{DirectMessage, OfferDecline},
    error::ClientError,
    event::{Event, OfferId},
    group::{Asked, ConnectionState},
    offer::ConnectionOffer,
    session::Session,
};

/// An offer of ours, as we keep it.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Made {
    group: GroupId,
    to: Asked,
    /// Last second of the offer.
    expires: u64,
    is_declined: Flag,
}

/// An offer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferMade {
    /// The connection group.
    pub group: GroupId,
    /// Whom we asked.
    pub to: Asked,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an offer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody has answered yet.
    Open,
    /// It was accepted. For an alias, whoever is behind it may have to be confirmed still.
    Accepted,
    /// It was declined.
    Declined,
    /// Nobody answered in time, or the group was closed.
    Ended,
}

impl Session {
    /// Remembers an offer that is about to be sent.
    pub(crate) fn remember_offer(&mut self, offer: &ConnectionOffer) -> Result<(), ClientError> {
        let group = offer.payload.group.clone();
        let ConnectionState::Open(open) = &self.group(&group)?.connection else {
            return Err(ClientError::State("no open connection group"));
        };
        let made = Made { to: open.asked.clone(), expires: open.expires, is_declined: Flag::No, group };
        let now = self.now().as_secs();
        // Whoever declined is asked anew.
        let is_over = |made: &Made| made.group == offer.payload.group && made.is_declined.is_set();
        self.state.made.retain(|_, it| now < it.expires.saturating_add(MEMORY) && !is_over(it));
        if self.state.made.len() >= MAX_MADE {
            let oldest = self.state.made.iter().min_by_key(|(_, made)| made.expires).map(|(id, _)| *id);
            oldest.and_then(|id| self.state.made.remove(&id));
        }
        self.state.made.insert(offer.id(), made);
        Ok(())
    }

    /// Someone declines an offer of ours; who has not read it cannot.
    pub(crate) fn take_decline(&mut self, decline: &OfferDecline) {
        let Some(made) = self.state.made.get_mut(&decline.offer) else { return };
        let record = self.state.groups.get(&made.group);
        let Some(ConnectionState::Open(open)) = record.map(|record| &record.connection) else { return };
        if made.is_declined.is_set() || !decline.holds(&open.join_code) {
            return;
        }
        made.is_declined = Flag::Yes;
        let (group, to) = (made.group.clone(), made.to.clone());
        self.tell(Event::Declined { group, to });
    }

    /// Our offers, one of each group.
    pub(crate) fn offers_made(&self) -> Vec<OfferMade> {
        let mut offers: Vec<OfferMade> = Vec::new();
        for made in self.state.made.values() {
            let outcome = self.outcome(made);
            match offers.iter_mut().find(|it| it.group == made.group) {
                // Each client of a user gets an offer of its own; any of them may decline for the user.
                Some(known) if outcome == Outcome::Declined => known.outcome = outcome,
                Some(_) => {}
                None => offers.push(OfferMade { group: made.group.clone(), to: made.to.clone(), outcome }),
            }
        }
        offers
    }

    fn outcome(&self, made: &Made) -> Outcome {
        let record = self.state.groups.get(&made.group);
        match record.map(|record| &record.connection) {
            Some(ConnectionState::Answered(_) | ConnectionState::Stands(_)) => Outcome::Accepted,
            _ if made.is_declined.is_set() => Outcome::Declined,
            Some(ConnectionState::Open(_)) if self.now().as_secs() <= made.expires => Outcome::Open,
            Some(ConnectionState::Open(_) | ConnectionState::None) | None => Outcome::Ended,
        }
    }

    /// Declines an offer, and tells whoever made it: through the direct queue of their client, unsigned, so that
    /// their AS learns nothing but that someone wrote to them.
    pub(crate) async fn decline(&mut self, offer: &OfferId) -> Result<(), ClientError> {
        let offered = self.state.offers.get(&offer.0).ok_or(ClientError::State("no such offer"))?;
        let payload = &offered.offer.payload;
        let (from, code) = (payload.credential.payload.client.clone(), payload.join_code.clone());
        let package = self.package_of(&from).await?;
        let key = &package.payload.package.encryption_key;
        let message = DirectMessage::Decline(OfferDecline::new(offer.0, &code));
        let ciphertext = message.seal(key, &sha256(&package.encode()), &mut self.chance)?;
        let route = self.fresh_route(&from.user.domain);
        let request = EnqueueOfferRequest { to: from, ciphertext };
        self.call::<EnqueueOffer>(&route, None, &request).await?;
        self.state.offers.remove(&offer.0);
        Ok(())
    }
}

/// Offers of ours that are remembered: more than anyone's Contact tokens make in a month.
const MAX_MADE: usize = 4_096;
/// How long what became of an offer is remembered after its end, in seconds.
const MEMORY: u64 = 30 * DAY;
