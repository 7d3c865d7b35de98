//! Work on many messages that goes on behind its answer, as client libraries know it: a replay of one endpoint's.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::replay::{ReplayState, Scope};
use crate::domain::time::Timestamp;
use crate::storage::replays::Replay;

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
    #[schema(example = "rpl_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
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

impl TaskOut {
    pub(in super::super) fn of(replay: &Replay) -> Self {
        Self {
            id: replay.id.to_string(),
            status: status(replay.state),
            task: match replay.selection.scope() {
                Scope::Missing => "endpoint.replay",
                Scope::GivenUp | Scope::DeadLetters | Scope::Delivered => "endpoint.recover",
            },
            updated_at: replay.updated_at,
        }
    }
}

/// The word that client libraries know: to them what is paused has not ended, and what was cancelled came to
/// nothing more.
const fn status(state: ReplayState) -> &'static str {
    match state {
        ReplayState::Running | ReplayState::Paused => "running",
        ReplayState::Finished => "finished",
        ReplayState::Cancelled | ReplayState::Failed => "failed",
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

impl BackgroundTaskOut {
    /// `None` for a replay that is not about one endpoint.
    pub(in super::super) fn of(replay: &Replay) -> Option<Self> {
        let data = TaskData {
            app_id: replay.application?.to_string(),
            endpoint_id: replay.endpoint?.to_string(),
            messages: replay.offered,
        };
        Some(Self { task: TaskOut::of(replay), data })
    }
}
