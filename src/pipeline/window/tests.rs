//! Places, receipts and watches, by hand.

use super::*;
use crate::domain::id::EndpointId;
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
    let window = Window::new(10, 1 << 20);
    let hold = Hold::of(Receipt::new(7, desk.clone()));
    let one = window.enter(key(1), Turn::FIRST, 0, &hold).await.expect("alone");
    let other = window.enter(key(2), Turn::FIRST, 0, &hold).await.expect("alone");
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
async fn a_place_beside_a_delivery_is_nothing_to_its_own_copies() {
    let desk = Arc::new(Heard::default());
    let window = Window::new(2, 1 << 20);
    let watch = window.watch([key(1).event].into_iter());
    let beside = window.beside(key(1), 0).await;
    assert!(!window.holds(key(1)));

    let hold = Hold::of(Receipt::new(7, desk.clone()));
    let own = window.enter(key(1), Turn(3), 0, &hold).await.expect("it does not join");
    hold.complete();
    assert_eq!(window.occupied(), 2);

    beside.release();
    assert!(window.holds(key(1)) && desk.numbers().is_empty());
    assert!(watch.has_left(key(1)), "it may have been delivered: the journal is asked again");
    own.release();
    assert_eq!((desk.numbers(), window.occupied()), (vec![7], 0));
}

#[tokio::test]
async fn a_dropped_share_keeps_the_receipt_for_ever() {
    let desk = Arc::new(Heard::default());
    let window = Window::new(10, 1 << 20);
    let hold = Hold::of(Receipt::new(7, desk.clone()));
    let one = window.enter(key(1), Turn::FIRST, 0, &hold).await.expect("alone");
    let other = window.enter(key(2), Turn::FIRST, 0, &hold).await.expect("alone");
    hold.complete();

    drop(one);
    other.release();

    assert!(desk.numbers().is_empty());
    assert_eq!(window.occupied(), 0);
}

#[tokio::test]
async fn whoever_comes_when_it_is_full_waits() {
    let window = Window::new(1, 1 << 20);
    let hold = Hold::without_receipt();
    let first = window.enter(key(1), Turn::FIRST, 0, &hold).await.expect("alone");
    let mut second = Box::pin(window.enter(key(2), Turn::FIRST, 0, &hold));
    assert!(futures_util::poll!(&mut second).is_pending());
    first.release();
    assert!(futures_util::poll!(&mut second).is_ready());
}

#[tokio::test]
async fn whoever_waited_for_a_place_joins_a_copy_that_came_meanwhile() {
    let desk = Arc::new(Heard::default());
    let window = Window::new(1, 1 << 20);
    let full = window.enter_alone(key(2), Turn(1), 0).await.expect("alone");
    let (one, other) =
        (Hold::of(Receipt::new(1, desk.clone())), Hold::of(Receipt::new(2, desk.clone())));
    let mut first = Box::pin(window.enter(key(1), Turn(1), 0, &one));
    let mut second = Box::pin(window.enter(key(1), Turn(1), 0, &other));
    let mut claimed = Box::pin(window.enter_alone(key(1), Turn(2), 0));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    assert!(futures_util::poll!(&mut claimed).is_pending());

    full.release();
    let share = first.await.expect("the first has the place");
    share.release();
    one.complete();
    let share = second.await.expect("it has left, so the second is alone");
    assert!(window.join(key(1), Turn(1), &Hold::without_receipt()));
    drop(share);
    drop(other);
    assert!(claimed.await.is_some());
    assert_eq!(desk.numbers(), [1]);
}

#[tokio::test]
async fn a_watch_says_what_has_left_since_it_began() {
    let window = Window::new(10, 1 << 20);
    let before = window.enter_alone(key(1), Turn::FIRST, 0).await.expect("alone");
    before.release();

    let watch = window.watch([key(1).event].into_iter());
    assert!(!watch.has_left(key(1)));
    window.enter_alone(key(1), Turn(1), 0).await.expect("alone").release();
    window.enter_alone(key(2), Turn(1), 0).await.expect("alone").release();
    assert!(watch.has_left(key(1)) && watch.has_left(key(2)));
    assert!(!watch.has_left(key(1)), "it is said once");
}

#[tokio::test]
async fn whoever_comes_when_there_is_no_room_for_its_payload_waits() {
    let window = Window::new(10, 4 * 1_024);
    let hold = Hold::without_receipt();
    let large = window.enter(key(1), Turn::FIRST, 1 << 30, &hold).await.expect("alone");
    let mut small = Box::pin(window.enter(key(2), Turn::FIRST, 1, &hold));
    assert!(futures_util::poll!(&mut small).is_pending());
    large.release();
    assert!(futures_util::poll!(&mut small).is_ready());
}

