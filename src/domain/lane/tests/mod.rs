//! A lane by tables and by chance, with time as an argument.

mod learnt;

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::domain::breaker::{CLOSES_AFTER, OPENS_AFTER};

const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// A lane whose endpoint is known to be well: nothing is to be learnt any more.
fn lane(rate: Option<u32>, max_in_flight: u16) -> Lane<u32> {
    let mut lane = new_lane(rate, max_in_flight);
    while lane.allowance.get() < max_in_flight {
        lane.allowance.eased(u16::MAX);
    }
    lane
}

fn new_lane(rate: Option<u32>, max_in_flight: u16) -> Lane<u32> {
    Lane::new(numbers(rate, max_in_flight))
}

fn numbers(rate: Option<u32>, max_in_flight: u16) -> Numbers {
    let max_in_flight = NonZeroU16::new(max_in_flight).expect("not 0");
    let among = Some(NonZeroU16::MIN);
    Numbers { rate: rate.and_then(NonZeroU32::new), max_in_flight, among, breaks: true }
}

/// A request's end that says nothing of its endpoint's health.
fn finish(
    lane: &mut Lane<u32>,
    permit: Permit,
    took: Duration,
    pressure: Pressure,
    now: Timestamp,
) {
    let sign = Sign { pressure, health: Health::Unsaid };
    let turned = lane.finished(permit, took, sign, now, Chance::MIDDLE);
    assert_eq!(turned, None);
}

/// One delivery offered, started and ended at once, if it may start.
fn one(lane: &mut Lane<u32>, sign: Sign, now: Timestamp) -> Option<Turned> {
    lane.offer(0, now).ok()?;
    let (permit, _) = lane.next(now)?;
    lane.finished(permit, QUICK, sign, now, Chance::MIDDLE)
}

const WELL: Sign = Sign { pressure: Pressure::Eased, health: Health::Well };
const SICK: Sign = Sign { pressure: Pressure::Unsaid, health: Health::Sick };
const LATE: Sign = Sign { pressure: Pressure::Overrun, health: Health::Sick };

fn at(ms: u64) -> Timestamp {
    START + Duration::from_millis(ms)
}

fn started(lane: &mut Lane<u32>, now: Timestamp) -> Vec<u32> {
    std::iter::from_fn(|| lane.next(now)).map(|(_, job)| job).collect()
}

fn slow_down_for(seconds: u64) -> Pressure {
    Pressure::SlowDown(Some(RetryAfter::In(Duration::from_secs(seconds))))
}

const QUICK: Duration = Duration::from_millis(5);

#[test]
fn an_unlimited_lane_starts_at_once_and_in_order() {
    let mut lane = lane(None, 8);
    for job in 1..=3 {
        lane.offer(job, START).expect("room");
    }
    let started: Vec<_> = std::iter::from_fn(|| lane.next(START)).map(|(_, j)| j).collect();
    assert_eq!(started, [1, 2, 3]);
}

#[test]
fn no_more_run_at_once_than_the_cap() {
    let mut lane = lane(None, 1);
    lane.offer(1, START).expect("room");
    lane.offer(2, START).expect("room");

    let (permit, first) = lane.next(START).expect("starts");
    assert_eq!((first, lane.next(START).is_none()), (1, true));

    finish(&mut lane, permit, Duration::from_millis(5), Pressure::Unsaid, START);
    assert_eq!(lane.next(START).map(|(_, job)| job), Some(2));
}

#[test]
fn a_held_delivery_starts_when_it_is_due_and_before_the_line() {
    let mut lane = lane(None, 1);
    let (permit, _) = {
        lane.offer(0, START).expect("room");
        lane.next(START).expect("starts")
    };
    lane.hold_until(at(500), 7).expect("room");
    lane.offer(8, at(400)).expect("room");
    finish(&mut lane, permit, Duration::from_millis(5), Pressure::Unsaid, START);

    let (permit, job) = lane.next(at(499)).expect("the one in line");
    assert_eq!(job, 8);
    finish(&mut lane, permit, Duration::from_millis(1), Pressure::Unsaid, at(499));
    assert!(lane.next(at(499)).is_none());
    assert_eq!(lane.wake_at(true), Some(at(500)));
    assert_eq!(lane.next(at(500)).map(|(_, job)| job), Some(7));
}

