//! The deliveries in this router's memory: how many there may be, and which.
//!
//! A delivery that wants in takes a place, and room for its payload; when there is none, whoever brings
//! it waits, and so does the inbox behind it. The place is a [`Share`] of the arrival's receipt: when the last share of
//! an arrival is released, the receipt is given back. A share that is dropped instead (a panic, a
//! shutdown) keeps the receipt from ever being given back, so its arrival comes again: forgetting
//! is safe, only slow.
//!
//! What takes too long gives its part in the receipt back before it leaves ([`Window::release_early`]): the caller has
//! put it on record then. Its place it keeps.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::domain::delivery::{DeliveryKey, Turn};
use crate::domain::id::EventId;
use crate::storage::inbox::Receipt;

/// All deliveries in memory.
#[derive(Debug)]
pub struct Window {
    places: Arc<Semaphore>,
    size: usize,
    /// Room for payloads, in KiB. Deliveries of one event share its payload, and are counted as if they
    /// did not: a bound may be early, and never late.
    room: Arc<Semaphore>,
    room_kib: u32,
    /// How many deliveries have ever entered.
    entered: AtomicU64,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    present: HashMap<DeliveryKey, Present>,
    /// By number: one for ingest and one for reclaim, at most.
    watches: BTreeMap<u64, Watched>,
    watches_ever: u64,
}

/// Events that somebody is asking the journal about, and those of their deliveries that have left.
#[derive(Debug, Default)]
struct Watched {
    events: HashSet<EventId>,
    left: HashSet<DeliveryKey>,
}

/// A delivery that is in memory.
#[derive(Debug)]
struct Present {
    /// Which entrance it was: the share that it is known by.
    entrance: u64,
    /// The turn that it is at.
    turn: Turn,
    /// Whether it is being handed on at that turn, and is about to leave.
    leaves: bool,
    entered_at: Instant,
    /// Its own part in its arrival's receipt, which its share has as well: whoever is first gives it back.
    own: Part,
    /// Other arrivals of the same delivery: their receipts go the way of its own.
    joined: Vec<Arc<Held>>,
}

/// A part in a receipt, until it is released.
type Part = Arc<Mutex<Option<Arc<Held>>>>;

