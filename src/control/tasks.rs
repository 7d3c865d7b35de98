//! Recovering what was given up and replaying what was missed: tasks that are begun with an answer, and
//! done behind it.
//!
//! The [`Runner`] takes running tasks on, one step of one task at a time, each task in its turn. What a
//! router had begun goes on with the next one that is started: a task is a row, and nothing of it is in
//! memory.
//!
//! Left to the store: what a step is, and that a step which is interrupted was not taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Answer, Context, ControlError};
use crate::domain::application::Tenant;
use crate::domain::id::{EndpointId, TaskId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::tasks::{NewTask, Task, TaskKind, Tasks};

/// How far back a task may begin: two weeks, the limit that client libraries' documents name.
const SINCE_MOST: Duration = Duration::from_hours(14 * 24);

/// How often it is looked whether a task has been begun. A look reads one row of an index of those that
/// run, which is empty nearly always.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a store that is away is left alone.
const AGAIN: Duration = Duration::from_secs(5);

/// After each step comes a rest of so many times what it took, within these bounds. So tasks have a fifth of
/// the writer's time at the most, and less when it is busy, since what a step takes has the wait for it in
/// it. With 500 deliveries in a step, which take some 10 ms, that is ten thousand a second; a million are
/// offered in two minutes, and the lanes of their endpoint take longer than that.
const REST_TIMES: u32 = 4;
const REST_LEAST: Duration = Duration::from_millis(20);
const REST_MOST: Duration = Duration::from_secs(1);

/// Where people begin tasks and look at them.
#[derive(Clone)]
pub struct TaskDesk {
    tasks: Arc<dyn Tasks>,
    context: Context,
}

impl TaskDesk {
    /// A desk in front of these tasks.
    pub fn new(tasks: Arc<dyn Tasks>, context: Context) -> Self {
        Self { tasks, context }
    }

    /// Begins a task over events received from `since` until `until`, or until now.
    ///
    /// # Errors
    /// `Invalid` when the span is empty or begins more than two weeks ago; `Conflict` when there is no
    /// such endpoint, or too many tasks of the application run already.
    pub async fn begin(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        kind: TaskKind,
        since: Timestamp,
        until: Option<Timestamp>,
    ) -> Answer<Task> {
        let now = (self.context.now)();
        if now.since(since) > SINCE_MOST {
            return Err(ControlError::Invalid(format!(
                "since is {since}: at most two weeks ago is accepted"
            )));
        }
        if until.is_some_and(|until| until <= since) {
            return Err(ControlError::Invalid("until is not after since".to_owned()));
        }
        let id = TaskId::minted(now, self.context.id_chance());
        Ok(self.tasks.begin(tenant, NewTask { id, kind, endpoint, since, until }, now).await?)
    }

    /// A tenant's task.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn task(&self, tenant: Tenant, id: &str) -> Answer<Task> {
        let found = match id.parse() {
            Ok(id) => self.tasks.task(tenant, id).await?,
            Err(_) => None,
        };
        found.ok_or_else(|| ControlError::NotFound(format!("no task is called `{id}`")))
    }
}

/// Takes tasks on.
pub struct Runner {
    /// The tasks.
    pub tasks: Arc<dyn Tasks>,
    /// What time it is.
    pub now: fn() -> Timestamp,
}

