//! Tells operators what they should know: each tiding becomes an event of their own application, and goes
//! the way of every other.
//!
//! **What if we die right here?** Between publishing and taking the tiding away: it is published again,
//! under the same event id, and is one event.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::until_taken;
use crate::domain::event::ApplicationName;
use crate::domain::id::ApplicationId;
use crate::failpoint;
use crate::pipeline::route::Routes;
use crate::storage::inbox::{Publication, Publish};
use crate::storage::tidings::{Tidings, Untold};
use crate::telemetry::metrics::Metrics;

/// How often it is looked whether there is anything to tell.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Tidings that are published together: a batch that the store confirms at once.
const PAGE: usize = 100;

/// Whom to tell, and how.
#[derive(Clone)]
pub struct Operator {
    /// The operator's own application. What happens to its own events is not told: that would go round.
    pub application: ApplicationName,
    /// What is to be told.
    pub tidings: Arc<dyn Tidings>,
    /// Where it is published.
    pub publisher: Arc<dyn Publish>,
}

/// Tells the operator until stopped; nobody, if there is none. `routes` know whether its application is
/// there.
pub async fn run(
    operator: Option<Operator>,
    routes: Routes,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    match operator {
        Some(operator) => Herald { operator, routes, metrics }.run(stop).await,
        None => stop.cancelled().await,
    }
}

/// The stage.
struct Herald {
    operator: Operator,
    routes: Routes,
    metrics: Arc<Metrics>,
}

impl Herald {
    async fn run(self, stop: CancellationToken) {
        let telling = async {
            let mut missing = false;
            loop {
                let own = self.routes.table().application(&self.operator.application);
                if own.is_none() && !missing {
                    let name = &self.operator.application;
                    warn!(%name, "operator.application: there is no such application; nobody is told");
                }
                missing = own.is_none();
                let told = match own {
                    Some(own) => self.tell(own).await,
                    None => 0,
                };
                if told < PAGE {
                    tokio::time::sleep(ASK_EVERY).await;
                }
            }
        };
        stop.run_until_cancelled(telling).await;
    }

    async fn tell(&self, own: ApplicationId) -> usize {
        let away = |away| self.metrics.journal_away(away);
        let Operator { tidings, publisher, .. } = &self.operator;
        let untold = until_taken("reading tidings", || tidings.untold(PAGE), &away).await;
        if untold.is_empty() {
            return 0;
        }
        let batch: Vec<Publication> = untold.iter().map(|one| event(own, one)).collect();
        // One that was published before is answered as taken, which is as good.
        if let Err(error) = publisher.publish(&batch).await {
            // Not the journal's trouble, and perhaps the application has just gone: looked at again.
            warn!(%error, "operators could not be told, trying again");
            return 0;
        }
        failpoint!("herald.published");
        let numbers: Vec<i64> = untold.iter().map(|one| one.number).collect();
        until_taken("taking tidings away", || tidings.told(numbers.clone()), &away).await;
        untold.len()
    }
}

/// The event that tells of it, under the id: a uid may be one that a routing key cannot begin with.
fn event(own: ApplicationId, untold: &Untold) -> Publication {
    let Untold { number, kind, data, at } = untold;
    Publication {
        application: own.to_string(),
        event_type: kind.clone(),
        // With the moment: after a store was restored from a backup its numbers begin anew.
        event_id: format!("{kind}-{}-{number}", at.as_millis()),
        occurred_at: Some(*at),
        payload: format!(r#"{{"type":"{kind}","data":{data}}}"#).into(),
        ..Publication::default()
    }
}
