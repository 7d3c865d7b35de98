//! Takes edits of the catalogue over: so that, when it is said that they hold, they do.
//!
//! Three steps, in this order: the index that everybody reads is swapped; the dispatcher hears of it, and
//! answers when every request that was let go by the old one has begun; the store is told which version
//! this router goes by. Whoever waits for the last step (`control`) knows that nothing starts by what was
//! before: no attempt for an endpoint that was deleted, none to an old URL.
//!
//! **What if we die right here?** A router that has not said that it goes by an edit is waited for until
//! its silence is long enough; what it had let go comes again, and finds the edit.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::World;
use super::dispatch::Dispatcher;
use super::route::Routes;
use crate::domain::id::RouterId;
use crate::storage::StorageError;
use crate::storage::catalogue::Catalogue;
use crate::storage::routers::Routers;

/// How often the catalogue is asked for its version.
///
/// A quarter of a second: an edit holds everywhere within one, and the question reads one row.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// How often this router says that it lives. Two seconds: a fifth of the silence behind which it is taken
/// for dead, and one small commit.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Takes edits over. Clones are the same router's.
#[derive(Clone)]
pub struct Adopter {
    /// This life of this router.
    pub router: RouterId,
    /// The index that everybody reads.
    pub routes: Routes,
    /// What it is read from.
    pub catalogue: Arc<dyn Catalogue>,
    /// Where it is said which version we go by.
    pub routers: Arc<dyn Routers>,
    /// Who starts requests.
    pub dispatcher: Dispatcher,
    /// Clock and chance.
    pub world: World,
}

impl Adopter {
    /// Reads the catalogue for the first time, and says that a router goes by it.
    ///
    /// # Errors
    /// As [`Catalogue::snapshot`].
    pub async fn begin(
        catalogue: Arc<dyn Catalogue>,
        routers: Arc<dyn Routers>,
        dispatcher: Dispatcher,
        world: World,
    ) -> Result<Self, StorageError> {
        let index = Routes::load(catalogue.as_ref()).await?;
        let router = RouterId::minted(world.now(), world.chance_bytes());
        routers.joined(router, index.version(), world.now()).await?;
        Ok(Self { router, routes: index, catalogue, routers, dispatcher, world })
    }

    /// Takes over what the catalogue says now; the version. When this returns, no request starts by an
    /// older one, here.
    ///
    /// # Errors
    /// As [`Catalogue::snapshot`]. Repeating it is safe.
    pub async fn adopt(&self) -> Result<u64, StorageError> {
        self.routes.refresh(self.catalogue.as_ref()).await?;
        let version = self.routes.version();
        self.dispatcher.catalogue_changed().await;
        self.routers.adopted(self.router, version, self.world.now()).await?;
        Ok(version)
    }

    /// Takes every edit over until stopped.
    ///
    /// While the catalogue is away its last version stays in use: better old than none.
    pub async fn follow(self, stop: CancellationToken) {
        let (mut away, mut said) = (false, self.routes.version());
        let mut said_at = Instant::now();
        while stop.run_until_cancelled(self.routes.rung_or_after(ASK_EVERY)).await.is_some() {
            // Stopped in the middle of it too: what it waits for may be a journal that is away.
            let Some(followed) =
                stop.run_until_cancelled(self.follow_once(&mut said, &mut said_at)).await
            else {
                break;
            };
            match followed {
                Ok(()) => away = false,
                Err(error) if !away => {
                    away = true;
                    warn!(%error, "catalogue is away, routing by its last version");
                }
                Err(_) => {}
            }
        }
        // Best effort: silence says the same, only later.
        let _ = self.routers.left(self.router).await;
    }

    async fn follow_once(&self, said: &mut u64, said_at: &mut Instant) -> Result<(), StorageError> {
        self.routes.refresh(self.catalogue.as_ref()).await?;
        // Ingest refreshes as well, so that the version here may have moved without us.
        if self.routes.version() != *said || said_at.elapsed() >= SAY_EVERY {
            let mut heard = self.routes.version();
            let mut adopting = std::pin::pin!(self.adopt());
            *said = loop {
                tokio::select! {
                    biased; // what is adopted is said first
                    adopted = &mut adopting => break adopted?,
                    () = self.routes.rung_or_after(ASK_EVERY) => {}
                }
                // A request that waits to be on record (at most once) holds this up for as long as the journal
                // is away: what is edited meanwhile is heard of all the same, though not said to be adopted.
                let refreshed = self.routes.refresh(self.catalogue.as_ref()).await;
                if refreshed.is_ok() && self.routes.version() != heard {
                    heard = self.routes.version();
                    self.dispatcher.catalogue_moved();
                }
            };
            *said_at = Instant::now();
        }
        Ok(())
    }
}