impl Runner {
    /// Takes steps until stopped. One that is interrupted was taken or was not: the store knows.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.steps()).await;
    }

    async fn steps(&self) {
        let (mut last, mut away) = (None, false);
        loop {
            let begun = Instant::now();
            let rest = match self.turn(last).await {
                Ok(None) => LOOK_EVERY,
                Ok(Some(id)) => {
                    last = Some(id);
                    (begun.elapsed() * REST_TIMES).clamp(REST_LEAST, REST_MOST)
                }
                Err(error) => {
                    if !away {
                        warn!(%error, "tasks cannot be taken on, trying until they can");
                    }
                    away = true;
                    sleep(AGAIN).await;
                    continue;
                }
            };
            away = false;
            sleep(rest).await;
        }
    }

    /// A step of the task whose turn it is; which that was.
    async fn turn(&self, last: Option<TaskId>) -> Result<Option<TaskId>, StorageError> {
        let Some(id) = self.tasks.next_running(last).await? else { return Ok(None) };
        match self.tasks.step(id, (self.now)()).await {
            Ok(moved) => debug!(task = %id, moved, "a step of a task"),
            Err(error @ StorageError::Unavailable(_)) => return Err(error),
            // It would say the same for ever; the others are not to wait for it.
            Err(error @ (StorageError::Conflict(_) | StorageError::Corrupt(_))) => {
                warn!(task = %id, %error, "a task cannot be taken on and is given up");
                self.tasks.fail(id, (self.now)()).await?;
            }
        }
        Ok(Some(id))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::control::applications::NewApplication;
    use crate::control::fake::{NOW, World};
    use crate::storage::tasks::TaskState;

    /// Tasks with so many steps to go each, that write down whose turn it was.
    #[derive(Default)]
    struct Scripted {
        left: Mutex<BTreeMap<TaskId, u32>>,
        turns: Mutex<Vec<TaskId>>,
        corrupt: Option<TaskId>,
        away: Mutex<u32>,
    }

    fn id(number: u8) -> TaskId {
        TaskId::from_bytes([number; 20])
    }

    #[async_trait]
    impl Tasks for Scripted {
        async fn begin(
            &self,
            tenant: Tenant,
            task: NewTask,
            now: Timestamp,
        ) -> Result<Task, StorageError> {
            let NewTask { id, kind, endpoint, since, until } = task;
            let application = tenant.application();
            Ok(Task {
                id,
                kind,
                application,
                endpoint,
                since,
                until,
                moved: 0,
                state: TaskState::Running,
                created_at: now,
                updated_at: now,
            })
        }

        async fn task(&self, _: Tenant, _: TaskId) -> Result<Option<Task>, StorageError> {
            Ok(None)
        }

        async fn any(&self, _: TaskId) -> Result<Option<Task>, StorageError> {
            Ok(None)
        }

        async fn next_running(
            &self,
            after: Option<TaskId>,
        ) -> Result<Option<TaskId>, StorageError> {
            let mut away = self.away.lock().expect("no panic");
            if *away > 0 {
                *away -= 1;
                return Err(StorageError::Unavailable("away".into()));
            }
            let left = self.left.lock().expect("no panic");
            let next = left.keys().find(|id| Some(**id) > after);
            Ok(next.or_else(|| left.keys().next()).copied())
        }

        async fn step(&self, id: TaskId, _: Timestamp) -> Result<u64, StorageError> {
            self.turns.lock().expect("no panic").push(id);
            if self.corrupt == Some(id) {
                return Err(StorageError::Corrupt("a secret cannot be opened".into()));
            }
            sleep(Duration::from_millis(10)).await; // as long as a step takes
            let mut left = self.left.lock().expect("no panic");
            let steps = left.get_mut(&id).expect("it runs");
            *steps -= 1;
            if *steps == 0 {
                left.remove(&id);
            }
            Ok(500)
        }

        async fn fail(&self, id: TaskId, _: Timestamp) -> Result<(), StorageError> {
            self.left.lock().expect("no panic").remove(&id);
            Ok(())
        }
    }

    /// Runs them for so long; whose turns there were.
    async fn run_for(tasks: Scripted, span: Duration) -> (Vec<TaskId>, Arc<Scripted>) {
        let tasks = Arc::new(tasks);
        let runner = Runner { tasks: tasks.clone(), now: || NOW };
        let _ = tokio::time::timeout(span, runner.run(CancellationToken::new())).await;
        let turns = std::mem::take(&mut *tasks.turns.lock().expect("no panic"));
        (turns, tasks)
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_take_turns_until_each_is_done() {
        let left = Mutex::new([(id(1), 3), (id(2), 1), (id(3), 2)].into());
        let tasks = Scripted { left, ..Scripted::default() };

        let (turns, _) = run_for(tasks, Duration::from_secs(10)).await;

        assert_eq!(turns, [id(1), id(2), id(3), id(1), id(3), id(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_followed_by_a_rest_of_four_times_as_long() {
        let left = Mutex::new([(id(1), 1_000)].into());
        let tasks = Scripted { left, ..Scripted::default() };

        let (turns, _) = run_for(tasks, Duration::from_millis(499)).await;

        assert_eq!(turns.len(), 10, "10 ms of every 50");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_taken_on_is_given_up_and_the_others_go_on() {
        let left = Mutex::new([(id(1), 9), (id(2), 2)].into());
        let tasks = Scripted { left, corrupt: Some(id(1)), ..Scripted::default() };

        let (turns, tasks) = run_for(tasks, Duration::from_secs(10)).await;

        assert_eq!(turns, [id(1), id(2), id(2)]);
        assert!(tasks.left.lock().expect("no panic").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_asked_again_and_a_task_begun_meanwhile_is_found() {
        let left = Mutex::new([(id(1), 1)].into());
        let tasks = Scripted { left, away: Mutex::new(2), ..Scripted::default() };

        let (turns, tasks) = run_for(tasks, Duration::from_secs(11)).await;
        assert_eq!(turns, [id(1)], "after 10 s");

        tasks.left.lock().expect("no panic").insert(id(2), 1);
        let runner = Runner { tasks: tasks.clone(), now: || NOW };
        let running = runner.run(CancellationToken::new());
        let _ = tokio::time::timeout(Duration::from_secs(2), running).await;
        assert_eq!(*tasks.turns.lock().expect("no panic"), [id(2)]);
    }

    #[tokio::test]
    async fn a_span_that_is_empty_or_begins_too_long_ago_is_refused() {
        let world = World::new();
        let desk = TaskDesk::new(Arc::new(Scripted::default()), world.control.context);
        let made = world.control.create_application(NewApplication::named("Acme", None)).await;
        let tenant = made.expect("made").tenant();
        let endpoint = EndpointId::derived(&[b"endpoint"]);
        let over = |since, until| desk.begin(tenant, endpoint, TaskKind::Recover, since, until);
        let day = Duration::from_hours(24);

        for (since, until) in [(NOW - 15 * day, None), (NOW - day, Some(NOW - day))] {
            let refused = over(since, until).await;
            assert!(matches!(refused, Err(ControlError::Invalid(_))), "{refused:?}");
        }
        let begun = over(NOW - 14 * day, Some(NOW)).await.expect("begun");
        assert_eq!((begun.application, begun.endpoint), (tenant.application(), endpoint));
        assert_eq!(begun.state, TaskState::Running);
        let missing = desk.task(tenant, "qtask_x").await;
        assert!(matches!(missing, Err(ControlError::NotFound(_))), "{missing:?}");
    }
}
