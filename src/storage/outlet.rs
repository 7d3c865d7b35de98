//! Port: what settlements tell the world besides the journal: dead letters in their native form,
//! and outcomes fed back to the producers.

use std::sync::Arc;

use async_trait::async_trait;

use super::StorageError;
use crate::domain::event::Event;
use crate::domain::id::EndpointId;
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;

/// Something to tell.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The event it is about.
    pub event: Arc<Event>,
    /// The endpoint it was owed to.
    pub endpoint: EndpointId,
    /// What became of the delivery.
    pub verdict: Verdict,
    /// Attempts that counted.
    pub attempts: u32,
    /// The last status code; 0 when there was no answer.
    pub last_status: u16,
    /// When it was settled.
    pub at: Timestamp,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Succeeded,
    /// It failed and is tried again.
    Failed,
    /// Given up.
    Dead(DeathReason),
    /// Given up, and not kept as a dead letter.
    Dropped(DeathReason),
    /// Taken back.
    Cancelled,
}

impl Verdict {
    /// The word for it: the end of the routing key `<application>.delivery.<word>`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dead(_) => "dead",
            Self::Dropped(_) => "dropped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An outlet where nobody listens.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

#[async_trait]
impl Outlet for Nobody {
    fn wants(&self, _: Verdict) -> bool {
        false
    }

    async fn tell(&self, _: &[Notice]) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Where notices go.
#[async_trait]
pub trait Outlet: Send + Sync {
    /// Whether anyone wants to hear of such a verdict, so that nothing is built for nobody.
    fn wants(&self, verdict: Verdict) -> bool;

    /// Tells. When this returns `Ok`, each notice is durable wherever somebody wants it.
    ///
    /// # Errors
    /// `Unavailable`: not known to be told; telling again is safe, at worst somebody hears twice.
    async fn tell(&self, notices: &[Notice]) -> Result<(), StorageError>;
}
