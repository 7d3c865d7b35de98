//! How many of the deliveries in memory may be one application's while others have some too.
//!
//! There is one inbox, and it is read in its order. An application that publishes a hundred times what others do would fill
//! all the room behind it with its own, and everybody's events would wait in the inbox for as long as its
//! endpoints take. So what is beyond its part is put off: recorded, held by the journal, and out of the way, and the inbox is
//! read on past it. It comes back as fast as the application's deliveries have been leaving.
//!
//! An application that is alone has all the room there is: putting off costs two writes for each delivery, and nobody would have anything of it.
//! It is alone when nobody else was there for [`ALONE_AFTER`].
//!
//! What has been put off before goes first: a quarter of the part is kept for it, or what is new would take its place
//! again and again.
//!
//! Not here: who starts first of those that are in memory (`lane`, `room`).

use std::collections::HashMap;
use std::time::Duration;

use super::id::ApplicationId;
use super::time::Timestamp;

/// How long nobody else must have been there for an application to be alone.
///
/// A minute: long enough that a tenant who sends an event every few seconds is one of those that are looked after, short
/// enough that a nightly import of a tenant who is the only one awake goes through at full speed.
const ALONE_AFTER: Duration = Duration::from_mins(1);

/// Shortest time that something is put off for: less is not worth its way.
const AWAY_MIN: Duration = Duration::from_secs(1);

/// Longest that we take to lie between two that leave: a pause says nothing about how fast it goes when there is work.
const GAP_MOST_US: u64 = 100_000;

/// What a delivery weighs: whose it is, and the bytes of its payload.
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// Whose it is.
    pub application: ApplicationId,
    /// Of its payload.
    pub bytes: usize,
}

/// The deliveries in memory, by application.
#[derive(Debug)]
pub struct Crowd {
    most: usize,
    most_bytes: usize,
    parts: HashMap<ApplicationId, Part>,
    /// Who came last, and when.
    last: Option<(ApplicationId, Timestamp)>,
    /// When somebody else than that came last.
    other: Option<Timestamp>,
}

#[derive(Debug)]
struct Part {
    deliveries: usize,
    bytes: usize,
    /// Microseconds between two that leave, on average.
    gap_us: u64,
    left_at: Timestamp,
    /// The next moment to come back at that nobody was given, in microseconds since the epoch.
    next_free_us: u64,
}

impl Crowd {
    /// With so many deliveries and so many bytes of their payloads for each application, while there are others.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self { most: most.max(1), most_bytes, parts: HashMap::new(), last: None, other: None }
    }

    /// Whether another of an application's may come in now: when it is alone, or has less than its part.
    ///
    /// # Errors
    /// When to come back.
    pub fn admits(
        &mut self,
        weight: Weight,
        was_put_off: bool,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let others = self.saw(weight.application, now);
        let (most, most_bytes) = if was_put_off {
            (self.most, self.most_bytes)
        } else {
            ((self.most * 3 / 4).max(1), self.most_bytes / 4 * 3)
        };
        let part = self.part(weight.application);
        let has_room = part.deliveries < most && part.bytes < most_bytes;
        // What is not there waits for nothing, however large.
        if !others || has_room || part.deliveries == 0 { Ok(()) } else { Err(part.book(now)) }
    }

    /// One has come in.
    pub fn entered(&mut self, weight: Weight) {
        let part = self.part(weight.application);
        part.deliveries += 1;
        part.bytes += weight.bytes;
    }

    /// One has left, however.
    pub fn left(&mut self, weight: Weight, now: Timestamp) {
        let part = self.part(weight.application);
        part.deliveries = part.deliveries.checked_sub(1).expect("each leaves once");
        part.bytes = part.bytes.saturating_sub(weight.bytes);
        let gap = u64::try_from(now.since(part.left_at).as_micros()).unwrap_or(u64::MAX);
        part.gap_us = (part.gap_us * 31 + gap.min(GAP_MOST_US)) / 32;
        part.left_at = now;
    }

    /// Forgets applications that have nothing here.
    pub fn forget_the_absent(&mut self) {
        self.parts.retain(|_, part| part.deliveries > 0);
    }

    /// Notes that an application is there; whether others are.
    fn saw(&mut self, application: ApplicationId, now: Timestamp) -> bool {
        match self.last {
            Some((last, _)) if last == application => {}
            Some((_, at)) => self.other = Some(at),
            None => {}
        }
        self.last = Some((application, now));
        self.other.is_some_and(|at| now.since(at) <= ALONE_AFTER)
    }

    fn part(&mut self, application: ApplicationId) -> &mut Part {
        self.parts.entry(application).or_insert_with(|| Part {
            deliveries: 0,
            bytes: 0,
            gap_us: 1_000,
            left_at: Timestamp::default(),
            next_free_us: 0,
        })
    }
}

