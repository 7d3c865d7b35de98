//! What outlives a crash: the ports, and beside each the back ends that keep its promises.
//!
//! - [`attention`]: what an operator looks at one by one.
//! - [`answers`], [`audit`]: what requests to the API were answered, and who did what.
//! - [`catalogue`]: who there is and who wants what.
//! - [`journal`]: the record of every event, delivery and attempt.
//! - [`dead_letters`]: what was given up, and who looks after it.
//! - [`directory`]: the endpoints of all applications.
//! - [`inbox`]: events that are not finished yet.
//! - [`recovery`]: what a broker had and has lost.
//! - [`recorded`]: publishing on a broker, and what it published on record at once.
//! - [`ladder`]: deliveries that must wait.
//! - [`outlet`]: what settlements tell the world.
//! - [`failing`]: endpoints that do nothing but fail.
//! - [`inspector`]: what built-in targets for development have received.
//! - [`history`]: what tenants ask of the record.
//! - [`quarantine`]: messages that are no events, or that nobody took.
//! - [`queues`]: how much waits, where, and until when.
//! - [`replays`]: deliveries that are offered again, by a filter and at a rate.
//! - [`rollups`]: how many requests ended how, for charts.
//! - [`routers`]: which version of the catalogue each router goes by.
//! - [`sessions`]: who is let in to the pages.
//! - [`page`]: a part of a list.
//! - [`tidings`]: what operators are to be told of.
//! - [`upkeep`]: what keeps a store within bounds.
//! - [`vault`]: encryption at rest, for any back end that keeps secrets.
//!
//! A port imports `domain` and nothing else of ours; a back end (`sql`, `rabbitmq`, `memory`)
//! knows its port; `sql` is written once for two engines, `sqlite` and `postgres`. Everyone else holds a port, and only `runtime::assemble` says which back end
//! stands behind it.

pub mod answers;
pub mod attention;
pub mod audit;
pub mod catalogue;
pub mod dead_letters;
pub mod directory;
pub mod failing;
pub mod history;
pub mod inbox;
pub mod inspector;
pub mod journal;
pub mod ladder;
pub mod outlet;
pub mod page;
pub mod quarantine;
pub mod queues;
pub mod recorded;
pub mod recovery;
pub mod replays;
pub mod tidings;
pub mod upkeep;

pub mod memory;
pub mod postgres;
pub mod rabbitmq;
pub mod rollups;
pub mod routers;
pub mod sessions;
pub mod sql;
pub mod sqlite;
pub mod vault;

/// Why a store did not do what it was asked, said as what the caller should do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// It cannot be reached, or did not answer in time. Done or not, we cannot know; the same call
    /// may be repeated.
    #[error("{0}")]
    Unavailable(String),
    /// What was asked contradicts what is there: repeating it will not help.
    #[error("{0}")]
    Conflict(String),
    /// What is there cannot be right. A person has to look.
    #[error("{0}")]
    Corrupt(String),
}
