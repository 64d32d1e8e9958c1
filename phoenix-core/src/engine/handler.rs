//! Operations as one list of handlers: what an adapter routes to.

use std::{future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use bytes::Bytes;
use tracing::{Instrument, Span};

use super::{Engine, OpenStream};
use crate::{
    ErrorReply, Failure, Origin, Refusal, Reject,
    api::{Description, Endpoint},
    operation::{Fare, Operation, Partwise, Streamed},
    wire::{Call, Wire},
};

/// Serves one endpoint.
pub trait Handler: Send + Sync + 'static {
    /// Which.
    fn description(&self) -> Description;
    /// Carries out a call and encodes its answer.
    fn handle(
        &self,
        call: Call,
        origin: Origin,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, ErrorReply>> + Send + '_>>;
    /// Opens a stream, where the endpoint is one; `not_found` where it is none.
    fn open(
        &self,
        _call: Call,
        _origin: Origin,
    ) -> Pin<Box<dyn Future<Output = Result<OpenStream, ErrorReply>> + Send + '_>> {
        Box::pin(std::future::ready(Err(Refusal::from(Reject::NotFound).into())))
    }
}

/// The handler of an operation.
#[must_use]
pub fn bind<O: Operation>(engine: &Arc<Engine<O::Service>>) -> Arc<dyn Handler> {
    Arc::new(Bound::<O> { engine: engine.clone(), operation: PhantomData })
}

/// The handler of an operation that is carried out part by part.
#[must_use]
pub fn bind_parts<O: Partwise>(engine: &Arc<Engine<O::Service>>) -> Arc<dyn Handler>
where
    O::Part: Operation<Service = O::Service>,
{
    Arc::new(BoundParts::<O> { engine: engine.clone(), operation: PhantomData })
}

/// The handler of an operation that opens a stream. It is opened, and not called.
#[must_use]
pub fn bind_stream<O: Streamed>(engine: &Arc<Engine<O::Service>>) -> Arc<dyn Handler> {
    Arc::new(BoundStream::<O> { engine: engine.clone(), operation: PhantomData })
}

struct Bound<O: Operation> {
    engine: Arc<Engine<O::Service>>,
    operation: PhantomData<O>,
}

impl<O: Operation> Handler for Bound<O> {
    fn description(&self) -> Description {
        O::Endpoint::DESCRIPTION
    }

    fn handle(
        &self,
        call: Call,
        origin: Origin,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, ErrorReply>> + Send + '_>> {
        let answered = async move {
            let answer = self.engine.call::<O>(call, origin).await;
            answer.map(|reply| reply.encode()).map_err(|failure| told(&O::Endpoint::DESCRIPTION, failure))
        };
        Box::pin(answered.instrument(span(&origin)))
    }
}

struct BoundParts<O: Partwise> {
    engine: Arc<Engine<O::Service>>,
    operation: PhantomData<O>,
}

impl<O: Partwise> Handler for BoundParts<O>
where
    O::Part: Operation<Service = O::Service>,
{
    fn description(&self) -> Description {
        O::Endpoint::DESCRIPTION
    }

    fn handle(
        &self,
        call: Call,
        origin: Origin,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, ErrorReply>> + Send + '_>> {
        let answered = async move {
            let tell = |failure| told(&O::Endpoint::DESCRIPTION, failure);
            let plan = self.engine.call::<O>(call, origin).await.map_err(tell)?;
            let mut answers = Vec::new();
            for part in O::parts(&plan) {
                let answer = self.engine.internal::<O::Part>(part, Fare::Free).await;
                let ends = answer.as_ref().is_err_and(comes_again);
                answers.push(answer);
                // What is behind it must not overtake it.
                if ends {
                    break;
                }
            }
            O::answer(plan, answers).map(|answer| answer.encode()).map_err(|reject| tell(reject.into()))
        };
        Box::pin(answered.instrument(span(&origin)))
    }
}

struct BoundStream<O: Streamed> {
    engine: Arc<Engine<O::Service>>,
    operation: PhantomData<O>,
}

impl<O: Streamed> Handler for BoundStream<O> {
    fn description(&self) -> Description {
        O::Endpoint::DESCRIPTION
    }

    fn handle(
        &self,
        _call: Call,
        _origin: Origin,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, ErrorReply>> + Send + '_>> {
        Box::pin(std::future::ready(Err(Refusal::from(Reject::NotFound).into())))
    }

    fn open(
        &self,
        call: Call,
        origin: Origin,
    ) -> Pin<Box<dyn Future<Output = Result<OpenStream, ErrorReply>> + Send + '_>> {
        let opened = async move {
            let opened = self.engine.stream::<O>(call, origin).await;
            opened.map_err(|failure| told(&O::Endpoint::DESCRIPTION, failure))
        };
        Box::pin(opened.instrument(span(&origin)))
    }
}

fn comes_again(failure: &Failure) -> bool {
    match failure {
        Failure::Broken(_) => true,
        Failure::Refused(refusal) => {
            matches!(refusal.reject, Reject::Unavailable(_) | Reject::RateLimited(_))
        }
    }
}

/// What is logged of one call is found together, and names nobody (09). Its level is that of what is logged in it.
fn span(origin: &Origin) -> Span {
    match origin.request_id() {
        Some(id) => tracing::error_span!("call", request = %id),
        None => Span::none(),
    }
}

/// The peer learns that something broke; the operator learns what.
fn told(description: &Description, failure: Failure) -> ErrorReply {
    if let Failure::Broken(fault) = &failure {
        tracing::error!(endpoint = description.name, %fault, "a call failed");
    }
    failure.into()
}
