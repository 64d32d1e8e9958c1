//! A lane on which rows for several homeservers wait.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;

use super::world::World;
use crate::{
    Failure, Fqdn, Reject,
    api::ServiceName,
    crypto::Chance,
    engine::{Courier, LaneRow, Lanes, batch::Assembly},
    operation::{Delivery, Fare},
    port::{Commit, Space, Store},
    wire::Wire,
};

#[test]
fn what_is_for_one_homeserver_waits_for_nothing_that_is_for_another() {
    // given a lane with rows for two homeservers, and nobody who carries those for the first to their end
    let world = World::new();
    for (number, to) in (0..).zip(["beta.test", "gamma.test", "beta.test", "gamma.test", "gamma.test"]) {
        append(&world, to, number);
    }
    let courier = Arc::new(Stuck::default());
    let lanes = Lanes::new(world.engine.shared().clone(), courier.clone());

    // when it is carried as far as it can be
    let mut carrying = Box::pin(lanes.flush_all());
    let is_done = carrying.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();

    // then all of the second's came, in order, and of the first's the first alone was tried
    assert!(!is_done);
    assert_eq!(*courier.tried.lock().unwrap(), [("beta", 0), ("gamma", 1), ("gamma", 3), ("gamma", 4)]);
    drop(carrying);
    assert_eq!(waiting(&world), 2, "what was not carried waits still");
}

fn append(world: &World, to: &str, number: u8) {
    let shared = world.engine.shared();
    let (lane, body) = (Bytes::from_static(b"group"), vec![number].into());
    let (to, back) = (to.parse().unwrap(), Bytes::new());
    let delivery = Delivery { to, service: ServiceName::Qs, lane, back, body };
    let chance = || Chance::from_seed([number; 32]);
    let mut assembly = Assembly::new(shared, shared.ports().clock.now(), chance());
    assembly.deliver(delivery, &mut chance()).unwrap();
    let batch = assembly.finish().unwrap();
    assert_eq!(block_on(world.store.commit(&batch)), Ok(Commit::Done));
}

/// Rows on the lane.
fn waiting(world: &World) -> usize {
    let lanes = world.store.dump().into_iter().filter(|(at, _)| at.space() == Space::Lane);
    let lane = lanes.filter(|(at, _)| at.key().first() == Some(&crate::engine::lanes::LANE));
    lane.map(|(_, found)| found.rows.len()).sum()
}

/// Never gets anything to one of two homeservers.
#[derive(Default)]
struct Stuck {
    tried: Mutex<Vec<(&'static str, u8)>>,
}

#[async_trait]
impl Courier for Stuck {
    async fn carry(&self, row: LaneRow, _: Fare) -> Result<(), Failure> {
        let beta: Fqdn = "beta.test".parse()?;
        let number = u8::decode(&row.body)?;
        if row.to == beta {
            self.tried.lock().unwrap().push(("beta", number));
            std::future::pending::<()>().await;
        }
        self.tried.lock().unwrap().push(("gamma", number));
        // Takes the row off its lane.
        Err(Reject::Forbidden.into())
    }
}
