//! A token that was spent on a try whose answer was lost says nothing of what that try did.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn, Refusal, Reject,
    api::ServiceName,
    port::{Outgoing, Transport, TransportError},
};

use super::support::{Net, World, befriend, connected, group_of, offer, play, text, texts, until};
use crate::{Client, ClientError, group::Standing};

#[test]
fn a_commit_whose_token_is_called_spent_is_kept_until_it_is_known_what_became_of_it() {
    play(&["alpha.test"], async |world| {
        let (a, b, spender) = pair(&world).await;
        befriend(&a, &b).await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited");
        let before = a.epoch(&group).await.expect("a group").0;

        spender.begin("update_client");
        let refused = a.update(&group).await;

        assert_spent(refused);
        assert!(a.lock().await.group(&group).expect("a group").sent.is_some());
        spender.end();
        a.update(&group).await.expect("it was accepted long ago");
        assert!(a.lock().await.group(&group).expect("a group").sent.is_none());
        assert_eq!(a.epoch(&group).await.expect("a group").0, before + 1);
    });
}

#[test]
fn a_message_whose_token_is_called_spent_arrives_once_when_it_is_sent_again() {
    play(&["alpha.test"], async |world| {
        let (a, b, spender) = pair(&world).await;
        befriend(&a, &b).await;
        let group = group_of(&a, &b).await;

        spender.begin("send_message");
        assert_spent(a.send(&group, "once").await.map(|_| ()));
        spender.end();
        a.send(&group, "once").await.expect("sent");
        a.send(&group, "the end").await.expect("sent");

        assert_eq!(texts(&b, 2).await, ["once", "the end"]);
    });
}

#[test]
fn a_join_whose_token_is_called_spent_is_kept_until_it_is_known_what_became_of_it() {
    play(&["alpha.test"], async |world| {
        let (a, b, spender) = pair(&world).await;
        let group = b.connect(a.user()).await.expect("offered");
        let offered = until(&a, offer).await;

        spender.begin("join_connection_group");
        assert_spent(a.accept(offered).await.map(|_| ()));

        assert_eq!(a.lock().await.group(&group).expect("kept").standing, Standing::Joining);
        spender.end();
        a.accept(offered).await.expect("it was accepted long ago");
        assert_eq!(until(&b, connected).await, *a.user());
        a.send(&group, "here").await.expect("sent");
        assert_eq!(until(&b, text).await, "here");
    });
}

fn assert_spent(result: Result<(), ClientError>) {
    let error = result.expect_err("its answer was lost");
    assert_eq!(error.code(), Some(ErrorCode::TokenSpent));
    assert!(error.is_transient());
}

/// Two users, the first of whom has a homeserver that calls tokens spent when it is told to.
async fn pair(world: &World) -> (Client, Client, Spender) {
    let spender = Spender { net: world.net.clone(), of: Arc::default() };
    let a = world.user_with("alpha.test", world.ports_over(spender.clone())).await;
    (a, world.user("alpha.test").await, spender)
}

/// A way on which the first call to an endpoint is carried out and its answer lost, and further ones are refused.
#[derive(Clone)]
struct Spender {
    net: Net,
    of: Arc<Mutex<Option<(&'static str, bool)>>>,
}

impl Spender {
    fn begin(&self, endpoint: &'static str) {
        *self.of.lock().expect("no panic before") = Some((endpoint, false));
    }

    fn end(&self) {
        *self.of.lock().expect("no panic before") = None;
    }

    /// Whether an endpoint was called before, if it is the one.
    fn was_called(&self, name: &str) -> Option<bool> {
        let mut of = self.of.lock().expect("no panic before");
        let (_, was_called) = of.as_mut().filter(|(endpoint, _)| *endpoint == name)?;
        Some(std::mem::replace(was_called, true))
    }
}

#[async_trait]
impl Transport for Spender {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        match self.was_called(outgoing.name) {
            None => self.net.send(to, outgoing).await,
            Some(false) => {
                self.net.send(to, outgoing).await?.expect("accepted");
                Err(TransportError::Unreachable)
            }
            Some(true) => Ok(Err(Refusal::from(Reject::TokenSpent).into())),
        }
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.net.fetch(from, service).await
    }
}
