//! The deliveries in this router's memory: how many there may be, and which.
//!
//! A delivery that wants in takes a place; when there is none, whoever brings it waits, and so does
//! the broker behind it. The place is a [`Share`] of the arrival's receipt: when the last share of
//! an arrival is released, the receipt is given back. A share that is dropped instead (a panic, a
//! shutdown) keeps the receipt from ever being given back, so its arrival comes again: forgetting
//! is safe, only slow.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::domain::delivery::{DeliveryKey, Turn};
use crate::storage::inbox::Receipt;

/// All deliveries in memory.
#[derive(Debug)]
pub struct Window {
    room: Arc<Semaphore>,
    size: usize,
    /// How many deliveries have ever entered.
    entered: AtomicU64,
    present: Mutex<HashMap<DeliveryKey, Present>>,
}

/// A delivery that is in memory.
#[derive(Debug)]
struct Present {
    /// Which entrance it was: the share that it is known by.
    entrance: u64,
    /// The turn that it is at.
    turn: Turn,
    /// Other arrivals of the same delivery: their receipts go the way of its own.
    joined: Vec<Arc<Held>>,
}

impl Window {
    /// A window for `size` deliveries.
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(size)),
            size,
            entered: AtomicU64::new(0),
            present: Mutex::new(HashMap::new()),
        })
    }

    /// How many deliveries are in memory.
    pub fn occupied(&self) -> usize {
        self.size.saturating_sub(self.room.available_permits())
    }

    /// Whether this delivery is in memory already.
    pub fn holds(&self, key: DeliveryKey) -> bool {
        self.present().contains_key(&key)
    }

    /// Lets another arrival of a delivery that is in memory, at `turn` or later, share its fate; whether
    /// it was there. Its receipt goes back when the delivery's own does: that one may be of a connection
    /// that is lost, and mean nothing any more.
    ///
    /// A copy at a later turn does not join: what is in memory was handed on and is about to leave, and
    /// this copy is what it was handed on as.
    pub fn join(&self, key: DeliveryKey, turn: Turn, hold: &Hold) -> bool {
        match self.present().get_mut(&key) {
            Some(present) if turn <= present.turn => {
                present.joined.push(Arc::clone(hold.open()));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes a place for one delivery, as a part of `hold`; waits until there is one.
    pub async fn enter(self: &Arc<Self>, key: DeliveryKey, turn: Turn, hold: &Hold) -> Share {
        let place = Arc::clone(&self.room)
            .acquire_owned()
            .await
            .expect("the window's semaphore is never closed");
        let entrance = self.entered.fetch_add(1, Ordering::Relaxed);
        match self.present().entry(key) {
            // A copy that is about to leave (see `join`): what comes from now on joins this one, and what
            // had joined the other goes the way of this one, which is at worst later.
            Entry::Occupied(mut present) => {
                let present = present.get_mut();
                (present.entrance, present.turn) = (entrance, turn);
            }
            Entry::Vacant(place) => {
                place.insert(Present { entrance, turn, joined: Vec::new() });
            }
        }
        Share {
            key,
            entrance,
            entered_at: Instant::now(),
            window: Arc::clone(self),
            held: Some(Arc::clone(hold.open())),
            _place: place,
        }
    }

    fn present(&self) -> MutexGuard<'_, HashMap<DeliveryKey, Present>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an arrival's deliveries have in common: its receipt.
///
/// Dropped before [`Hold::complete`], it keeps the receipt for ever: not all shares were given out.
#[derive(Debug)]
pub struct Hold(Option<Arc<Held>>);

#[derive(Debug)]
struct Held {
    receipt: Option<Receipt>,
    broken: AtomicBool,
}

impl Hold {
    /// Holds a receipt until every share is released and [`Hold::complete`] was called.
    pub fn of(receipt: Receipt) -> Self {
        Self::new(Some(receipt))
    }

    /// For deliveries that came from no message: the journal has them.
    pub fn without_receipt() -> Self {
        Self::new(None)
    }

    /// Says that all shares are given out. If all are released already, the receipt goes back now.
    pub fn complete(mut self) {
        release(self.0.take().expect("it is completed once, by value"));
    }

    fn new(receipt: Option<Receipt>) -> Self {
        Self(Some(Arc::new(Held { receipt, broken: AtomicBool::new(false) })))
    }

    fn open(&self) -> &Arc<Held> {
        self.0.as_ref().expect("it is open until it is completed, by value")
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(held) = &self.0 {
            held.broken.store(true, Ordering::Release);
        }
    }
}

/// One delivery's place in memory and part in its arrival's receipt.
#[derive(Debug)]
#[must_use = "a share that is dropped brings its arrival back"]
pub struct Share {
    key: DeliveryKey,
    /// By which the window knows the delivery, until another copy has entered.
    entrance: u64,
    entered_at: Instant,
    window: Arc<Window>,
    held: Option<Arc<Held>>,
    _place: OwnedSemaphorePermit,
}

impl Share {
    /// The delivery is delivered, or safely handed on. The last share gives the receipt back.
    pub fn release(mut self) {
        for joined in self.leave() {
            release(joined);
        }
        if let Some(held) = self.held.take() {
            release(held);
        }
    }

    /// The delivery stays in memory and is at this turn now.
    pub fn is_at(&self, turn: Turn) {
        if let Some(present) = self.window.present().get_mut(&self.key)
            && present.entrance == self.entrance
        {
            present.turn = turn;
        }
    }

    /// How long the delivery has been in memory.
    pub fn age(&self) -> Duration {
        self.entered_at.elapsed()
    }

    /// What had joined the delivery, if the window knew it by this share. Nothing, the second time.
    fn leave(&self) -> Vec<Arc<Held>> {
        match self.window.present().entry(self.key) {
            Entry::Occupied(present) if present.get().entrance == self.entrance => {
                present.remove().joined
            }
            Entry::Occupied(_) | Entry::Vacant(_) => Vec::new(),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let joined = self.leave();
        for held in joined.iter().chain(&self.held) {
            held.broken.store(true, Ordering::Release);
        }
    }
}

fn release(held: Arc<Held>) {
    // The count of the `Arc` is the count of what is still open.
    if let Some(Held { receipt: Some(receipt), broken }) = Arc::into_inner(held)
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
        let one = window.enter(key(1), Turn::FIRST, &hold).await;
        let other = window.enter(key(2), Turn::FIRST, &hold).await;
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
        let one = window.enter(key(1), Turn::FIRST, &hold).await;
        let other = window.enter(key(2), Turn::FIRST, &hold).await;
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
        let first = window.enter(key(1), Turn::FIRST, &hold).await;
        let mut second = Box::pin(window.enter(key(2), Turn::FIRST, &hold));
        assert!(futures_util::poll!(&mut second).is_pending());
        first.release();
        assert!(futures_util::poll!(&mut second).is_ready());
    }

    #[tokio::test]
    async fn a_second_arrival_of_the_same_delivery_shares_its_fate() {
        let desk = Arc::new(Heard::default());
        let window = Window::new(10);
        let first = Hold::of(Receipt::new(1, desk.clone()));
        let share = window.enter(key(1), Turn(1), &first).await;
        first.complete();

        let again = Hold::of(Receipt::new(2, desk.clone()));
        assert!(window.join(key(1), Turn(1), &again));
        again.complete();
        assert!(desk.numbers().is_empty(), "neither goes back while the delivery is open");

        share.release();
        assert_eq!(desk.numbers(), [2, 1]);
    }

    #[tokio::test]
    async fn what_was_handed_on_does_not_join_what_is_about_to_leave() {
        let desk = Arc::new(Heard::default());
        let window = Window::new(10);
        let first = Hold::of(Receipt::new(1, desk.clone()));
        let leaving = window.enter(key(1), Turn(1), &first).await;
        first.complete();

        let handed_on = Hold::of(Receipt::new(2, desk.clone()));
        assert!(!window.join(key(1), Turn(2), &handed_on));
        let next = window.enter(key(1), Turn(2), &handed_on).await;
        handed_on.complete();
        leaving.release();
        assert_eq!(desk.numbers(), [1]);
        next.release();
        assert_eq!(desk.numbers(), [1, 2]);
    }

    #[tokio::test]
    async fn of_two_copies_of_what_was_handed_on_the_second_joins_the_first() {
        let desk = Arc::new(Heard::default());
        let window = Window::new(10);
        let receipt = |number| Hold::of(Receipt::new(number, desk.clone()));
        let first = receipt(1);
        let leaving = window.enter(key(1), Turn(1), &first).await;
        first.complete();

        let copy = receipt(2);
        let next = window.enter(key(1), Turn(2), &copy).await;
        copy.complete();
        let copy = receipt(3);
        assert!(window.join(key(1), Turn(2), &copy), "its confirm was lost, so there are two");
        copy.complete();

        leaving.release();
        assert!(window.holds(key(1)));
        next.release();
        assert_eq!(desk.numbers(), [1, 3, 2]);
        assert!(!window.holds(key(1)));
    }

    #[tokio::test]
    async fn an_arrival_whose_deliveries_were_not_all_given_out_keeps_its_receipt() {
        let desk = Arc::new(Heard::default());
        let window = Window::new(10);
        let hold = Hold::of(Receipt::new(1, desk.clone()));
        let share = window.enter(key(1), Turn::FIRST, &hold).await;

        drop(hold); // interrupted before the second was offered
        share.release();

        assert!(desk.numbers().is_empty());
    }
}
