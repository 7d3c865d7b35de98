//! Every port in memory, in one shared state that outlives the engine: for the simulation and for the
//! conformance suite, where faults come on demand and a restart costs nothing.
//!
//! It can be either of the two shapes that a real back end has ([`Shape`]): one store, like a file,
//! where the ladder is the journal's own index; or a broker beside a journal, where events and
//! postponed deliveries are messages, receipts matter, and copies of a turn can be several. The
//! journal's half is the same in both.
//!
//! What happens is decided by the calls and by what is handed in ([`Faults`], the clock): every
//! collection is ordered, so the same calls give the same answers.
//!
//! - [`faults`]: where a test says that a call fails, loses its answer, is late or never ends.
//! - [`rows`], [`journal`], [`ledger`], [`resends`]: the record. [`catalogue`]: who wants what.
//! - [`publish`], [`inbox`], [`ladder`], [`broker`]: what comes in and what waits.
//! - [`inspect`]: what a checker may see that no port shows.
//!
//! **What if we die right here?** Each call's effect is one step under the lock, so it has happened or
//! it has not. Nothing here outlives the process: it is no back end for a product.

mod broker;
mod catalogue;
pub mod faults;
pub mod inbox;
pub mod inspect;
mod journal;
mod ladder;
mod ledger;
mod outlet;
mod publish;
mod resends;
mod rows;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use self::broker::Broker;
use self::catalogue::Entries;
use self::faults::{Call, Fault, Faults, Moment};
use self::inbox::Noted;
use self::resends::Resends;
use self::rows::Rows;
use super::StorageError;
use crate::domain::time::Timestamp;
use crate::storage::outlet::Notice;

/// Which kind of back end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Inbox, ladder and journal are one store, as in a file.
    OneStore,
    /// Inbox and ladder are a broker's, beside the journal.
    Broker {
        /// Most messages of each kind that are handed out and not acknowledged.
        prefetch: usize,
        /// Longest that a copy stays on the ladder: what waits longer comes back in between.
        hop_max: Duration,
    },
}

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The stores. Clones share one state.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    shape: Shape,
    now: Now,
    faults: Arc<dyn Faults>,
    store: Mutex<Store>,
    /// Rung when there may be something for the inbox to take.
    bell: Notify,
}

/// Everything that a power cut would have to leave.
#[derive(Default)]
struct Store {
    rows: Rows,
    catalogue: Entries,
    noted: Noted,
    resends: Resends,
    broker: Broker,
    told: Vec<Notice>,
}

impl Memory {
    /// An empty store of that shape.
    pub fn new(shape: Shape, now: Now, faults: Arc<dyn Faults>) -> Self {
        let store = Mutex::new(Store::default());
        Self { shared: Arc::new(Shared { shape, now, faults, store, bell: Notify::new() }) }
    }

    fn now(&self) -> Timestamp {
        (self.shared.now)()
    }

    fn shape(&self) -> Shape {
        self.shared.shape
    }

    /// The state, for one step; never held across an await.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        self.shared.bell.notify_one();
    }

    /// One call of a port: its effect is one step, with a chance for a fault before and behind it.
    async fn call<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut Store) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.meet(call, Moment::Before).await?;
        let done = effect(&mut self.store());
        self.meet(call, Moment::After).await?;
        done
    }

    /// Suffers what a test wants to happen at this moment, if anything.
    async fn meet(&self, call: Call, moment: Moment) -> Result<(), StorageError> {
        match self.shared.faults.at(call, moment) {
            Fault::None => Ok(()),
            Fault::Away => Err(StorageError::Unavailable(format!("{call} failed on demand"))),
            Fault::Late(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Fault::Hang => std::future::pending().await,
        }
    }
}
