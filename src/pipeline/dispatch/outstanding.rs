//! Requests on the way, as the dispatcher knows them: what each has of it goes back however it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Dispatcher, Message};
use crate::domain::crowd::Weight;
use crate::domain::id::EndpointId;
use crate::domain::lane::Permit;
use crate::domain::outcome::Sign;
use crate::domain::room::Taken;

/// A request that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) endpoint: EndpointId,
    /// Where it went: the endpoint may have been edited since.
    pub(super) host: Arc<str>,
    pub(super) weight: Weight,
    pub(super) permit: Permit,
    pub(super) taken: Taken,
    pub(super) took: Duration,
    /// What its end said about the endpoint.
    pub(super) sign: Sign,
}

/// A request on the way: its permit goes back however it ends, by a panic too.
pub(super) struct Outstanding {
    pub(super) dispatcher: Dispatcher,
    pub(super) endpoint: EndpointId,
    pub(super) host: Arc<str>,
    pub(super) weight: Weight,
    /// None once they have gone back.
    pub(super) leave: Option<(Permit, Taken)>,
    pub(super) begun: Instant,
    pub(super) sign: Sign,
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        if let Some((permit, taken)) = self.leave.take() {
            self.dispatcher.post(Message::Finished(Ended {
                endpoint: self.endpoint,
                host: Arc::clone(&self.host),
                weight: self.weight,
                permit,
                taken,
                took: self.begun.elapsed(),
                sign: self.sign,
            }));
        }
    }
}

/// A request that the next of its lane waits for until it has begun: tells when it is dropped.
pub(super) struct Begins {
    pub(super) dispatcher: Dispatcher,
    pub(super) endpoint: EndpointId,
}

impl Drop for Begins {
    fn drop(&mut self) {
        self.dispatcher.post(Message::Begun(self.endpoint));
    }
}
