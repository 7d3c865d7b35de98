//! Looks after endpoints that do nothing but fail: warns of them, and disables them when it lasts for days.
//!
//! An endpoint that nobody mends costs a request for each event and each retry, for ever, and fills the
//! dead letters with what nobody will read. What it is owed by then waits, and a person who enables it gets
//! all of it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::domain::event::ApplicationName;
use crate::domain::id::OrganisationId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::catalogue::Catalogue;
use crate::storage::failing::{FailingEndpoints, Patience, Tells};

/// How often it is looked. A minute is little beside an hour, the least that anybody is warned behind.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Behind what an owner is warned: an hour is longer than a restart or a deployment, and four attempts
/// are more than one bad event.
const WARNED_BEHIND: Patience = Patience { lasting: Duration::from_hours(1), attempts: 4 };

/// The fewest attempts that must have failed before an endpoint is disabled: an endpoint that is seldom
/// called has had no chance to show that it is well.
const DISABLED_BEHIND_ATTEMPTS: u32 = 20;

/// Who looks after them.
pub(super) struct Warden {
    /// Who fails.
    pub(super) failing: Arc<dyn FailingEndpoints>,
    /// How long an endpoint may fail before it is disabled; `None`: for ever.
    pub(super) disable_after: Option<Duration>,
    /// The operator's own application, if it is told there, and where that is looked up.
    pub(super) operator: Option<(ApplicationName, Arc<dyn Catalogue>)>,
    /// What time it is.
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Warden {
    /// Looks after them until stopped.
    pub(super) async fn run(self, stop: CancellationToken) {
        let looking = async {
            let mut away = false;
            loop {
                match self.look().await {
                    Ok(()) => away = false,
                    Err(error) if !away => {
                        away = true;
                        warn!(%error, "failing endpoints cannot be looked for, trying every minute");
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn look(&self) -> Result<(), StorageError> {
        let tells = self.tells().await?;
        for one in self.failing.newly_failing(WARNED_BEHIND, tells, (self.now)()).await? {
            warn!(
                endpoint_id = %one.endpoint,
                application_id = %one.application,
                since = %one.since,
                attempts = one.attempts,
                "endpoint {} has failed since {}, {} times, and never succeeded",
                one.endpoint, one.since, one.attempts
            );
        }
        let Some(lasting) = self.disable_after else { return Ok(()) };
        let patience = Patience { lasting, attempts: DISABLED_BEHIND_ATTEMPTS };
        for one in self.failing.disable_failing(patience, tells, (self.now)()).await? {
            warn!(
                endpoint_id = %one.endpoint,
                application_id = %one.application,
                since = %one.since,
                attempts = one.attempts,
                "endpoint {} is disabled: it has done nothing but fail since {}",
                one.endpoint, one.since
            );
        }
        Ok(())
    }
}

impl Warden {
    async fn tells(&self) -> Result<Option<Tells>, StorageError> {
        let Some((name, catalogue)) = &self.operator else { return Ok(None) };
        let found = catalogue.application(OrganisationId::DEFAULT, name).await?;
        Ok(found.map(|own| Tells { but_of: own.id }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::storage::failing::Failing;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const DAY: Duration = Duration::from_hours(24);

    /// Writes down what it is asked; away the first time.
    #[derive(Default)]
    struct Book(Mutex<Vec<(&'static str, Patience)>>);

    #[async_trait]
    impl FailingEndpoints for Book {
        async fn newly_failing(
            &self,
            patience: Patience,
            _: Option<Tells>,
            _: Timestamp,
        ) -> Result<Vec<Failing>, StorageError> {
            let mut book = self.0.lock().expect("no panic");
            book.push(("warn", patience));
            if book.len() == 1 { Err(StorageError::Unavailable("away".into())) } else { Ok(vec![]) }
        }

        async fn disable_failing(
            &self,
            patience: Patience,
            _: Option<Tells>,
            _: Timestamp,
        ) -> Result<Vec<Failing>, StorageError> {
            self.0.lock().expect("no panic").push(("disable", patience));
            Ok(Vec::new())
        }
    }

    async fn asked(disable_after: Option<Duration>) -> Vec<(&'static str, Patience)> {
        let book = Arc::new(Book::default());
        let (failing, now) = (Arc::clone(&book), Arc::new(|| NOW));
        let stop = CancellationToken::new();
        let running =
            tokio::spawn(Warden { failing, disable_after, operator: None, now }.run(stop.clone()));
        tokio::time::sleep(LOOK_EVERY + Duration::from_secs(1)).await;
        stop.cancel();
        running.await.expect("it ends");
        book.0.lock().expect("no panic").clone()
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_is_warned_of_and_then_disabled_each_minute_also_behind_an_outage() {
        let much = Patience { lasting: 5 * DAY, attempts: DISABLED_BEHIND_ATTEMPTS };
        let warned = ("warn", WARNED_BEHIND);
        assert_eq!(asked(Some(5 * DAY)).await, [warned, warned, ("disable", much)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_who_wants_nobody_disabled_is_only_warned() {
        let warned = ("warn", WARNED_BEHIND);
        assert_eq!(asked(None).await, [warned, warned]);
    }
}
