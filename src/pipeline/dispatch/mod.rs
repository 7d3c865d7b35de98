//! Gives deliveries leave to be sent: a lane per endpoint, one task that owns them all.
//!
//! A delivery is offered to its endpoint's lane. The lane starts it, holds it for a moment, or says
//! when to come back; in that last case it is postponed and costs the window nothing more. The
//! number of requests on the way over all lanes is bounded too ([`Room`](crate::domain::room)), and so is
//! that to one host; lanes that could start but for such a bound take turns. And so is, while there are others, the number of
//! one application's deliveries in here ([`Crowd`](crate::domain::crowd)): so that ingest reads on past its flood.
//!
//! URLs that events name have a lane for each host and application: as many as events in the window name,
//! and those that were in use a moment ago.
//!
//! The dispatcher keeps nothing that matters: what is in a lane has its share of a receipt, and what
//! is dropped here comes again.

mod circuits;
mod lanes;
mod outstanding;

use std::num::NonZeroU16;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::circuits::Circuits;
use self::lanes::Lanes;
use self::outstanding::Ended;
use super::recall::Recaller;
use super::route::Routes;
use super::send::Courier;
use super::settle::Settler;
use super::{Job, World};
use crate::domain::id::EndpointId;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics::Metrics;

/// Speaks to the dispatcher. Its queue needs no bound: each message is about a delivery that has a
/// place in the window, or a request on the way, and there are at most three about each.
#[derive(Debug, Clone)]
pub struct Dispatcher(UnboundedSender<Message>);

#[derive(Debug)]
enum Message {
    Offer(Job),
    HoldUntil(Timestamp, Job),
    Begun(EndpointId),
    Finished(Ended),
    CatalogueChanged(oneshot::Sender<()>),
    Stop,
}

impl Dispatcher {
    /// A dispatcher's address, and its letter box.
    pub fn address() -> (Self, Letters) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Letters(receiver))
    }

    /// Offers a delivery that may be sent now.
    pub fn offer(&self, job: Job) {
        self.post(Message::Offer(job));
    }

    /// Offers a delivery that may be sent soon, within [`crate::domain::lane::HOLD_MAX`].
    ///
    /// # Errors
    /// The delivery, when the dispatcher has stopped: then it belongs on the ladder.
    pub fn hold_until(&self, due_at: Timestamp, job: Job) -> Result<(), Box<Job>> {
        match self.0.send(Message::HoldUntil(due_at, job)) {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendError(Message::HoldUntil(_, job))) => Err(Box::new(job)),
            Err(_) => unreachable!("a message that could not be sent comes back as it was"),
        }
    }

    /// Says that endpoints may have changed. When it returns, every request that was let go by what was
    /// known before has begun, and none begins by it any more.
    pub async fn catalogue_changed(&self) {
        let (tell, told) = oneshot::channel();
        self.post(Message::CatalogueChanged(tell));
        let _ = told.await; // a dispatcher that has stopped starts nothing
    }

    /// Says the same, and waits for nothing.
    pub fn catalogue_moved(&self) {
        let (tell, _) = oneshot::channel();
        self.post(Message::CatalogueChanged(tell));
    }

    /// Starts nothing more, hands on what is held, and ends when nothing is on the way.
    pub fn stop(&self) {
        self.post(Message::Stop);
    }

    fn post(&self, message: Message) {
        // Nobody is there only after a stop; what the message carried then comes again.
        let _ = self.0.send(message);
    }
}

/// The dispatcher's letter box.
#[derive(Debug)]
pub struct Letters(UnboundedReceiver<Message>);

/// The stage.
pub struct Dispatch {
    /// Where endpoints are looked up.
    pub routes: Routes,
    /// What is told to whoever sends: where permits go back to.
    pub dispatcher: Dispatcher,
    /// Who makes requests.
    pub courier: Arc<Courier>,
    /// Who hears of what was not sent.
    pub settler: Settler,
    /// Clock and chance.
    pub world: World,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Requests that may be on the way at the same time, to all endpoints together.
    pub max_in_flight: usize,
    /// Those of them that may be to one host.
    pub max_in_flight_per_host: usize,
    /// Deliveries in memory that may be of one application while others have some too.
    pub max_of_one_application: usize,
    /// Bytes of their payloads.
    pub max_payload_bytes_of_one_application: usize,
    /// Routers that share what endpoints may be sent; `None` while that is not known.
    pub routers_here: watch::Receiver<Option<NonZeroU16>>,
    /// Where it is written down whose circuits are not closed.
    pub circuits: Circuits,
    /// Who brings back what waited for room.
    pub recaller: Recaller,
}

impl Dispatch {
    /// Serves the letter box until it was told to stop and nothing is on the way.
    pub async fn run(self, letters: Letters) {
        Lanes::of(self).run(letters.0).await;
    }
}
