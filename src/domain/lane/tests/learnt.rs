//! What a lane learns of its endpoint, and what it shares with other routers.

use super::*;

#[test]
fn an_endpoint_that_is_new_is_warmed_up() {
    let mut lane = new_lane(None, 32);
    let (mut number, mut seen) = (0, Vec::new());
    for round in 0..8 {
        for _ in 0..40 {
            number += 1;
            let _ = lane.offer(number, at(round));
        }
        let together: Vec<_> = std::iter::from_fn(|| lane.next(at(round))).collect();
        seen.push(together.len());
        for (permit, _) in together {
            lane.finished(permit, QUICK, WELL, at(round), Chance::MIDDLE);
        }
        let _ = lane.clear();
    }
    assert_eq!(seen[0], 4);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1] || pair[1] == 32), "{seen:?}");
    assert_eq!(seen[7], 32);
}

#[test]
fn an_endpoint_that_hangs_from_the_start_holds_four_requests_and_soon_one() {
    let mut lane = new_lane(None, 32);
    for job in 0..20 {
        lane.offer(job, START).expect("room");
    }
    let hanging: Vec<_> = std::iter::from_fn(|| lane.next(START)).collect();
    assert_eq!(hanging.len(), 4);
    for (permit, _) in hanging {
        lane.finished(permit, Duration::from_secs(15), LATE, at(15_000), Chance::MIDDLE);
    }
    let _ = lane.clear();
    for job in 0..20 {
        let _ = lane.offer(job, at(15_000));
    }
    assert_eq!(started(&mut lane, at(15_000)).len(), 2);
}

#[test]
fn an_open_circuit_starts_nothing_and_sends_away_who_would_wait_for_it() {
    let mut lane = lane(None, 8);
    for _ in 1..OPENS_AFTER {
        assert_eq!(one(&mut lane, SICK, START), None);
    }
    // Short pauses are waited for in line; this is the fifth, of 16 s, of which the middle is drawn.
    let mut now = START;
    for _ in 0..5 {
        assert!(matches!(one(&mut lane, SICK, now), Some(Turned::Open(_))));
        now = lane.starts_from();
    }
    let opened_at = now - Duration::from_secs(8);
    let refused = lane.offer(7, opened_at).expect_err("not for so long");
    assert_eq!((refused.why, refused.due.earliest), (Postponed::CircuitOpen, now));
    assert!(lane.is_tripped() && !lane.is_idle_since(opened_at + Duration::from_mins(59)));

    for job in 1..=3 {
        lane.offer(job, now).expect("the pause is over");
    }
    let (probe, _) = lane.next(now).expect("one, to see");
    assert!(lane.next(now).is_none());
    assert_eq!(lane.wake_at(true), Some(now + HOLD_MAX), "only its end changes anything");
    let turned = lane.finished(probe, QUICK, WELL, now, Chance::MIDDLE);
    assert_eq!(turned, Some(Turned::HalfOpen));
    assert_eq!(started(&mut lane, now).len(), 2, "one, and one more for its success");
}

#[test]
fn a_circuit_that_closes_says_so_and_the_lane_is_as_it_was() {
    let mut lane = lane(None, 8);
    for _ in 0..OPENS_AFTER {
        one(&mut lane, SICK, START);
    }
    let now = lane.starts_from();
    let turned: Vec<_> = (0..CLOSES_AFTER).map(|_| one(&mut lane, WELL, now)).collect();
    assert_eq!((turned[0], turned[4]), (Some(Turned::HalfOpen), Some(Turned::Closed)));
    assert!(turned[1..4].iter().all(Option::is_none) && !lane.is_tripped());
}

#[test]
fn a_person_who_wants_it_called_is_not_kept_waiting() {
    let mut lane = lane(None, 8);
    for _ in 0..OPENS_AFTER {
        one(&mut lane, SICK, START);
    }
    assert!(lane.starts_from() > START);
    lane.try_now(START);
    lane.offer(1, START).expect("room");
    assert_eq!(lane.next(START).map(|(_, job)| job), Some(1));
}

