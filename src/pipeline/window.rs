//! The deliveries in this router's memory: how many there may be, and which.
//!
//! A delivery that wants in takes a place; when there is none, whoever brings it waits, and so does
//! the broker behind it. The place is a [`Share`] of the arrival's receipt: when the last share of
//! an arrival is released, the receipt is given back. A share that is dropped instead (a panic, a
//! shutdown) keeps the receipt from ever being given back, so its arrival comes again: forgetting
//! is safe, only slow.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::delivery::DeliveryKey;
use crate::storage::inbox::Receipt;

/// All deliveries in memory.
#[derive(Debug)]
pub struct Window {
    room: Arc<Semaphore>,
    size: usize,
    keys: Mutex<HashSet<DeliveryKey>>,
}

impl Window {
    /// A window for `size` deliveries.
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(size)),
            size,
            keys: Mutex::new(HashSet::new()),
        })
    }

    /// How many deliveries are in memory.
    pub fn occupied(&self) -> usize {
        self.size.saturating_sub(self.room.available_permits())
    }

    /// Whether this delivery is in memory already.
    pub fn holds(&self, key: DeliveryKey) -> bool {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    /// Takes a place for one delivery, as a part of `hold`; waits until there is one.
    pub async fn enter(self: &Arc<Self>, key: DeliveryKey, hold: &Hold) -> Share {
        let place = Arc::clone(&self.room)
            .acquire_owned()
            .await
            .expect("the window's semaphore is never closed");
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        Share { key, window: Arc::clone(self), hold: Some(Arc::clone(&hold.0)), _place: place }
    }
}

/// What an arrival's deliveries have in common: its receipt.
#[derive(Debug)]
pub struct Hold(Arc<Held>);

#[derive(Debug)]
struct Held {
    receipt: Option<Receipt>,
    broken: AtomicBool,
}

impl Hold {
    /// Holds a receipt until every share is released and [`Hold::complete`] was called.
    pub fn of(receipt: Receipt) -> Self {
        Self(Arc::new(Held { receipt: Some(receipt), broken: AtomicBool::new(false) }))
    }

    /// For deliveries that came from no message: the journal has them.
    pub fn without_receipt() -> Self {
        Self(Arc::new(Held { receipt: None, broken: AtomicBool::new(false) }))
    }

    /// Says that all shares are given out. If all are released already, the receipt goes back now.
    pub fn complete(self) {
        release(self.0);
    }
}

/// One delivery's place in memory and part in its arrival's receipt.
#[derive(Debug)]
#[must_use = "a share that is dropped brings its arrival back"]
pub struct Share {
    key: DeliveryKey,
    window: Arc<Window>,
    hold: Option<Arc<Held>>,
    _place: OwnedSemaphorePermit,
}

impl Share {
    /// The delivery is delivered, or safely handed on. The last share gives the receipt back.
    pub fn release(mut self) {
        if let Some(hold) = self.hold.take() {
            release(hold);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.window.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        if let Some(hold) = &self.hold {
            hold.broken.store(true, Ordering::Release);
        }
    }
}

fn release(hold: Arc<Held>) {
    // The count of the `Arc` is the count of what is still open.
    if let Some(Held { receipt: Some(receipt), broken }) = Arc::into_inner(hold)
        && !broken.into_inner()
    {
        receipt.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{EndpointId, EventId};
    use crate::storage::inbox::Desk;

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<u64>>);

    impl Desk for Heard {
        fn finished(&self, number: u64) {
            self.0.lock().expect("no panic while held").push(number);
        }
    }

    impl Heard {
        fn numbers(&self) -> Vec<u64> {
            self.0.lock().expect("no panic while held").clone()
        }
    }

    fn key(endpoint: u8) -> DeliveryKey {
        DeliveryKey {
            event: EventId::derived(&[b"event"]),
            endpoint: EndpointId::derived(&[&[endpoint]]),
        }
    }

    #[tokio::test]
    async fn the_last_share_gives_the_receipt_back() {
        let desk = Arc::new(Heard::default());
        let window = Window::new(10);
        let hold = Hold::of(Receipt::new(7, desk.clone()));
        let one = window.enter(key(1), &hold).await;
        let other = window.enter(key(2), &hold).await;
        hold.complete();

        one.release();
        assert!(desk.numbers().is_empty());
        assert!(window.holds(key(2)) && !window.holds(key(1)));
        other.release();
        assert_eq!(desk.numbers(), [7]);
        assert_eq!(window.occupied(), 0);
    }

    #[tokio::test]
    async fn a_receipt_with_no_deliveries_goes_back_at_once() {
        let desk = Arc::new(Heard::default());
        Hold::of(Receipt::new(3, desk.clone())).complete();
        assert_eq!(desk.numbers(), [3]);
    }

    #[tokio::test]
    async fn a_dropped_share_keeps_the_receipt_for_ever() {
        let desk = Arc::new(Heard::default());
        let window = Window::new(10);
        let hold = Hold::of(Receipt::new(7, desk.clone()));
        let one = window.enter(key(1), &hold).await;
        let other = window.enter(key(2), &hold).await;
        hold.complete();

        drop(one);
        other.release();

        assert!(desk.numbers().is_empty());
        assert_eq!(window.occupied(), 0);
    }

    #[tokio::test]
    async fn whoever_comes_when_it_is_full_waits() {
        let window = Window::new(1);
        let hold = Hold::without_receipt();
        let first = window.enter(key(1), &hold).await;
        let mut second = Box::pin(window.enter(key(2), &hold));
        assert!(futures_util::poll!(&mut second).is_pending());
        first.release();
        assert!(futures_util::poll!(&mut second).is_ready());
    }
}
