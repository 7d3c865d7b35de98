//! Back ends that break a promise on purpose, and the promise that has to notice: a suite that passes
//! everything is no suite.
//!
//! Each is the back end in memory with one mistake in front of it ([`Mistake`](mistakes::Mistake)). The
//! same promise is held without the mistake beside it, so that it is the mistake that is noticed. What else
//! it breaks is its own affair.

mod mistakes;
mod ports;

use crate::house::House;
use crate::kept;
use crate::promises::Promise;
use crate::subjects::memory;
use mistakes::{Mistake, Mistaken};

/// Which shape of the back end makes the mistake.
#[derive(Debug, Clone, Copy)]
enum Shape {
    OneStore,
    Broker,
}

async fn sound(shape: Shape) -> Box<dyn House> {
    match shape {
        Shape::OneStore => memory::one_store().await,
        Shape::Broker => memory::broker().await,
    }
}

/// Holds that the mistake is noticed by this promise, in these words.
async fn is_noticed(mistake: Mistake, shape: Shape, sentence: &str, words: &str) {
    let promise = Promise::of(sentence);
    let without = Box::new(Mistaken { house: sound(shape).await, mistake: Mistake::None });
    let with = Box::new(Mistaken { house: sound(shape).await, mistake });

    let (found, breach) = tokio::join!(kept(promise, without), kept(promise, with));

    assert!(found.is_ok(), "{sentence} without a mistake: {found:?}");
    let breach = breach.expect_err("the mistake passes unnoticed");
    assert!(breach.to_string().contains(words), "another breach than meant: {breach}");
}

macro_rules! noticed {
    ($($test:ident: $mistake:ident, $shape:ident, $sentence:ident, $words:literal;)+) => {
        $(
            #[tokio::test]
            async fn $test() {
                let sentence = stringify!($sentence);
                is_noticed(Mistake::$mistake, Shape::$shape, sentence, $words).await;
            }
        )+
    };
}

noticed! {
    an_acknowledgement_before_the_record: GivesBackAtOnce, Broker,
        what_was_not_finished_comes_again_after_a_kill_and_what_was_does_not, "nothing arrived";
    a_confirm_before_the_event_is_written: AnswersBeforeItPublishes, OneStore,
        what_was_confirmed_survives_a_kill, "nothing arrived";
    a_batch_that_is_published_by_halves: PublishesHalf, OneStore,
        a_batch_that_stands_and_falls_as_one_is_published_whole_or_not_at_all, "is awaited";
    an_answer_before_the_settlement_is_written: AnswersBeforeItRecords, OneStore,
        killed_between_record_and_ladder_somebody_has_it, "an event came instead";
    an_answer_before_it_is_written_beside_a_broker: AnswersBeforeItRecords, Broker,
        killed_between_record_and_ladder_somebody_has_it, "the copy that came again";
    an_early_release: ReleasesEarly, OneStore,
        a_wait_is_never_early_and_at_most_so_late, "early";
    an_early_release_of_a_broker: ReleasesEarly, Broker,
        a_wait_is_never_early_and_at_most_so_late, "early";
    an_early_release_within_the_jitter: ReleasesEarly, OneStore,
        a_wait_may_end_within_its_jitter_and_not_before, "early";
    a_late_release: ReleasesLate, Broker,
        a_wait_is_never_early_and_at_most_so_late, "late by";
    a_lost_postpone: LosesWhatWaits, OneStore,
        a_wait_is_never_early_and_at_most_so_late, "nothing arrived";
    a_lost_postpone_of_a_broker: LosesWhatWaits, Broker,
        what_waits_comes_back_after_a_kill, "nothing arrived";
    a_forgotten_fence: ForgetsTheFence, OneStore,
        an_old_turn_is_refused, "settling an old turn";
    a_leave_for_everyone: ForgetsTheFence, OneStore,
        what_is_let_go_is_given_leave_once_and_never_comes_back, "leave for";
    a_copy_that_is_settled_twice: ForgetsTheFence, Broker,
        postponed_twice_it_is_settled_once, "settling";
    events_out_of_order: HandsOutInPairs, OneStore,
        events_arrive_in_the_order_of_their_publishing, "is awaited";
    deliveries_out_of_order: HandsOutInPairs, Broker,
        what_waits_is_released_in_the_order_of_its_due_times, "the next due";
    an_event_that_arrives_twice: HandsOutTwice, OneStore,
        nothing_arrives_twice_in_one_life, "is awaited";
    an_arrival_that_is_lost_with_a_dropped_call: LosesDroppedCalls, OneStore,
        a_dropped_call_of_next_loses_nothing_and_holds_nothing, "arrived";
    a_record_in_two_steps: RecordsInTwoSteps, OneStore,
        a_dropped_record_is_whole_or_not_at_all, "half of it";
    a_quarantine_that_keeps_nothing: KeepsNothingInQuarantine, OneStore,
        what_is_in_quarantine_is_kept_and_never_comes_again, "it is in quarantine";
    a_store_that_hides_its_absence: SaysYesWhileAway, Broker,
        while_the_store_is_away_calls_wait_or_say_so_and_then_everything_is_there,
        "nothing arrived";
    a_lease_for_everyone: ClaimsWithoutALease, OneStore,
        what_is_claimed_is_leased_once_and_again_when_the_lease_is_over, "claimed";
}
