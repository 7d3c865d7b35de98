//! Port: work on many deliveries that goes on behind the answer, step by step.
//!
//! A task is begun for an endpoint over a span of time, and is then taken on in steps by whoever runs them
//! (`control::tasks`). Each step offers a bounded number of deliveries and moves the task's place in the
//! same transaction, so that a task that is interrupted anywhere goes on where it was, and offers each
//! delivery once.
//!
//! On SQLite alone, as [`history`](super::history), and for the same reason.

use async_trait::async_trait;

use super::StorageError;
use crate::domain::application::Tenant;
use crate::domain::id::{ApplicationId, EndpointId, TaskId};
use crate::domain::time::Timestamp;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Offers again what was given up: dead deliveries go on as if they were new.
    Recover,
    /// Owes what was missed: events that the endpoint wants now and was never owed.
    ReplayMissing,
}

impl TaskKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Recover, Self::ReplayMissing];

    /// The word for it, in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recover => "endpoint.recover",
            Self::ReplayMissing => "endpoint.replay",
        }
    }
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Steps are being taken.
    Running,
    /// It came to its end.
    Finished,
    /// Its endpoint was disabled or deleted meanwhile, or what it needs cannot be read: the rest stays as
    /// it was.
    Failed,
}

impl TaskState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Running, Self::Finished, Self::Failed];

    /// The word for it, in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// Whose it is.
    pub application: ApplicationId,
    /// For which endpoint.
    pub endpoint: EndpointId,
    /// For events received at this moment or later.
    pub since: Timestamp,
    /// For events received before this; `None`: for those that were there when it began.
    pub until: Option<Timestamp>,
    /// Deliveries that it has offered so far.
    pub moved: u64,
    /// Where it is.
    pub state: TaskState,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When its last step was taken.
    pub updated_at: Timestamp,
}

/// A task that is to begin.
#[derive(Debug, Clone, Copy)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// For which endpoint.
    pub endpoint: EndpointId,
    /// For events received at this moment or later.
    pub since: Timestamp,
    /// For events received before this.
    pub until: Option<Timestamp>,
}

/// Most tasks of one application that run at the same time. They take their steps by turns: more of them
/// would only make each slower, and everybody else's as well.
pub const RUNNING_MAX: u32 = 10;

/// Tasks.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Begins a task. When this returns `Ok`, it will be done, whatever is killed meanwhile.
    ///
    /// # Errors
    /// `Conflict` when the tenant has no such endpoint, or [`RUNNING_MAX`] tasks run already.
    /// `Unavailable`.
    async fn begin(
        &self,
        tenant: Tenant,
        task: NewTask,
        now: Timestamp,
    ) -> Result<Task, StorageError>;

    /// A tenant's task.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn task(&self, tenant: Tenant, id: TaskId) -> Result<Option<Task>, StorageError>;

    /// A task, whosever it is: for its application's owner, who has to look whether it is that.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn any(&self, id: TaskId) -> Result<Option<Task>, StorageError>;

    /// The running task whose turn it is when the last step was one of `after`: they take turns in the
    /// order in which they were begun. `None` when none is running.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn next_running(&self, after: Option<TaskId>) -> Result<Option<TaskId>, StorageError>;

    /// Takes a step of a task: a bounded number of rows is looked at, without holding up anybody, and
    /// fewer deliveries are offered, in one transaction, from which on the task's place is behind them.
    /// How many that were. Nothing, for a task that is not running.
    ///
    /// # Errors
    /// `Unavailable`: taken or not, we cannot know; the next call goes on from where the task is.
    /// `Corrupt`: what it needs cannot be read.
    async fn step(&self, id: TaskId, now: Timestamp) -> Result<u64, StorageError>;

    /// Gives a task up; it stays as far as it came.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn fail(&self, id: TaskId, now: Timestamp) -> Result<(), StorageError>;
}
