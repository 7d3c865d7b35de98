//! Tells the broker what is finished: late by a few milliseconds, and many at once.
//!
//! Receipts are given back in any order. All that is finished from the lowest open number on goes
//! out as *one* acknowledgement; what lies above a gap waits a moment for the gap to close and is
//! then acknowledged by itself. The numbers that are kept here are bounded by the prefetch: there
//! is one for each message that the broker lets us hold.
//!
//! A receipt's number names the connection it came by, so one of a lost connection means nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::Channel;
use lapin::options::BasicAckOptions;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::debug;

use super::connection::within;
use super::health::Health;
use crate::storage::StorageError;
use crate::storage::inbox::Desk;

/// Longest that a receipt waits before the broker hears of it, when nothing is in its way.
///
/// Five milliseconds: long enough for a busy router to gather dozens, too short to matter to the
/// broker's window of a thousand.
const FLUSH_EVERY: Duration = Duration::from_millis(5);

/// So many receipts are not kept waiting.
const FLUSH_AT: usize = 64;

/// Longest that a finished message waits for an unfinished one below it.
///
/// Twenty milliseconds: on the fast path gaps close sooner, and behind a slow endpoint the window
/// must not fill with what is finished.
const LINGER: Duration = Duration::from_millis(20);

/// Longest wait until acknowledgements are written. The consuming connection is never blocked, so
/// ten seconds without it mean that the connection is gone.
const ACK_DEADLINE: Duration = Duration::from_secs(10);

/// Which of the two queues a message came from; each has a channel of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Published events.
    Inbox,
    /// Deliveries whose wait is over.
    Due,
}

/// A message's place: its connection, its channel and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub epoch: u64,
    pub source: Source,
    pub tag: u64,
}

/// Bits of a receipt's number that hold the tag: at ten thousand messages a second, enough for
/// three years of one connection.
const TAG_BITS: u32 = 40;

impl Place {
    /// As a receipt's number: connection, channel, tag.
    pub(super) fn number(self) -> u64 {
        let source = match self.source {
            Source::Inbox => 0,
            Source::Due => 1,
        };
        (self.epoch << (TAG_BITS + 1)) | (source << TAG_BITS) | self.tag
    }

    fn of(number: u64) -> Self {
        Self {
            epoch: number >> (TAG_BITS + 1),
            source: if (number >> TAG_BITS) & 1 == 0 { Source::Inbox } else { Source::Due },
            tag: number & ((1 << TAG_BITS) - 1),
        }
    }
}

/// What is left at the desk.
#[derive(Debug)]
pub(super) enum Note {
    /// A receipt was given back.
    Finished(u64),
    /// Consuming has begun on a new connection.
    Opened(Box<Channels>),
    /// Tell when the broker has heard of everything before this.
    Flush(oneshot::Sender<()>),
}

/// The channels of one connection.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    pub epoch: u64,
    pub inbox: Channel,
    pub due: Channel,
}

/// Where receipts are given back: a letter box, emptied by [`run`].
///
/// Unbounded, because giving back must not wait; bounded in fact by the prefetch.
#[derive(Debug, Clone)]
pub(super) struct AckDesk(pub mpsc::UnboundedSender<Note>);

impl Desk for AckDesk {
    fn finished(&self, number: u64) {
        // Nobody empties the box once the inbox is closed: the message comes again, to someone else.
        let _ = self.0.send(Note::Finished(number));
    }
}

