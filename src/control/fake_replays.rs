//! Replays that are begun and go by a script, for the tests of `control` and of who asks it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::delivery::DeliveryKey;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId, ReplayId};
use crate::domain::replay::{Pulse, Rate, ReplayState};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::page::Page;
use crate::storage::replays::{
    Change, NewReplay, Offer, Preview, Replay, Replays, Running, Selection, Stepped,
};

type Stored<T> = Result<T, StorageError>;

/// Those that were begun, what every count says, and those that run by a script.
#[derive(Default)]
pub(crate) struct FakeReplays {
    pub(super) begun: Mutex<Vec<Replay>>,
    pub(super) preview: Mutex<Preview>,
    pub(super) scripts: Mutex<Vec<Script>>,
    /// What each step offered, in order.
    pub(super) offered: Mutex<Vec<(ReplayId, u64)>>,
    /// What is said of each that runs.
    pub(super) waiting: Mutex<BTreeMap<ReplayId, String>>,
    /// What was stopped, and why.
    pub(super) halted: Mutex<Vec<(ReplayId, ReplayState, String)>>,
    /// So many questions are not answered.
    pub(super) away: Mutex<u32>,
}

/// A replay with so many to offer.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) id: ReplayId,
    pub(super) rate: Rate,
    pub(super) left: u32,
    pub(super) pulse: Pulse,
    /// Its steps cannot be read.
    pub(super) broken: bool,
}

/// As long as a step takes.
const STEP: Duration = Duration::from_millis(10);

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
            named: new.selection.named(),
            selection: new.selection,
            to: new.to,
            rate: new.rate,
            state: ReplayState::Running,
            because: None,
            matched: self.preview.lock().expect("no panic").matched,
            offered: 0,
            skipped: 0,
            tried: 0,
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
        let mut away = self.away.lock().expect("no panic");
        if *away > 0 {
            *away -= 1;
            return Err(StorageError::Unavailable("away".into()));
        }
        let scripts = self.scripts.lock().expect("no panic");
        let waiting = self.waiting.lock().expect("no panic");
        let running = |one: &Script| {
            let waits = waiting.contains_key(&one.id);
            Running { id: one.id, rate: one.rate, waits }
        };
        Ok(scripts.iter().map(running).collect())
    }

    async fn pulse(&self, id: ReplayId, _: Timestamp) -> Stored<Pulse> {
        let scripts = self.scripts.lock().expect("no panic");
        Ok(scripts.iter().find(|one| one.id == id).map(|one| one.pulse).unwrap_or_default())
    }

    async fn step(&self, id: ReplayId, most: u32, _: Timestamp) -> Stored<Stepped> {
        tokio::time::sleep(STEP).await;
        let mut scripts = self.scripts.lock().expect("no panic");
        let place = scripts.iter().position(|one| one.id == id).expect("it runs");
        let script = &mut scripts[place];
        if script.broken {
            return Err(StorageError::Corrupt("a secret cannot be opened".into()));
        }
        let offered = most.min(script.left);
        script.left -= offered;
        let is_done = script.left == 0;
        if is_done {
            scripts.remove(place);
        }
        self.offered.lock().expect("no panic").push((id, offered.into()));
        let state = if is_done { ReplayState::Finished } else { ReplayState::Running };
        Ok(Stepped { offered: offered.into(), skipped: 0, state })
    }

    async fn waits(&self, id: ReplayId, because: Option<&str>) -> Stored<()> {
        let mut waiting = self.waiting.lock().expect("no panic");
        match because {
            Some(because) => waiting.insert(id, because.to_owned()),
            None => waiting.remove(&id),
        };
        Ok(())
    }

    async fn halt(
        &self,
        id: ReplayId,
        state: ReplayState,
        because: &str,
        _: Timestamp,
    ) -> Stored<()> {
        self.scripts.lock().expect("no panic").retain(|one| one.id != id);
        self.halted.lock().expect("no panic").push((id, state, because.to_owned()));
        Ok(())
    }

    async fn offers(&self, _: DeliveryKey) -> Stored<Vec<Offer>> {
        Ok(Vec::new())
    }
}
