//! What recovering from a lost broker is asked with, and what it came to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::recovery::Recovered;

/// How it is to be recovered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super) struct RecoverBrokerIn {
    /// Whether it is only counted.
    #[serde(default)]
    #[schema(default = false)]
    pub(in super::super) dry_run: bool,
}

/// What was offered again; with `dryRun`, what would be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct RecoveredOut {
    /// Whether it was only counted.
    dry_run: bool,
    /// Deliveries that were accepted and never settled.
    pending: u64,
    /// Deliveries that a router had in its memory which is no more.
    abandoned: u64,
    /// Deliveries that waited on the broker's ladder: each is due when it was.
    waiting: u64,
    /// Messages that were published over this API and had not come back from the broker.
    unpublished: u64,
    /// Of these, messages of applications that are gone: put into quarantine.
    unroutable: u64,
    /// Deliveries that the running router has in its memory: left alone, for they go on by themselves.
    in_memory: u64,
}

impl RecoveredOut {
    /// Written out.
    pub(in super::super) const fn of(dry_run: bool, recovered: Recovered) -> Self {
        let Recovered { pending, abandoned, waiting, unpublished, unroutable, in_memory } =
            recovered;
        Self { dry_run, pending, abandoned, waiting, unpublished, unroutable, in_memory }
    }
}