/// Empties the letter box until it is gone. `lost` hears the number of a connection on which an
/// acknowledgement could not be written.
pub(super) async fn run(
    mut notes: mpsc::UnboundedReceiver<Note>,
    lost: watch::Sender<u64>,
    health: Arc<Health>,
) {
    let mut open: Option<Open> = None;
    let mut received = Vec::new();
    loop {
        let idle = open.as_ref().is_none_or(Open::is_idle);
        if idle {
            if notes.recv_many(&mut received, FLUSH_AT).await == 0 {
                return;
            }
        } else {
            // Notes as they come, or time to look at what lingers.
            tokio::select! { biased;
                count = notes.recv_many(&mut received, FLUSH_AT) => if count == 0 { return },
                () = tokio::time::sleep(FLUSH_EVERY) => {}
            }
        }
        gather(&mut notes, &mut received).await;
        let mut flushed = Vec::new();
        for note in received.drain(..) {
            match note {
                Note::Finished(number) => {
                    let place = Place::of(number);
                    if let Some(open) = &mut open
                        && open.channels.epoch == place.epoch
                    {
                        open.finished(place);
                    }
                }
                Note::Opened(channels) => open = Some(Open::new(*channels)),
                Note::Flush(done) => flushed.push(done),
            }
        }
        let linger = if flushed.is_empty() { LINGER } else { Duration::ZERO };
        if let Some(current) = &mut open {
            match current.write(linger).await {
                Ok(count) => Health::count(&health.acknowledged, count),
                Err(error) => {
                    debug!("acknowledgements were not written: {error}");
                    lost.send_replace(current.channels.epoch);
                    open = None;
                }
            }
        }
        for done in flushed {
            let _ = done.send(()); // whoever asked may have stopped waiting
        }
    }
}