#[tokio::test]
async fn a_second_arrival_of_the_same_delivery_shares_its_fate() {
    let desk = Arc::new(Heard::default());
    let window = Window::new(10, 1 << 20);
    let first = Hold::of(Receipt::new(1, desk.clone()));
    let share = window.enter(key(1), Turn(1), 0, &first).await.expect("alone");
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
    let window = Window::new(10, 1 << 20);
    let first = Hold::of(Receipt::new(1, desk.clone()));
    let leaving = window.enter(key(1), Turn(1), 0, &first).await.expect("alone");
    first.complete();

    let handed_on = Hold::of(Receipt::new(2, desk.clone()));
    assert!(!window.join(key(1), Turn(2), &handed_on));
    let next = window.enter(key(1), Turn(2), 0, &handed_on).await.expect("alone");
    handed_on.complete();
    leaving.release();
    assert_eq!(desk.numbers(), [1]);
    next.release();
    assert_eq!(desk.numbers(), [1, 2]);
}

#[tokio::test]
async fn what_comes_back_as_it_is_handed_on_does_not_join_what_leaves_and_older_copies_do() {
    let desk = Arc::new(Heard::default());
    let window = Window::new(10, 1 << 20);
    let receipt = |number| Hold::of(Receipt::new(number, desk.clone()));
    let first = receipt(1);
    let leaving = window.enter(key(1), Turn(2), 0, &first).await.expect("alone");
    first.complete();
    leaving.is_leaving();

    let older = receipt(2);
    assert!(window.join(key(1), Turn(1), &older), "it is safe when this one is");
    older.complete();
    let back = receipt(3);
    assert!(!window.join(key(1), Turn(2), &back), "it is what this one was handed on as");
    let next = window.enter(key(1), Turn(2), 0, &back).await.expect("alone");
    back.complete();
    leaving.release();
    assert_eq!(desk.numbers(), [1]);
    let again = receipt(4);
    assert!(window.join(key(1), Turn(2), &again), "that one stays");
    again.complete();
    next.release();
    assert_eq!(desk.numbers().len(), 4);
}

#[tokio::test]
async fn of_two_copies_of_what_was_handed_on_the_second_joins_the_first() {
    let desk = Arc::new(Heard::default());
    let window = Window::new(10, 1 << 20);
    let receipt = |number| Hold::of(Receipt::new(number, desk.clone()));
    let first = receipt(1);
    let leaving = window.enter(key(1), Turn(1), 0, &first).await.expect("alone");
    first.complete();

    let copy = receipt(2);
    let next = window.enter(key(1), Turn(2), 0, &copy).await.expect("alone");
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
    let window = Window::new(10, 1 << 20);
    let hold = Hold::of(Receipt::new(1, desk.clone()));
    let share = window.enter(key(1), Turn::FIRST, 0, &hold).await.expect("alone");

    drop(hold); // interrupted before the second was offered
    share.release();

    assert!(desk.numbers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_gives_its_receipt_back_early_and_keeps_its_place() {
    let desk = Arc::new(Heard::default());
    let window = Window::new(10, 1 << 20);
    let hold = Hold::of(Receipt::new(7, desk.clone()));
    let slow = window.enter(key(1), Turn::FIRST, 0, &hold).await.expect("alone");
    hold.complete();
    let second = Duration::from_secs(1);
    assert!(window.overstaying(second).is_empty());

    tokio::time::advance(second * 2).await;
    let overstaying = window.overstaying(second);
    assert_eq!(overstaying, [(key(1), Turn::FIRST)]);
    assert_eq!(window.release_early([(key(1), Turn(1))].into_iter()), 0, "not at another turn");
    assert!(desk.numbers().is_empty() && !slow.is_taken_over());
    assert_eq!(window.release_early(overstaying.into_iter()), 1);
    assert_eq!((desk.numbers(), window.occupied()), (vec![7], 1));
    assert!(slow.is_taken_over() && window.holds(key(1)));
    assert!(window.overstaying(second).is_empty(), "it holds nothing any more");

    // Its message again, since the acknowledgement was lost: it joins, and is taken over as well.
    let again = Hold::of(Receipt::new(8, desk.clone()));
    assert!(window.join(key(1), Turn::FIRST, &again));
    again.complete();
    assert_eq!(window.overstaying(second).len(), 1);
    assert_eq!(window.release_early(window.overstaying(second).into_iter()), 1);
    assert_eq!(desk.numbers(), [7, 8]);
    slow.release();
    assert_eq!((desk.numbers(), window.occupied()), (vec![7, 8], 0));
}

#[tokio::test(start_paused = true)]
async fn a_share_that_is_dropped_behind_its_receipt_brings_nothing_back() {
    let desk = Arc::new(Heard::default());
    let window = Window::new(10, 1 << 20);
    let hold = Hold::of(Receipt::new(7, desk.clone()));
    let slow = window.enter(key(1), Turn::FIRST, 0, &hold).await.expect("alone");
    let quick = window.enter(key(2), Turn::FIRST, 0, &hold).await.expect("alone");
    hold.complete();
    tokio::time::advance(Duration::from_secs(2)).await;

    window.release_early([(key(1), Turn::FIRST)].into_iter());
    drop(slow); // the journal knows of it, and brings it back
    assert!(desk.numbers().is_empty(), "the other one is not settled");
    quick.release();
    assert_eq!(desk.numbers(), [7]);
}
