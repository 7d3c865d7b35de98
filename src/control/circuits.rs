//! Port: which endpoints are left alone for now because they do nothing but fail, as far as this router knows.

use crate::domain::breaker::Tripped;
use crate::domain::id::EndpointId;

/// What knows it.
pub trait Circuits: Send + Sync {
    /// How an endpoint's circuit is, when it is not closed.
    fn of(&self, endpoint: EndpointId) -> Option<Tripped>;

    /// How many are not closed.
    fn count(&self) -> usize;
}