#[test]
fn who_has_taken_something_is_proven_until_it_hangs_or_fails() {
    let mut lane = new_lane(None, 8);
    assert_eq!(lane.standing(START), Standing::Unproven);
    one(&mut lane, WELL, START);
    assert_eq!(lane.standing(START), Standing::Proven);
    lane.offer(1, START).expect("room");
    let (permit, _) = lane.next(START).expect("starts");
    assert_eq!(lane.standing(at(1_000)), Standing::Proven);
    assert_eq!(lane.standing(at(1_001)), Standing::Unproven, "it hangs");
    lane.finished(permit, QUICK, WELL, at(2_000), Chance::MIDDLE);
    assert_eq!(lane.standing(at(2_000)), Standing::Proven);
    one(&mut lane, SICK, at(2_000));
    assert_eq!(lane.standing(at(2_000)), Standing::Unproven);
}

#[test]
fn whose_policy_wants_no_circuit_breaker_has_none() {
    let mut lane = Lane::new(Numbers { breaks: false, ..numbers(None, 8) });
    for _ in 0..50 {
        assert_eq!(one(&mut lane, SICK, START), None);
    }
    assert!(!lane.is_tripped());
    lane.adjust(numbers(None, 8));
    for _ in 0..OPENS_AFTER {
        one(&mut lane, SICK, START);
    }
    assert!(lane.is_tripped());
    lane.adjust(Numbers { breaks: false, ..numbers(None, 8) });
    assert!(!lane.is_tripped());
}

#[test]
fn routers_share_a_rate_and_a_cap() {
    let among = |routers| Numbers { among: NonZeroU16::new(routers), ..numbers(Some(30), 8) };
    for (routers, expected) in [(1, (4, 8)), (3, (1, 2)), (100, (1, 1))] {
        let mut lane = Lane::new(among(routers));
        assert_eq!(lane.max_in_flight.get(), expected.1, "{routers} routers");
        for job in 0..4 {
            let _ = lane.offer(job, START);
        }
        let mut count = 0;
        for ms in 0..=100 {
            while let Some((permit, _)) = lane.next(at(ms)) {
                count += 1;
                finish(&mut lane, permit, QUICK, Pressure::Eased, at(ms));
            }
        }
        assert!(count >= expected.0 && count <= expected.0 + 1, "{routers} routers: {count}");
    }
    let mut lane = Lane::new(among(1));
    for job in 0..20 {
        lane.offer(job, START).expect("room");
    }
    let count = started(&mut lane, START).len();
    for routers in [2, 3, 2, 1] {
        lane.adjust(among(routers));
        assert!(started(&mut lane, START).is_empty(), "{count} were a burst, and it is had once");
    }
    let mut unknown = Lane::new(among(0));
    unknown.offer(1, START).expect("room");
    assert!(unknown.next(START).is_none(), "its part is not known");
    assert_eq!(unknown.wake_at(true), Some(at(250)));
    unknown.adjust(among(2));
    assert_eq!(unknown.next(START).map(|(_, job)| job), Some(1));
    let mut free = Lane::new(Numbers { among: None, ..numbers(None, 8) });
    for job in 0..2 {
        free.offer(job, START).expect("room");
    }
    assert_eq!(
        started(&mut free, START),
        [0],
        "without a rate there is a cap to share: one is anybody's"
    );
}

#[test]
fn who_may_have_more_is_not_put_behind_what_was_booked_when_it_had_less() {
    let mut lane = lane(Some(1), 8);
    for job in 0..5 {
        lane.offer(job, START).expect("five seconds of it");
    }
    let slot = |lane: &mut Lane<u32>| {
        (0..100)
            .map(|job| lane.offer(job, START).map_err(|refused| refused.due.at))
            .find_map(Result::err)
    };
    for _ in 0..60 {
        slot(&mut lane).expect("full");
    }
    assert!(slot(&mut lane).expect("full") > at(60_000));
    lane.adjust(numbers(Some(1), 8));
    assert!(slot(&mut lane).expect("full") > at(60_000), "nothing has changed");
    for wider in [numbers(Some(2), 8), numbers(None, 8), numbers(None, 9)] {
        assert!(wider.are_wider_than(&lane.numbers) && !lane.numbers.are_wider_than(&wider));
        lane.adjust(wider);
    }
    assert!(lane.offer(1, START).is_ok());
    let (soon, _, _) = lane.slot(lane.line.len(), START);
    assert!(lane.pace.book(soon, Duration::ZERO) <= at(1_000));
    let unbroken = Numbers { breaks: false, ..numbers(None, 9) };
    assert!(unbroken.are_wider_than(&lane.numbers), "what waits for its circuit need not");
}
