//! Tells the world: a native copy of each dead letter, and, where wanted, every outcome.
//!
//! Results go to whoever is bound for them; that nobody is, is nobody's fault. A dead letter always
//! has its queue.

use std::sync::Arc;

use async_trait::async_trait;

use super::message::outgoing;
use super::publisher::Publisher;
use super::topology::Topology;
use crate::storage::StorageError;
use crate::storage::outlet::{Notice, Outlet, Verdict};

/// The exchanges that others listen to.
pub(super) struct RabbitOutlet {
    pub publisher: Publisher,
    pub topology: Arc<Topology>,
    /// Whether outcomes are fed back to producers.
    pub results: bool,
}

#[async_trait]
impl Outlet for RabbitOutlet {
    fn wants(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Dead(_) => true,
            Verdict::Succeeded
            | Verdict::Failed
            | Verdict::Dropped(_)
            | Verdict::Cancelled
            | Verdict::Unknown => self.results,
        }
    }

    async fn tell(&self, notices: &[Notice]) -> Result<(), StorageError> {
        let mut messages = Vec::with_capacity(notices.len());
        for notice in notices {
            match notice.verdict {
                Verdict::Dead(why) => {
                    messages.push(outgoing::dead_letter(notice, why.as_str(), &self.topology));
                }
                Verdict::Succeeded
                | Verdict::Failed
                | Verdict::Dropped(_)
                | Verdict::Cancelled
                | Verdict::Unknown => {}
            }
            if self.results {
                messages.push(outgoing::result(notice, &self.topology));
            }
        }
        self.publisher.publish(messages).await
    }
}
