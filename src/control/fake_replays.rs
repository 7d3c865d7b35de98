//! Replays that are begun and never taken on, for the tests of `control` and of who asks it.

use std::sync::Mutex;

use async_trait::async_trait;

use crate::domain::delivery::DeliveryKey;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId, ReplayId};
use crate::domain::replay::{Pulse, ReplayState};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::page::Page;
use crate::storage::replays::{
    Change, NewReplay, Offer, Preview, Replay, Replays, Running, Selection, Stepped,
};

type Stored<T> = Result<T, StorageError>;

/// Those that were begun, and what every count says.
#[derive(Default)]
pub(crate) struct FakeReplays {
    pub(crate) begun: Mutex<Vec<Replay>>,
    pub(crate) preview: Mutex<Preview>,
}

impl FakeReplays {
    /// So many match, whatever is asked for.
    pub(super) fn matching(matched: Option<u64>) -> Self {
        let preview = Preview { matched, ..Preview::default() };
        Self { preview: Mutex::new(preview), ..Self::default() }
    }

    fn all(&self) -> Vec<Replay> {
        self.begun.lock().expect("no test panics while it holds this").clone()
    }
}

#[async_trait]
impl Replays for FakeReplays {
    async fn preview(
        &self,
        _: OrganisationId,
        _: &Selection,
        _: Option<EndpointId>,
        _: Timestamp,
    ) -> Stored<Preview> {
        Ok(self.preview.lock().expect("no panic").clone())
    }

    async fn begin(&self, new: NewReplay, now: Timestamp) -> Stored<Replay> {
        let (application, endpoint) = match &new.selection {
            Selection::DeadLetters(filter) => (filter.application, filter.endpoint),
            Selection::OfEndpoint(of) => (Some(of.application), Some(of.endpoint)),
        };
        let replay = Replay {
            id: new.id,
            organisation: new.organisation,
            application,
            endpoint,
            selection: new.selection,
            to: new.to,
            rate: new.rate,
            state: ReplayState::Running,
            because: None,
            matched: self.preview.lock().expect("no panic").matched,
            offered: 0,
            skipped: 0,
            delivered: 0,
            dead: 0,
            actor: new.actor,
            reason: new.reason,
            created_at: now,
            updated_at: now,
            ended_at: None,
        };
        self.begun.lock().expect("no panic").push(replay.clone());
        Ok(replay)
    }

    async fn replay(&self, organisation: OrganisationId, id: ReplayId) -> Stored<Option<Replay>> {
        let own = |one: &Replay| one.id == id && one.organisation == organisation;
        Ok(self.all().into_iter().find(own))
    }

    async fn replays(
        &self,
        organisation: OrganisationId,
        application: Option<ApplicationId>,
        page: &Page<ReplayId>,
    ) -> Stored<Vec<Replay>> {
        let mut rows = self.all();
        rows.retain(|one| one.organisation == organisation);
        rows.retain(|one| application.is_none() || one.application == application);
        Ok(page.cut(rows, |one| one.id))
    }

    async fn change(
        &self,
        organisation: OrganisationId,
        id: ReplayId,
        _: Change,
        _: Timestamp,
    ) -> Stored<Option<Replay>> {
        self.replay(organisation, id).await
    }

    async fn running(&self) -> Stored<Vec<Running>> {
        Ok(Vec::new())
    }

    async fn pulse(&self, _: ReplayId, _: Timestamp) -> Stored<Pulse> {
        Ok(Pulse::default())
    }

    async fn step(&self, _: ReplayId, _: u32, _: Timestamp) -> Stored<Stepped> {
        Ok(Stepped { offered: 0, skipped: 0, state: ReplayState::Running })
    }

    async fn halt(&self, _: ReplayId, _: ReplayState, _: &str, _: Timestamp) -> Stored<()> {
        Ok(())
    }

    async fn offers(&self, _: DeliveryKey) -> Stored<Vec<Offer>> {
        Ok(Vec::new())
    }
}