#[test]
fn a_full_line_refuses_with_slots_at_the_rate() {
    let mut lane = lane(Some(20), 8);
    for job in 0..100 {
        lane.offer(job, START).expect("five seconds of work fit");
    }
    let slots: Vec<_> = (100..103)
        .map(|job| lane.offer(job, START).expect_err("full").due.at.since(START).as_millis())
        .collect();
    assert_eq!(slots, [4_000, 4_050, 4_100], "a second before the line is empty");
}

#[test]
fn an_endpoint_that_hangs_soon_has_hardly_any_room_left() {
    let mut lane = lane(None, 4);
    for job in 0..4 {
        lane.offer(job, START).expect("room");
    }
    let _hanging: Vec<_> = std::iter::from_fn(|| lane.next(START)).collect();
    let mut room = |ms| {
        let mut count = 0;
        while count <= LINE_MAX && lane.offer(0, at(ms)).is_ok() {
            count += 1;
        }
        let _ = lane.clear();
        count
    };
    assert_eq!([room(0), room(1_000), room(2_000), room(10_000)], [200, 20, 10, 2]);
}

#[test]
fn an_endpoint_that_timed_out_again_and_again_is_still_given_a_chance() {
    let mut lane = lane(None, 1);
    for _ in 0..100 {
        lane.offer(0, START).expect("one may always stand in an empty line");
        let (permit, _) = lane.next(START).expect("starts");
        finish(&mut lane, permit, Duration::from_mins(1), Pressure::Unsaid, START);
    }
}

#[test]
fn without_room_outside_a_lane_asks_only_to_be_looked_at_when_something_must_leave() {
    let mut lane = lane(None, 8);
    lane.offer(1, START).expect("room");
    assert_eq!(lane.wake_at(true), Some(Timestamp::default()), "it could start at once");
    assert_eq!(lane.wake_at(false), Some(at(5_000)));
}

#[test]
fn an_endpoint_that_is_fast_has_room_for_a_whole_window() {
    let mut lane = lane(None, 32);
    for _ in 0..64 {
        lane.offer(0, START).expect("room");
        let (permit, _) = lane.next(START).expect("starts");
        finish(&mut lane, permit, Duration::from_millis(2), Pressure::Unsaid, START);
    }
    assert!((0..LINE_MAX).all(|_| lane.offer(0, START).is_ok()));
    assert!(lane.offer(0, START).is_err());
}

#[test]
fn only_so_many_are_kept_between_attempts() {
    let mut lane = lane(None, 4);
    for job in 0..64 {
        lane.hold_until(at(500), job).expect("room");
    }
    assert_eq!(lane.hold_until(at(500), 64), Err(64));
}

#[test]
fn what_has_waited_long_enough_is_sent_away() {
    let mut lane = lane(None, 1);
    for job in 0..3 {
        lane.offer(job, START).expect("room");
    }
    let _permit = lane.next(START).expect("starts, and hangs");

    assert!(lane.expelled(at(4_999)).is_none());
    assert_eq!(lane.wake_at(true), Some(at(5_000)));
    assert_eq!(lane.expelled(at(5_000)).map(|refused| refused.job), Some(1));
    assert_eq!(lane.expelled(at(5_000)).map(|refused| refused.job), Some(2));
    assert!(lane.expelled(at(5_000)).is_none());
}