impl Window {
    /// A window for `size` deliveries, with payloads of `bytes` in all. A payload that is larger than
    /// that comes in alone.
    pub fn new(size: usize, bytes: usize) -> Arc<Self> {
        let room_kib = u32::try_from(bytes / 1_024).unwrap_or(u32::MAX >> 3).max(1);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(size)),
            size,
            room: Arc::new(Semaphore::new(room_kib as usize)),
            room_kib,
            entered: AtomicU64::new(0),
            inside: Mutex::default(),
        })
    }

    /// How many deliveries are in memory.
    pub fn occupied(&self) -> usize {
        self.size.saturating_sub(self.places.available_permits())
    }

    /// Whether what can wait may come in: half of the places are free, and half of the room.
    ///
    /// Half: a burst of live traffic finds as much again as it had, and never waits for what a replay holds.
    pub fn has_ample_room(&self) -> bool {
        let half_free = self.places.available_permits() >= self.size.div_ceil(2);
        half_free && self.room.available_permits() >= self.room_kib.div_ceil(2) as usize
    }

    /// Whether this delivery is in memory already.
    pub fn holds(&self, key: DeliveryKey) -> bool {
        self.inside().present.contains_key(&key)
    }

    /// Lets another arrival of a delivery that is in memory, at `turn` or later, share its fate; whether
    /// it was there. Its receipt goes back when the delivery's own does: that one may be of a connection
    /// that is lost, and mean nothing any more.
    ///
    /// A copy at a later turn, or at the one that it is being handed on at, does not join: what is in memory is about to
    /// leave, and this copy is what it was handed on as.
    pub fn join(&self, key: DeliveryKey, turn: Turn, hold: &Hold) -> bool {
        self.inside().join(key, turn, hold)
    }

    /// Takes a place for one delivery with a payload of so many bytes, as a part of `hold`; waits until
    /// there is one. `None` when the
    /// delivery came here meanwhile, at this turn or later: then this one has joined it.
    pub async fn enter(
        self: &Arc<Self>,
        key: DeliveryKey,
        turn: Turn,
        payload_bytes: usize,
        hold: &Hold,
    ) -> Option<Share> {
        let place = self.place(payload_bytes).await;
        let mut inside = self.inside();
        if inside.join(key, turn, hold) {
            return None;
        }
        Some(self.share(&mut inside, place, key, turn, hold))
    }

    /// The same for a delivery that nobody has to answer for here: `None` when it is here already, at
    /// whatever turn, or has come meanwhile.
    pub async fn enter_alone(
        self: &Arc<Self>,
        key: DeliveryKey,
        turn: Turn,
        payload_bytes: usize,
    ) -> Option<Share> {
        if self.holds(key) {
            return None;
        }
        let place = self.place(payload_bytes).await;
        let mut inside = self.inside();
        if inside.present.contains_key(&key) {
            return None;
        }
        let hold = Hold::without_receipt();
        let share = self.share(&mut inside, place, key, turn, &hold);
        hold.complete();
        Some(share)
    }

    /// Takes a place beside the delivery's own: for an attempt that is outside its turns. The window does
    /// not know the delivery by it, so that a copy that has its turn neither joins it nor waits for it.
    /// Waits until there is room.
    pub async fn beside(self: &Arc<Self>, key: DeliveryKey, payload_bytes: usize) -> Share {
        let place = self.place(payload_bytes).await;
        Share {
            key,
            entrance: self.entered.fetch_add(1, Ordering::Relaxed),
            entered_at: Instant::now(),
            window: Arc::clone(self),
            held: None,
            unheard: false,
            _place: place,
        }
    }

    /// The deliveries that have been here for longer than this and hold a receipt, at their turns.
    pub fn overstaying(&self, age: Duration) -> Vec<(DeliveryKey, Turn)> {
        let inside = self.inside();
        let overstays = |present: &Present| {
            present.entered_at.elapsed() > age
                && (!present.joined.is_empty()
                    || present.own().as_ref().is_some_and(|own| own.receipt.is_some()))
        };
        let found = inside.present.iter().filter(|(_, present)| overstays(present));
        let mut found: Vec<_> = found.map(|(key, present)| (*key, present.turn)).collect();
        found.sort_unstable(); // in each run of the same traffic the same order
        found
    }

    /// Releases what these hold of receipts, where they are at their turns still; how many were. They stay.
    pub fn release_early(&self, these: impl Iterator<Item = (DeliveryKey, Turn)>) -> usize {
        let mut released = 0;
        for (key, turn) in these {
            let mut inside = self.inside();
            let Some(present) = inside.present.get_mut(&key).filter(|one| one.turn == turn) else {
                continue;
            };
            let own = present.own().take();
            let joined = std::mem::take(&mut present.joined);
            drop(inside);
            own.into_iter().chain(joined).for_each(release);
            released += 1;
        }
        released
    }

    /// Watches these events while the journal is asked how their deliveries stand, and while what it
    /// answered is acted upon.
    pub fn watch(self: &Arc<Self>, events: impl Iterator<Item = EventId>) -> Watch {
        let mut inside = self.inside();
        inside.watches_ever += 1;
        let number = inside.watches_ever;
        let watched = Watched { events: events.collect(), left: HashSet::new() };
        inside.watches.insert(number, watched);
        Watch { window: Arc::clone(self), number }
    }

    async fn place(&self, payload_bytes: usize) -> Place {
        let kib = u32::try_from(payload_bytes.div_ceil(1_024)).unwrap_or(u32::MAX);
        let (places, room) = (Arc::clone(&self.places), Arc::clone(&self.room));
        let place = places.acquire_owned().await.expect("it is never closed");
        // Held while it waits for room: what is inside needs no place to come out.
        let room = room.acquire_many_owned(kib.min(self.room_kib)).await;
        Place { _place: place, _room: room.expect("it is never closed") }
    }

    fn share(
        self: &Arc<Self>,
        inside: &mut Inside,
        place: Place,
        key: DeliveryKey,
        turn: Turn,
        hold: &Hold,
    ) -> Share {
        let entrance = self.entered.fetch_add(1, Ordering::Relaxed);
        let entered_at = Instant::now();
        let own = Arc::new(Mutex::new(Some(Arc::clone(hold.open()))));
        match inside.present.entry(key) {
            // A copy that is about to leave (see `join`): what comes from now on joins this one, and what
            // had joined the other goes the way of this one, which is at worst later.
            Entry::Occupied(mut present) => {
                let present = present.get_mut();
                (present.entrance, present.turn, present.leaves) = (entrance, turn, false);
                (present.entered_at, present.own) = (entered_at, Arc::clone(&own));
            }
            Entry::Vacant(place) => {
                let own = Arc::clone(&own);
                let (leaves, joined) = (false, Vec::new());
                place.insert(Present { entrance, turn, leaves, entered_at, own, joined });
            }
        }
        Share {
            key,
            entrance,
            entered_at,
            window: Arc::clone(self),
            held: Some(own),
            unheard: false,
            _place: place,
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    fn own(&self) -> MutexGuard<'_, Option<Arc<Held>>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place with room for its payload; both are free again when it is dropped.
#[derive(Debug)]
struct Place {
    _place: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Inside {
    fn join(&mut self, key: DeliveryKey, turn: Turn, hold: &Hold) -> bool {
        match self.present.get_mut(&key) {
            Some(present) if turn < present.turn || (turn == present.turn && !present.leaves) => {
                present.joined.push(Arc::clone(hold.open()));
                true
            }
            Some(_) | None => false,
        }
    }
}

/// Says whether what the journal answered is old: the delivery was here, and has been settled since.
#[derive(Debug)]
pub struct Watch {
    window: Arc<Window>,
    number: u64,
}

impl Watch {
    /// Whether a delivery has left since the watch began, or since this was asked last.
    pub fn has_left(&self, key: DeliveryKey) -> bool {
        let mut inside = self.window.inside();
        inside.watches.get_mut(&self.number).is_some_and(|watched| watched.left.remove(&key))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.window.inside().watches.remove(&self.number);
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
    /// None beside the delivery's turns.
    held: Option<Part>,
    /// Whether its leaving says nothing about the delivery.
    unheard: bool,
    _place: Place,
}

impl Share {
    /// The delivery is delivered, or safely handed on. The last share gives the receipt back.
    pub fn release(mut self) {
        for joined in self.leave() {
            release(joined);
        }
        if let Some(own) = self.own_part() {
            release(own);
        }
    }

    /// Its part in the receipt, unless that was released early.
    fn own_part(&mut self) -> Option<Arc<Held>> {
        let part = self.held.take()?;
        part.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Leaves without having been attempted, to ask the journal again: nobody's watch hears of it.
    pub fn step_back(mut self) {
        self.unheard = true;
        self.release();
    }

    /// The delivery stays in memory and is at this turn now.
    pub fn is_at(&self, turn: Turn) {
        if let Some(present) = self.window.inside().present.get_mut(&self.key)
            && present.entrance == self.entrance
        {
            present.turn = turn;
        }
    }

    /// The delivery is being handed on at the turn that it has: who comes back as that before we have heard that it is safe
    /// is not held to be the one that leaves.
    pub fn is_leaving(&self) {
        if let Some(present) = self.window.inside().present.get_mut(&self.key)
            && present.entrance == self.entrance
        {
            present.leaves = true;
        }
    }

    /// Whether nothing brings it back any more but the journal: its part in the receipt was given back before its end.
    pub fn is_taken_over(&self) -> bool {
        let part = self.held.as_ref();
        part.is_some_and(|part| part.lock().unwrap_or_else(PoisonError::into_inner).is_none())
    }

    /// How long the delivery has been in memory.
    pub fn age(&self) -> Duration {
        self.entered_at.elapsed()
    }

    /// What had joined the delivery, if the window knew it by this share. Nothing, the second time.
    fn leave(&self) -> Vec<Arc<Held>> {
        let mut inside = self.window.inside();
        for watched in inside.watches.values_mut() {
            if !self.unheard && watched.events.contains(&self.key.event) {
                watched.left.insert(self.key);
            }
        }
        match inside.present.entry(self.key) {
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
        for held in joined.into_iter().chain(self.own_part()) {
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
mod tests;
