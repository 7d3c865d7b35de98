//! Hands on what goes on, tells who wants to hear, and gives back: the second half of settling.
//!
//! Beside recording and not within it, so that a slow ladder does not stop successes from being recorded.
//!
//! **What if we die right here?** Before the ladder has confirmed: what it came from is unacknowledged and comes
//! again; its turn is over, the journal says that a router held what comes after, so that copy takes over.
//! Behind the confirm: the old copy comes again and is dropped. What was recorded and not told yet is not told
//! later.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tracing::debug;

use super::settle::BATCH_MAX;
use super::until_taken;
use super::window::Share;
use crate::failpoint;
use crate::storage::journal::Journal;
use crate::storage::ladder::{Ladder, Waiting};
use crate::storage::outlet::{Notice, Outlet};
use crate::telemetry::metrics::Metrics;

/// Something to be handed on before its share is released.
#[derive(Debug)]
pub(super) struct Released {
    /// What goes on the ladder.
    pub(super) waiting: Option<Waiting>,
    /// What is told.
    pub(super) notice: Option<Notice>,
    /// What is released then; of what was let go it was before.
    pub(super) share: Option<Share>,
}

/// What [`Release`] reads from.
#[derive(Debug)]
pub struct ReleaseQueue(pub(super) UnboundedReceiver<Released>);

/// The second task: hands on, then releases.
pub struct Release {
    /// What it reads.
    pub queue: ReleaseQueue,
    /// Where what waits goes.
    pub ladder: Arc<dyn Ladder>,
    /// Who is told.
    pub outlet: Arc<dyn Outlet>,
    /// Where it is noted.
    pub journal: Arc<dyn Journal>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Release {
    /// Hands on until `stop` is called and nothing is left in the queue.
    pub async fn run(mut self, stop: tokio_util::sync::CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased; // what is there is handed on before a stop is heard
                count = self.queue.0.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
                () = stop.cancelled() => return,
            }
            self.release(std::mem::take(&mut batch)).await;
        }
    }

    async fn release(&self, batch: Vec<Released>) {
        let mut waiting = Vec::new();
        let mut notices = Vec::new();
        let mut shares = Vec::with_capacity(batch.len());
        for released in batch {
            waiting.extend(released.waiting);
            notices.extend(released.notice);
            shares.extend(released.share);
        }
        if !waiting.is_empty() {
            let away = |away| self.metrics.ladder_away(away);
            until_taken("postponing deliveries", || self.ladder.postpone(&waiting), &away).await;
            failpoint!("release.postponed");
        }
        if !notices.is_empty() {
            let away = |away| self.metrics.ladder_away(away);
            until_taken("telling of outcomes", || self.outlet.tell(&notices), &away).await;
            failpoint!("release.told");
        }
        for share in shares {
            share.release();
        }
        failpoint!("release.given_back");
        self.note(&waiting).await;
    }

    /// Notes what is on the ladder now. Once, whatever comes: when the note is lost, an old copy
    /// that comes back makes a second of the new turn, and the fence drops one of them.
    async fn note(&self, waiting: &[Waiting]) {
        let handed: Vec<_> =
            waiting.iter().map(|one| (one.delivery.key(), one.delivery.turn)).collect();
        if !handed.is_empty()
            && let Err(error) = self.journal.handed_on(handed).await
        {
            debug!(%error, "what is on the ladder could not be noted");
        }
    }
}
