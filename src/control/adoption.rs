//! When an edit holds: at once in this process, and when every other router has said so.
//!
//! An edit is in the catalogue before anybody hears of it; here its caller waits for those who go by the
//! catalogue. What merely should hold soon (a URL, a header, a key) is taken over in this process and left
//! to the others, who look every quarter of a second. What must hold when it is answered (deleting,
//! pausing, disabling) is waited for everywhere, for a bounded time; then the answer says what is done and
//! what is not sure.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Answer, Context, Control, ControlError};
use crate::storage::StorageError;
use crate::storage::routers::Routers;

/// How long an edit waits for other routers. Five seconds: they look every quarter of a second, and one
/// that needs longer is in trouble.
const WAIT_MOST: Duration = Duration::from_secs(5);

/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A router that has said nothing for so long is dead: it says that it lives every two seconds.
const SILENT_MOST: Duration = Duration::from_secs(10);

/// Behind so long a wait it is asked whether any router lives at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// The router of this process.
#[async_trait]
pub trait Here: Send + Sync {
    /// Takes over what the catalogue says now. When it returns, nothing starts by what was before.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn adopt(&self) -> Result<(), StorageError>;
}

/// Who goes by the catalogue.
pub struct Adoption {
    /// The routers' word on it.
    pub routers: Arc<dyn Routers>,
    /// The router of this process, if it has one.
    pub here: Option<Box<dyn Here>>,
    /// Whether any router can be alive, as far as this machine can tell: one that was killed says nothing
    /// of its end.
    pub may_live: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Control {
    /// The same, with edits that wait for those who go by the catalogue.
    #[must_use]
    pub fn adopting(self, adoption: Adoption) -> Self {
        Self { adoption: Some(Arc::new(adoption)), ..self }
    }

    /// An edit was made that should hold soon: it does here.
    pub(super) async fn holds_here(&self) {
        if let Some(Adoption { here: Some(here), .. }) = self.adoption.as_deref() {
            // When it cannot be, the router looks by itself within a quarter of a second.
            let _ = here.adopt().await;
        }
    }

    /// An edit was made that has to hold: returns when nothing starts by what was before, anywhere.
    ///
    /// # Errors
    /// `Unavailable`, with what was done, when somebody has not confirmed it in time.
    pub(super) async fn holds_everywhere(&self, done: &str) -> Answer<()> {
        let Some(adoption) = self.adoption.as_deref() else { return Ok(()) };
        let unsure = |why: String| {
            ControlError::Unavailable(format!(
                "{done}; it is not sure that no attempt starts any more: {why}"
            ))
        };
        let version = self.catalogue.version().await.map_err(|error| unsure(error.to_string()))?;
        if let Some(here) = &adoption.here {
            here.adopt().await.map_err(|error| unsure(error.to_string()))?;
        }
        adoption.elsewhere(version, self.context).await.map_err(unsure)
    }
}

impl Adoption {
    /// Waits until every router that lives goes by this version.
    async fn elsewhere(&self, version: u64, context: Context) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let behind = self.routers.behind(version, (context.now)() - SILENT_MOST).await;
            let behind = behind.map_err(|error| error.to_string())?;
            if behind.is_empty() || (begun.elapsed() >= PATIENCE && !(self.may_live)()) {
                return Ok(());
            }
            if begun.elapsed() >= WAIT_MOST {
                let names: Vec<_> = behind.iter().map(ToString::to_string).collect();
                return Err(format!(
                    "{} has not confirmed it within {} s; a router that is dead is not waited for \
                     once it has been silent for {} s",
                    names.join(", "),
                    WAIT_MOST.as_secs(),
                    SILENT_MOST.as_secs()
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::control::fake::World;
    use crate::domain::id::RouterId;
    use crate::domain::time::Timestamp;

    /// One router, that confirms at this moment.
    struct Slow {
        confirms_at: Mutex<Instant>,
        adopted_here: Arc<AtomicBool>,
    }

    #[async_trait]
    impl Routers for Slow {
        async fn joined(&self, _: RouterId, _: u64, _: Timestamp) -> Result<(), StorageError> {
            Ok(())
        }

        async fn adopted(&self, _: RouterId, _: u64, _: Timestamp) -> Result<(), StorageError> {
            Ok(())
        }

        async fn left(&self, _: RouterId) -> Result<(), StorageError> {
            Ok(())
        }

        async fn behind(&self, _: u64, _: Timestamp) -> Result<Vec<RouterId>, StorageError> {
            let there = Instant::now() < *self.confirms_at.lock().expect("no panic");
            Ok(there.then(|| RouterId::derived(&[b"slow"])).into_iter().collect())
        }
    }

    #[async_trait]
    impl Here for Arc<AtomicBool> {
        async fn adopt(&self) -> Result<(), StorageError> {
            self.store(true, Ordering::Relaxed);
            Ok(())
        }
    }

    fn waiting_for(confirms_in: Duration, may_live: bool) -> (Control, Arc<AtomicBool>) {
        let adopted_here = Arc::new(AtomicBool::new(false));
        let routers = Slow {
            confirms_at: Mutex::new(Instant::now() + confirms_in),
            adopted_here: Arc::clone(&adopted_here),
        };
        let here = Some(Box::new(Arc::clone(&routers.adopted_here)) as Box<dyn Here>);
        let may_live = Box::new(move || may_live);
        let adoption = Adoption { routers: Arc::new(routers), here, may_live };
        (World::new().control.adopting(adoption), adopted_here)
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_to_hold_is_answered_when_everybody_has_confirmed_it() {
        let (control, adopted_here) = waiting_for(Duration::from_millis(300), true);
        let begun = Instant::now();

        assert_eq!(control.holds_everywhere("endpoint ep_7 is deleted").await, Ok(()));

        assert!((300..=320).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        assert!(adopted_here.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_router_that_does_not_confirm_is_told_of_with_what_was_done() {
        let (control, _) = waiting_for(Duration::from_mins(1), true);
        let begun = Instant::now();

        let answer = control.holds_everywhere("endpoint ep_7 is deleted").await;

        let Err(ControlError::Unavailable(why)) = answer else { panic!("{answer:?}") };
        assert!(why.starts_with("endpoint ep_7 is deleted; it is not sure that"), "{why}");
        assert!(why.contains("rtr_") && why.contains("within 5 s"), "{why}");
        assert!((5_000..=5_020).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_router_that_was_killed_is_not_waited_for() {
        let (control, _) = waiting_for(Duration::from_mins(1), false);
        let begun = Instant::now();

        assert_eq!(control.holds_everywhere("endpoint ep_7 is deleted").await, Ok(()));

        assert!(begun.elapsed() <= PATIENCE + LOOK_EVERY, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_should_hold_soon_waits_for_nobody_else() {
        let (control, adopted_here) = waiting_for(Duration::from_mins(1), true);
        let begun = Instant::now();

        control.holds_here().await;

        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(adopted_here.load(Ordering::Relaxed));
    }
}
