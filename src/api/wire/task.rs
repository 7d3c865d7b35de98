//! Work on many messages that goes on behind its answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::time::Timestamp;
use crate::storage::tasks::Task;

/// Over which time something is offered again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct RecoverIn {
    /// For events received at this moment or later: at most 14 days ago.
    #[schema(value_type = String, format = DateTime)]
    pub(in super::super) since: Timestamp,
    /// For events received before this; until now, if nobody says.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in super::super) until: Option<Timestamp>,
}

/// Work that goes on behind the answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct TaskOut {
    /// Its id.
    #[schema(example = "qtask_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// Where it is: `running`, `finished` or `failed`.
    #[schema(value_type = String)]
    status: &'static str,
    /// What it does: `endpoint.recover` or `endpoint.replay`.
    #[schema(value_type = String)]
    task: &'static str,
    /// When its last step was taken.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Task> for TaskOut {
    fn from(task: Task) -> Self {
        Self {
            id: task.id.to_string(),
            status: task.state.as_str(),
            task: task.kind.as_str(),
            updated_at: task.updated_at,
        }
    }
}

/// The same, with how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct BackgroundTaskOut {
    #[serde(flatten)]
    task: TaskOut,
    /// How far it is.
    data: TaskData,
}

/// How far a task is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TaskData {
    /// Whose it is.
    app_id: String,
    /// For which endpoint.
    endpoint_id: String,
    /// Messages that it has offered so far.
    messages: u64,
}

impl From<Task> for BackgroundTaskOut {
    fn from(task: Task) -> Self {
        let data = TaskData {
            app_id: task.application.to_string(),
            endpoint_id: task.endpoint.to_string(),
            messages: task.moved,
        };
        Self { task: task.into(), data }
    }
}
