//! What a user's client tells those that it is connected with: other friendship keys, further clients of the user. It
//! travels in a commit of the connection group, sealed for its members, and so is signed by a leaf whose client's key
//! is pinned.

use openmls::prelude::Sender as MlsSender;
use phoenix_core::{
    ClientId, GroupId, LeafIndex, UserId, Uuid,
    api::delivery::CommitAad,
    crypto::{VerifyingKey, open_with_key, seal_with_key},
    wire::{Flag, List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    error::ClientError,
    event::Event,
    group::{ConnectionState, Plan, Standing},
    session::Session,
    state::FriendshipKeys,
    table::Table,
};

/// What a user's client tells, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct News {
    friendship: FriendshipKeys,
    /// All further clients of the user that this one vouches for.
    clients: List<FurtherClient, MAX_FURTHER>,
}

/// A further client of the same user.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct FurtherClient {
    client: Uuid,
    key: VerifyingKey,
}

impl Session {
    /// Tells all friends that do not know yet. Who cannot be told now is told with the next
    /// [`Client::maintain`](crate::Client::maintain).
    pub(crate) async fn tell_friends(&mut self) -> Result<(), ClientError> {
        let mut first = Ok(());
        let due = self.state.friends.iter().filter(|(_, friend)| friend.is_news_due.is_set());
        for user in due.map(|(user, _)| user.clone()).collect::<Vec<_>>() {
            first = first.and(self.tell_friend(&user).await);
        }
        first
    }

    async fn tell_friend(&mut self, user: &UserId) -> Result<(), ClientError> {
        let due = self.state.friends.get(user).filter(|friend| friend.is_news_due.is_set());
        let Some(friend) = due else { return Ok(()) };
        let group = friend.group.clone();
        let is_inside = |standing: Standing| standing == Standing::Member;
        if !self.state.groups.get(&group).is_some_and(|record| is_inside(record.standing)) {
            // Another client of ours holds the connection.
            return Ok(());
        }
        if !self.is_record_safe() {
            return Ok(());
        }
        let news = News { friendship: self.record()?.friendship.clone(), clients: self.vouched_for()? };
        let key = self.group(&group)?.credential_key.clone();
        let sealed = seal_with_key(&key, &aad(&group), &news.encode(), &mut self.chance).into();
        self.commit(&group, &Plan::Tell(sealed)).await?;
        let told = self.state.friends.values_mut().filter(|friend| friend.group == group);
        told.for_each(|friend| friend.is_news_due = Flag::No);
        Ok(())
    }

    fn vouched_for(&self) -> Result<List<FurtherClient, MAX_FURTHER>, ClientError> {
        let known = self.state.own_clients.iter();
        let compared =
            known.filter_map(|(client, key)| Some(FurtherClient { client: *client, key: key.clone()? }));
        Ok(List::new(compared.take(MAX_FURTHER).collect())?)
    }

    /// Takes what the user that a connection group stands for tells, if it is by the client whose key is pinned.
    pub(crate) fn take_news(
        &mut self,
        group: &GroupId,
        from: &MlsSender,
        commit: &CommitAad,
    ) -> Result<(), ClientError> {
        let record = self.group(group)?;
        let (MlsSender::Member(leaf), ConnectionState::Stands(user)) = (from, &record.connection) else {
            return Ok(());
        };
        let member = record.members.get(&LeafIndex(leaf.u32()));
        let face =
            member.filter(|it| it.proven.as_ref() == Some(user)).and_then(|it| record.faces.get(&it.face));
        let (key, user) = (record.credential_key.clone(), user.clone());
        let speaker = face.map(|face| face.key.clone());
        let Ok(opened) = open_with_key(&key, &aad(group), &commit.sealed) else { return Ok(()) };
        let Ok(news) = News::decode(&opened) else { return Ok(()) };
        let Some(friend) = self.state.friends.get_mut(&user) else { return Ok(()) };
        if speaker.as_ref() != Some(&friend.key) || friend.group != *group {
            return Ok(());
        }
        let clients: Table<_, _> = news.clients.into_iter().map(|it| (it.client, it.key)).collect();
        let before = std::mem::replace(&mut friend.further, clients.clone());
        friend.keys = news.friendship;
        for (client, key) in clients.iter() {
            if before.get(client) != Some(key) {
                self.tell(Event::ClientAdded { user: user.clone(), client: *client });
            }
        }
        self.check_faces(&user);
        Ok(())
    }

    /// Whether a key is one that we take for a client of a user: the pinned one, or one that it vouches for; of our own
    /// user, one that was compared.
    pub(crate) fn is_known_key(&self, client: &ClientId, key: &VerifyingKey) -> bool {
        if client.user == self.client().user {
            let compared = self.state.own_clients.get(&client.client).and_then(Option::as_ref);
            return compared == Some(key);
        }
        let friend = self.state.friends.get(&client.user);
        friend.is_some_and(|friend| friend.key == *key || friend.further.get(&client.client) == Some(key))
    }
}

/// What news are sealed with: no answer to an offer is taken for them.
fn aad(group: &GroupId) -> Vec<u8> {
    [b"news".as_slice(), &group.encode()].concat()
}

/// Further clients of a user: ten in all (04).
const MAX_FURTHER: usize = 9;