#[test]
fn a_raised_limit_holds_from_the_next_start() {
    let mut lane = lane(Some(1), 8);
    lane.offer(1, START).expect("room");
    lane.offer(2, START).expect("room");
    lane.next(START).map(|_| ()).expect("the first");
    assert!(lane.next(START).is_none());

    lane.adjust(numbers(None, 8));

    assert_eq!(lane.next(START).map(|(_, job)| job), Some(2));
}

#[test]
fn an_endpoint_that_names_a_moment_is_not_called_before_it_and_then_once_to_see() {
    let mut lane = lane(None, 8);
    for job in 0..4 {
        lane.offer(job, START).expect("room");
    }
    let (permit, _) = lane.next(START).expect("starts");
    finish(&mut lane, permit, QUICK, slow_down_for(3), START);

    assert!(lane.next(at(2_999)).is_none());
    assert_eq!(lane.wake_at(true), Some(at(3_000)));
    let (permit, job) = lane.next(at(3_000)).expect("one, to see");
    assert_eq!((job, lane.next(at(3_000)).is_none()), (1, true));
    finish(&mut lane, permit, QUICK, Pressure::Eased, at(3_010));
    assert_eq!(started(&mut lane, at(3_010)), [2, 3], "a success ends it");
}

#[test]
fn an_endpoint_that_names_none_is_left_alone_for_a_second_and_then_for_longer_each_time() {
    let mut lane = lane(None, 8);
    let (mut now, mut waits) = (START, Vec::new());
    for _ in 0..8 {
        lane.offer(0, now).expect("room");
        let (permit, _) = lane.next(now).expect("starts");
        finish(&mut lane, permit, QUICK, Pressure::SlowDown(None), now);
        let until = lane.starts_from();
        waits.push(until.since(now).as_secs());
        now = until;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn requests_that_were_on_the_way_together_say_it_once() {
    let mut lane = lane(None, 8);
    for job in 0..4 {
        lane.offer(job, START).expect("room");
    }
    let mut permits: Vec<_> =
        std::iter::from_fn(|| lane.next(START)).map(|(permit, _)| permit).collect();
    let answers = [
        Pressure::SlowDown(None),
        Pressure::SlowDown(None),
        Pressure::Eased, // it was taken before the endpoint spoke
        slow_down_for(2),
    ];
    for answer in answers {
        finish(&mut lane, permits.pop().expect("four"), QUICK, answer, at(10));
    }
    assert_eq!(lane.starts_from(), at(2_010), "the latest moment that was named");
    lane.offer(9, at(2_009)).expect("room");
    assert!(lane.next(at(2_009)).is_none());
    let (permit, _) = lane.next(at(2_010)).expect("one, to see");
    finish(&mut lane, permit, QUICK, Pressure::SlowDown(None), at(2_010));
    assert_eq!(lane.starts_from(), at(4_010), "the second time in a row, not the fifth");
}

#[test]
fn a_moment_that_is_too_far_away_is_brought_nearer() {
    let mut lane = lane(None, 8);
    for asked in [RetryAfter::In(Duration::MAX), RetryAfter::At(Timestamp::NEVER)] {
        lane.forgive();
        lane.offer(0, START).expect("room");
        let (permit, _) = lane.next(START).expect("starts");
        finish(&mut lane, permit, QUICK, Pressure::SlowDown(Some(asked)), START);
        assert_eq!(lane.starts_from(), START + SLOWED_MAX, "{asked:?}");
    }
}

#[test]
fn who_would_wait_too_long_is_sent_away_until_then() {
    let mut lane = lane(None, 8);
    for job in 0..3 {
        lane.offer(job, START).expect("room");
    }
    let (permit, _) = lane.next(START).expect("starts");
    finish(&mut lane, permit, QUICK, slow_down_for(60), START);

    let in_line: Vec<_> = std::iter::from_fn(|| lane.expelled(START)).collect();
    let offered = lane.offer(3, at(100)).expect_err("not for so long");
    let jobs: Vec<_> = in_line.iter().chain([&offered]).map(|one| one.job).collect();
    assert_eq!(jobs, [1, 2, 3]);
    for refused in in_line.iter().chain([&offered]) {
        assert_eq!(refused.why, Postponed::SlowedDown);
        assert!(refused.due.earliest >= at(60_000), "{refused:?}");
        assert!(refused.due.at <= at(62_000), "one behind the other: {refused:?}");
    }
    assert_eq!(lane.wake_at(true), None);
    assert!(!lane.is_idle_since(at(59_999)), "it must not forget while it lasts");
    assert!(lane.is_idle_since(at(60_000)));
}

#[test]
fn a_failure_that_says_nothing_neither_ends_nor_lengthens_it() {
    let mut lane = lane(None, 8);
    for job in 0..3 {
        lane.offer(job, START).expect("room");
    }
    let (permit, _) = lane.next(START).expect("starts");
    finish(&mut lane, permit, QUICK, slow_down_for(1), START);
    let (permit, _) = lane.next(at(1_000)).expect("one, to see");
    finish(&mut lane, permit, QUICK, Pressure::Unsaid, at(1_000));

    let (_permit, job) = lane.next(at(1_000)).expect("and the next");
    assert_eq!((job, lane.next(at(1_000)).is_none()), (2, true));
}

proptest! {
    /// Whatever the arrivals, no second sees more than the rate and its burst.
    #[test]
    fn never_more_than_the_rate(
        rate in 1_u32..50,
        gaps in proptest::collection::vec(0_u64..200, 1..300),
    ) {
        let mut lane = lane(Some(rate), 1_000);
        let mut started = Vec::new();
        let mut now = START;
        for gap in gaps {
            let _ = lane.offer(0, now);
            let end = now + Duration::from_millis(gap);
            while now <= end {
                while lane.next(now).map(|_| ()).is_some() {
                    started.push(now);
                }
                now = now + Duration::from_millis(1);
            }
            now = end;
        }
        let most = rate + rate.div_ceil(10);
        for (position, first) in started.iter().enumerate() {
            let window = started[position..]
                .iter()
                .take_while(|start| start.since(*first) < Duration::from_secs(1))
                .count();
            prop_assert!(window <= most as usize, "{window} within a second, {most} allowed");
        }
    }

    /// Whatever the endpoint answers and when: nothing starts before the moment that it named last, and
    /// one at a time until one succeeds behind it.
    #[test]
    fn who_asked_to_be_called_less_is_called_less(
        answers in proptest::collection::vec((0_u8..5, 0_u64..8, 1_u64..400), 1..200),
    ) {
        let mut lane = lane(None, 6);
        let (mut now, mut on_the_way) = (START, VecDeque::new());
        // What the endpoint has said: not before this, and not more than one.
        let (mut until, mut slowed) = (Timestamp::default(), false);
        for (what, seconds, gap) in answers {
            for _ in 0..3 {
                let _ = lane.offer(0, now);
            }
            while lane.expelled(now).is_some() {}
            while let Some((permit, _)) = lane.next(now) {
                prop_assert!(now >= until, "{} early", until.since(now).as_millis());
                prop_assert!(!slowed || on_the_way.is_empty(), "beside {}", on_the_way.len());
                on_the_way.push_back(permit);
            }
            now = now + Duration::from_millis(gap);
            let Some(permit) = on_the_way.pop_front() else { continue };
            let pressure = match what {
                0 => slow_down_for(seconds),
                1 => Pressure::SlowDown(None),
                2 => Pressure::Unsaid,
                _ => Pressure::Eased,
            };
            match pressure {
                Pressure::SlowDown(asked) => {
                    let least = asked.map_or(0, |_| seconds);
                    until = until.max(now + Duration::from_secs(least));
                    slowed = true;
                }
                Pressure::Eased if now >= lane.starts_from() => slowed = false,
                Pressure::Eased | Pressure::Overrun | Pressure::Unsaid => {}
            }
            finish(&mut lane, permit, QUICK, pressure, now);
        }
    }
}

#[test]
fn what_stands_behind_starts_when_nobody_is_in_line_and_never_before() {
    let mut lane = lane(None, 8);
    for job in 1..=3 {
        lane.offer_behind(100 + job, START).expect("room");
        lane.offer(job, START).expect("room");
    }
    assert_eq!(started(&mut lane, START), [1, 2, 3, 101, 102, 103]);
}

#[test]
fn what_stands_behind_has_half_of_what_may_be_on_the_way() {
    for (cap, half) in [(8, 4), (3, 1), (1, 1)] {
        let mut lane = lane(None, cap);
        for job in 0..20 {
            lane.offer_behind(job, START).expect("room");
        }
        let mut permits: Vec<_> = std::iter::from_fn(|| lane.next(START)).collect();
        assert_eq!(permits.len(), half, "of {cap}");
        assert_eq!(lane.wake_at(true), Some(START + HOLD_MAX), "only an end, or the end of a wait");
        // Whoever comes finds room, unless there is room for one alone.
        lane.offer(77, START).expect("room");
        assert_eq!(lane.next(START).is_some(), cap > 1);

        let (permit, _) = permits.pop().expect("one");
        finish(&mut lane, permit, QUICK, Pressure::Unsaid, START);
        assert_eq!(lane.next(START).map(|(_, job)| job == 77), Some(cap == 1));
    }
}

#[test]
fn the_second_line_is_short_and_what_it_refuses_puts_off_nobody_in_the_first() {
    let mut lane = lane(Some(20), 8);
    let behind = (0..200).take_while(|job| lane.offer_behind(*job, START).is_ok()).count();
    assert_eq!(behind, BEHIND_MAX);
    let first = lane.offer_behind(0, START).expect_err("full").due.at;
    let second = lane.offer_behind(0, START).expect_err("full").due.at;
    assert_eq!(second.since(first).as_millis(), 50, "at the rate");

    for job in 0..100 {
        lane.offer(job, START).expect("five seconds of work fit, whoever stands behind");
    }
    let slot = lane.offer(0, START).expect_err("full").due.at;
    assert_eq!(slot.since(START).as_millis(), 4_000);
}

#[test]
fn what_stands_behind_stays_there_between_two_attempts() {
    let mut lane = lane(None, 1);
    lane.offer(1, START).expect("room");
    let (permit, _) = lane.next(START).expect("starts");
    lane.offer_behind(20, START).expect("room");
    lane.hold_behind_until(at(500), 21).expect("room");
    lane.hold_until(at(500), 2).expect("room");
    lane.offer(3, at(600)).expect("room");
    finish(&mut lane, permit, QUICK, Pressure::Unsaid, at(600));

    let order: Vec<u32> = std::iter::from_fn(|| {
        let (permit, job) = lane.next(at(600))?;
        finish(&mut lane, permit, QUICK, Pressure::Unsaid, at(600));
        Some(job)
    })
    .collect();

    assert_eq!(order, [2, 3, 21, 20], "each in front of its own line");
}

#[test]
fn what_has_stood_behind_too_long_leaves_and_what_is_cleared_is_all() {
    let mut lane = lane(None, 1);
    lane.offer(1, START).expect("room");
    let _on_its_way = lane.next(START).expect("starts");
    lane.offer_behind(2, START).expect("room");
    lane.offer(3, at(1_000)).expect("room");

    assert_eq!(lane.wake_at(false), Some(START + HOLD_MAX));
    assert!(lane.expelled(START + HOLD_MAX - QUICK).is_none());
    assert_eq!(lane.expelled(START + HOLD_MAX).map(|refused| refused.job), Some(2));
    lane.offer_behind(4, at(1_000)).expect("room");
    assert_eq!((lane.waiting(), lane.clear()), (2, vec![3, 4]));
}