impl Part {
    fn book(&mut self, now: Timestamp) -> Timestamp {
        let earliest = u64::try_from((now + AWAY_MIN).as_millis()).unwrap_or(0) * 1_000;
        let slot_us = self.next_free_us.max(earliest);
        self.next_free_us = slot_us + self.gap_us;
        Timestamp::from_millis(i64::try_from(slot_us / 1_000).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn of(application: u8) -> Weight {
        Weight { application: ApplicationId::derived(&[&[application]]), bytes: 10 }
    }

    /// Lets in as many as are admitted at once.
    fn fill(crowd: &mut Crowd, weight: Weight, was_put_off: bool, now: Timestamp) -> usize {
        let mut count = 0;
        while count < 1_000 && crowd.admits(weight, was_put_off, now).is_ok() {
            crowd.entered(weight);
            count += 1;
        }
        count
    }

    #[test]
    fn who_is_alone_has_all_the_room_and_who_is_not_has_its_part() {
        let mut crowd = Crowd::new(40, 1 << 20);
        assert_eq!(fill(&mut crowd, of(1), false, START), 1_000);
        let mut crowd = Crowd::new(40, 1 << 20);
        assert!(crowd.admits(of(2), false, START).is_ok());
        assert_eq!(fill(&mut crowd, of(1), false, START), 30);
        assert_eq!(fill(&mut crowd, of(1), true, START), 10, "kept for what was put off");
        assert_eq!(fill(&mut crowd, of(2), false, START), 30, "the other has its own");
    }

    #[test]
    fn behind_a_minute_without_anybody_else_an_application_is_alone() {
        let mut crowd = Crowd::new(4, 1 << 20);
        assert!(crowd.admits(of(2), false, START).is_ok());
        assert_eq!(fill(&mut crowd, of(1), false, START + ALONE_AFTER), 3);
        let later = START + ALONE_AFTER + Duration::from_millis(1);
        assert_eq!(fill(&mut crowd, of(1), false, later), 1_000);
    }

    #[test]
    fn bytes_count_as_deliveries_do_and_the_largest_comes_in_alone() {
        let mut crowd = Crowd::new(40, 100);
        assert!(crowd.admits(of(2), false, START).is_ok());
        assert_eq!(
            fill(&mut crowd, of(1), false, START),
            8,
            "three quarters of the bytes, and the last"
        );
        let mut crowd = Crowd::new(40, 100);
        assert!(crowd.admits(of(2), false, START).is_ok());
        let large = Weight { bytes: 1 << 30, ..of(1) };
        assert_eq!(fill(&mut crowd, large, false, START), 1);
    }

    #[test]
    fn what_is_put_off_comes_back_as_fast_as_others_of_its_own_leave() {
        let mut crowd = Crowd::new(4, 1 << 20);
        assert!(crowd.admits(of(2), false, START).is_ok());
        // One each twenty milliseconds, for long enough to be believed.
        for step in 1..=400 {
            crowd.entered(of(1));
            crowd.left(of(1), START + Duration::from_millis(20) * step);
        }
        let now = START + Duration::from_secs(8);
        assert!(crowd.admits(of(2), false, now).is_ok());
        fill(&mut crowd, of(1), true, now);
        let slots: Vec<_> = (0..3)
            .map(|_| crowd.admits(of(1), false, now).expect_err("full").since(now).as_millis())
            .collect();
        let apart = [slots[1] - slots[0], slots[2] - slots[1]];
        assert!(
            (1_018..=1_021).contains(&slots[0]),
            "the first was given away when it was full: {slots:?}"
        );
        assert!(apart.iter().all(|ms| (18..=21).contains(ms)), "{slots:?}");
    }

    #[test]
    fn what_has_left_makes_room() {
        let mut crowd = Crowd::new(4, 1 << 20);
        assert!(crowd.admits(of(2), false, START).is_ok());
        fill(&mut crowd, of(1), true, START);
        assert!(crowd.admits(of(1), true, START).is_err());
        crowd.left(of(1), START);
        assert!(crowd.admits(of(1), true, START).is_ok());
        crowd.forget_the_absent();
        assert_eq!(crowd.parts.len(), 1, "who has something here is known");
    }
}