/// Waits a moment for more, unless there is enough already or someone waits for us.
async fn gather(notes: &mut mpsc::UnboundedReceiver<Note>, received: &mut Vec<Note>) {
    let until = Instant::now() + FLUSH_EVERY;
    while received.len() < FLUSH_AT && !received.iter().any(|n| matches!(n, Note::Flush(_))) {
        let room = FLUSH_AT - received.len();
        match tokio::time::timeout_at(until, notes.recv_many(received, room)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// What is open on one connection.
struct Open {
    channels: Channels,
    inbox: Tally,
    due: Tally,
}

impl Open {
    fn new(channels: Channels) -> Self {
        Self { channels, inbox: Tally::default(), due: Tally::default() }
    }

    fn is_idle(&self) -> bool {
        self.inbox.lingering.is_empty() && self.due.lingering.is_empty()
    }

    fn finished(&mut self, place: Place) {
        match place.source {
            Source::Inbox => self.inbox.finished(place.tag, Instant::now()),
            Source::Due => self.due.finished(place.tag, Instant::now()),
        }
    }

    /// Acknowledges what can be; how many messages that were.
    async fn write(&mut self, linger: Duration) -> Result<usize, StorageError> {
        let now = Instant::now();
        let mut count = 0;
        for (tally, channel) in
            [(&mut self.inbox, &self.channels.inbox), (&mut self.due, &self.channels.due)]
        {
            let acks = tally.take(now, linger);
            count += acks.count;
            let all = acks.up_to.map(|tag| (tag, true)).into_iter();
            let each = acks.singly.into_iter().map(|tag| (tag, false));
            let writes = all
                .chain(each)
                .map(|(tag, multiple)| channel.basic_ack(tag, BasicAckOptions { multiple }));
            within(ACK_DEADLINE, "acknowledging", try_join_all(writes)).await?;
        }
        Ok(count)
    }
}

/// The finished messages of one channel that the broker has not heard of, and enough about the rest
/// to say it rightly. Numbers on a channel are 1, 2, 3 and so on.
#[derive(Debug, Default)]
struct Tally {
    /// Everything up to here is acknowledged.
    done_to: u64,
    /// Finished beyond that, and whether the broker has been told.
    above: BTreeMap<u64, Told>,
    /// What the broker was not told, oldest first.
    lingering: VecDeque<(Instant, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    NotYet,
    Singly,
}

/// Acknowledgements to be written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Acks {
    /// Everything up to this one.
    up_to: Option<u64>,
    /// Each of these.
    singly: Vec<u64>,
    /// Messages that these acknowledge.
    count: usize,
}

impl Tally {
    fn finished(&mut self, tag: u64, now: Instant) {
        if tag > self.done_to && !self.above.contains_key(&tag) {
            self.above.insert(tag, Told::NotYet);
            self.lingering.push_back((now, tag));
        }
    }

    /// What to acknowledge now; what lies above a gap only if it has lingered for so long.
    fn take(&mut self, now: Instant, linger: Duration) -> Acks {
        let mut acks = Acks::default();
        while let Some(entry) = self.above.first_entry()
            && *entry.key() == self.done_to + 1
        {
            let (tag, told) = entry.remove_entry();
            self.done_to = tag;
            // The last one that is not acknowledged yet: the broker refuses a number it has heard.
            if told == Told::NotYet {
                acks.up_to = Some(tag);
                acks.count += 1;
            }
        }
        while let Some((since, tag)) = self.lingering.front().copied() {
            let is_open = self.above.get(&tag) == Some(&Told::NotYet);
            if is_open && now.saturating_duration_since(since) < linger {
                break;
            }
            self.lingering.pop_front();
            if is_open {
                self.above.insert(tag, Told::Singly);
                acks.singly.push(tag);
                acks.count += 1;
            }
        }
        acks
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn later(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn what_is_finished_in_order_is_acknowledged_at_once() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        for tag in [2, 1, 3] {
            tally.finished(tag, start);
        }
        let acks = tally.take(start, LINGER);
        assert_eq!(acks, Acks { up_to: Some(3), singly: vec![], count: 3 });
        assert!(tally.lingering.is_empty(), "nothing wakes the task for what is done");
    }

    #[test]
    fn what_lies_above_a_gap_lingers_and_then_goes_by_itself() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        tally.finished(2, start);
        assert_eq!(tally.take(later(start, 19), LINGER), Acks::default());
        let single = Acks { up_to: None, singly: vec![2], count: 1 };
        assert_eq!(tally.take(later(start, 20), LINGER), single);

        tally.finished(1, later(start, 30));
        let rest = Acks { up_to: Some(1), singly: vec![], count: 1 };
        assert_eq!(tally.take(later(start, 30), LINGER), rest);
        assert_eq!(tally.done_to, 2);
    }

    #[test]
    fn a_place_reads_back_from_its_number() {
        for place in [
            Place { epoch: 1, source: Source::Inbox, tag: 1 },
            Place { epoch: 7, source: Source::Due, tag: (1 << TAG_BITS) - 1 },
        ] {
            assert_eq!(Place::of(place.number()), place);
        }
    }

    proptest! {
        /// Against a broker that closes the channel at a number it does not expect: whatever the
        /// order, only what is finished is acknowledged, once, and all of it in the end.
        #[test]
        fn every_receipt_reaches_the_broker_once(
            order in Just((1..=60_u64).collect::<Vec<_>>()).prop_shuffle(),
            pauses in proptest::collection::vec(0_u64..30, 60),
        ) {
            let start = Instant::now();
            let mut tally = Tally::default();
            let mut unacked: BTreeSet<u64> = (1..=60).collect();
            let mut finished = BTreeSet::new();
            let mut ms = 0;
            for (tag, pause) in order.into_iter().zip(pauses) {
                tally.finished(tag, later(start, ms));
                finished.insert(tag);
                ms += pause;
                if pause % 3 != 0 {
                    let acks = tally.take(later(start, ms), LINGER);
                    let before = unacked.len();
                    if let Some(tag) = acks.up_to {
                        prop_assert!(unacked.contains(&tag), "{} was acknowledged before", tag);
                        unacked.retain(|open| *open > tag);
                    }
                    for tag in acks.singly {
                        prop_assert!(unacked.remove(&tag), "{} was acknowledged before", tag);
                    }
                    prop_assert_eq!(before - unacked.len(), acks.count);
                    prop_assert!((1..=60).all(|t| unacked.contains(&t) || finished.contains(&t)));
                }
            }
            let acks = tally.take(later(start, ms), Duration::ZERO);
            unacked.retain(|open| acks.up_to.is_none_or(|tag| *open > tag));
            unacked.retain(|open| !acks.singly.contains(open));
            prop_assert!(unacked.is_empty(), "{:?}", unacked);
            prop_assert!(tally.lingering.is_empty() && tally.above.is_empty());
        }
    }
}
