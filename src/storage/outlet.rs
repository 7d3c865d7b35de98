//! Port: what settlements tell the world besides the journal: dead letters in their native form,
//! and outcomes fed back to the producers.

use std::sync::Arc;

use async_trait::async_trait;

use super::StorageError;
use crate::domain::delivery::Attempt;
use crate::domain::event::Event;
use crate::domain::id::{AttemptId, EndpointId};
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
    /// The request that brought it about, if one did.
    pub last: Option<Made>,
    /// Whether a person asked for that request.
    pub by_hand: bool,
    /// When it was settled.
    pub at: Timestamp,
}

impl Notice {
    /// The last status code; 0 when there was no answer.
    pub fn last_status(&self) -> u16 {
        self.last.as_ref().map_or(0, |made| made.status)
    }
}

/// A request that was made, as it is told.
#[derive(Debug, Clone)]
pub struct Made {
    /// The attempt's id.
    pub id: AttemptId,
    /// Which attempt of the delivery it was, from 1 on.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// Where it went.
    pub url: Arc<str>,
    /// The answer's status; 0 when there was none.
    pub status: u16,
    /// How it ended, in one word.
    pub class: &'static str,
}

impl Made {
    /// What is told of an attempt.
    pub fn of(attempt: &Attempt) -> Self {
        Self {
            id: attempt.id,
            number: attempt.number,
            started_at: attempt.started_at,
            url: Arc::clone(&attempt.url),
            status: attempt.outcome.status(),
            class: attempt.class(),
        }
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Succeeded,
    /// It failed and is tried again; of an attempt by hand: it failed, and nothing has moved.
    Failed,
    /// Given up.
    Dead(DeathReason),
    /// Given up, and not kept as a dead letter.
    Dropped(DeathReason),
    /// Taken back.
    Cancelled,
    /// Its one request was cut off, and whether the receiver has it is not known.
    Unknown,
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
            Self::Unknown => "unknown",
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
