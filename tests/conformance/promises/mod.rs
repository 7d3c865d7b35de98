//! What a back end promises, as sentences.
//!
//! A promise is held in a house of its own, which is open and empty. It reads as the pipeline would
//! act, and speaks of what any back end can do; where they differ on purpose, it asks the house's
//! character, or the port itself (`is_the_journal`).

pub(crate) mod arriving;
pub(crate) mod away;
pub(crate) mod catalogue;
pub(crate) mod dropped;
pub(crate) mod killed;
pub(crate) mod meanwhile;
pub(crate) mod once;
pub(crate) mod people;
pub(crate) mod turns;
pub(crate) mod waiting;

use futures_util::future::LocalBoxFuture;

use crate::bench::Bench;
use crate::breach::Kept;

/// One of them.
pub(crate) struct Promise {
    pub(crate) sentence: &'static str,
    pub(crate) keep: for<'b> fn(&'b mut Bench) -> LocalBoxFuture<'b, Kept>,
}

impl Promise {
    /// The one of this name.
    pub(crate) fn of(sentence: &str) -> &'static Self {
        let found = ALL.iter().find(|promise| promise.sentence == sentence);
        found.unwrap_or_else(|| panic!("no promise is called {sentence}"))
    }
}

/// The one list of them, for `$then` to make something of.
macro_rules! every_promise {
    ($then:ident [$($about:tt)*]) => {
        $then! { [$($about)*]
            arriving::what_is_published_arrives_byte_for_byte_with_its_fields,
            arriving::events_arrive_in_the_order_of_their_publishing,
            arriving::an_event_that_is_published_twice_is_accepted_once,
            arriving::an_event_twice_in_one_batch_is_new_once,
            arriving::a_cloudevent_is_one_event_by_its_source_and_id_and_keeps_its_attributes,
            arriving::a_known_event_says_how_its_deliveries_stand,
            arriving::publishing_again_says_what_it_can_tell,
            arriving::a_batch_that_stands_and_falls_as_one_is_published_whole_or_not_at_all,
            arriving::what_can_never_be_an_event_is_refused_with_its_whole_batch,
            arriving::nothing_arrives_twice_in_one_life,
            arriving::a_large_backlog_arrives_whole_and_in_order,
            arriving::what_is_in_quarantine_is_kept_and_never_comes_again,
            waiting::a_wait_is_never_early_and_at_most_so_late,
            waiting::a_wait_may_end_within_its_jitter_and_not_before,
            waiting::a_wait_that_is_over_already_ends_at_once,
            waiting::what_waits_carries_all_that_it_had,
            waiting::what_waits_is_released_in_the_order_of_its_due_times,
            waiting::a_delivery_may_wait_again_and_again,
            waiting::many_that_wait_together_all_come_back,
            waiting::postponed_twice_it_is_settled_once,
            turns::an_old_turn_is_refused,
            turns::a_success_at_an_old_turn_is_a_fact,
            turns::what_is_final_stays_as_it_is,
            turns::what_was_handed_on_makes_an_old_copy_drop,
            turns::what_was_never_owed_has_no_standing_and_nothing_to_settle,
            turns::a_request_that_was_made_is_on_record_once,
            dropped::a_dropped_call_of_next_loses_nothing_and_holds_nothing,
            dropped::a_dropped_publish_may_have_happened_and_can_be_repeated,
            dropped::a_dropped_record_is_whole_or_not_at_all,
            dropped::a_dropped_postpone_can_be_repeated,
            killed::what_was_confirmed_survives_a_kill,
            killed::what_was_not_finished_comes_again_after_a_kill_and_what_was_does_not,
            killed::nothing_comes_twice_in_the_life_after_a_kill,
            killed::what_waits_comes_back_after_a_kill,
            killed::what_came_back_and_was_not_settled_comes_back_again,
            killed::killed_between_record_and_ladder_somebody_has_it,
            killed::what_is_on_record_survives_a_kill,
            once::what_is_let_go_is_given_leave_once_and_never_comes_back,
            once::what_was_let_go_ends_as_its_receiver_says_or_stays_unknown,
            once::a_late_success_of_what_was_let_go_is_a_fact,
            once::an_attempt_by_hand_that_is_let_go_is_asked_for_no_more,
            once::what_is_dropped_is_final_and_no_dead_letter,
            meanwhile::what_takes_too_long_is_taken_over_at_its_turn_and_ends_as_it_ends,
            meanwhile::what_was_taken_over_by_a_router_that_died_is_claimed_behind_its_lease,
            meanwhile::what_came_back_from_the_ladder_and_takes_too_long_is_the_routers,
            meanwhile::what_waits_for_a_circuit_is_claimed_when_it_is_due,
            meanwhile::what_waited_for_a_circuit_is_brought_forward_in_its_order_and_apart,
            meanwhile::a_resumed_endpoint_has_back_what_waited_for_its_circuit_too,
            people::what_is_claimed_is_leased_once_and_again_when_the_lease_is_over,
            people::what_is_not_due_is_not_claimed,
            people::what_everybody_has_forgotten_is_claimed,
            people::what_is_paused_waits_for_nobody_until_it_is_recalled,
            people::a_recall_lets_the_old_copies_die,
            people::a_replay_brings_a_dead_letter_back_once,
            people::what_is_cancelled_never_goes_on,
            people::an_attempt_by_hand_delivers_or_moves_nothing,
            people::who_says_that_it_is_gone_is_disabled_with_the_record_of_it,
            catalogue::schemas_are_there_for_who_has_its_events_held_to_them_and_edits_are_noticed,
            away::while_the_store_is_away_calls_wait_or_say_so_and_then_everything_is_there,
            away::what_came_due_while_the_store_was_away_comes_when_it_is_back,
        }
    };
}

macro_rules! table {
    ([] $($room:ident::$sentence:ident,)+) => {
        /// All of them.
        pub(crate) const ALL: &[Promise] = &[$(
            Promise {
                sentence: stringify!($sentence),
                keep: |bench| Box::pin($room::$sentence(bench)),
            },
        )+];
    };
}

every_promise!(table []);

pub(crate) use every_promise;
