//! The words and signs for how things stand, on all pages of the console alike.

use serde::Serialize;

use crate::console::parts::{Badge, Tone};
use crate::console::text::Text;
use crate::domain::endpoint::{DisabledBecause, EndpointState};
use crate::domain::settings::DeliverySwitch;
use crate::domain::settlement::DeathReason;
use crate::storage::replays::Obstacle;

/// Whether an endpoint is called.
pub(super) const fn endpoint(state: EndpointState) -> Badge {
    match state {
        EndpointState::Active => Badge::new(Tone::Good, "active"),
        EndpointState::Paused => Badge::new(Tone::Warn, "paused"),
        EndpointState::Disabled => Badge::new(Tone::Bad, "disabled"),
    }
}

/// Why one is disabled.
pub(super) const fn because(why: DisabledBecause) -> &'static str {
    match why {
        DisabledBecause::Asked => "somebody has asked for it",
        DisabledBecause::Gone => "it has answered that it is gone (410)",
        DisabledBecause::Failing => "it did nothing but fail for too long",
    }
}

/// Whether an application's deliveries are made.
pub(super) const fn switch(delivery: DeliverySwitch) -> Badge {
    match delivery {
        DeliverySwitch::On => Badge::new(Tone::Good, "on"),
        DeliverySwitch::Hold => Badge::new(Tone::Warn, "on hold"),
        DeliverySwitch::Off => Badge::new(Tone::Bad, "off"),
    }
}

/// Why a delivery was given up.
pub(super) const fn reason(reason: DeathReason) -> &'static str {
    match reason {
        DeathReason::AttemptsExhausted => "all attempts failed",
        DeathReason::Gone => "the receiver is gone",
        DeathReason::Refused => "the receiver refused it",
        DeathReason::Expired => "it was of no use any more",
    }
}

/// How an attempt ended, in words for people: the journal's own word where we have no better.
pub(super) fn outcome(class: &str) -> String {
    let words = match class {
        "success" => "it was accepted",
        "redirect" => "it redirected",
        "gone" => "it is gone",
        "too_many_requests" => "too many requests",
        "client_error" => "it refused the request",
        "server_error" => "it failed itself",
        "odd_status" => "an odd status",
        "timeout" => "no answer in time",
        "dns" => "its name leads nowhere",
        "connect" => "no connection",
        "tls" => "no trusted connection",
        "connection_lost" => "the connection broke",
        "protocol" => "it does not speak HTTP",
        "target_not_allowed" => "its address may not be called",
        "interrupted" => "we were interrupted",
        "internal" => "a fault of ours",
        other => return other.replace('_', " "),
    };
    words.to_owned()
}

/// A failure in words, where none were written down: an answer says by its status alone what was wrong.
pub(super) fn failure(detail: &str, status: u16, class: &str) -> String {
    match (detail.is_empty(), status) {
        (false, _) => detail.to_owned(),
        (true, 0) => outcome(class),
        (true, status) => format!("the receiver answered {status}"),
    }
}

/// What stands in the way of a replay.
pub(super) const fn obstacle(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::EndpointGone => "their endpoint or their application was deleted",
        Obstacle::EndpointDisabled => "their endpoint is disabled: enable it first",
        Obstacle::NoDefaultUrl => "their application has no default URL any more",
        Obstacle::PayloadForgotten => "the payload was deleted",
        Obstacle::Expired => "the event is of no use any more",
    }
}

/// How long something takes, roughly: what a person wants to know before they wait for it.
pub(super) fn roughly(seconds: u64) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A number of bytes in its largest unit.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = UNITS.into_iter().find(|(unit, _)| count >= *unit);
    match fits {
        Some((unit, word)) => {
            let tenths = u128::from(count) * 10 / u128::from(unit);
            format!("{}.{} {word}", tenths / 10, tenths % 10)
        }
        None => format!("{count} bytes"),
    }
}

/// Something of ours as people read it in a file.
pub(super) fn json(value: &impl Serialize) -> Text {
    Text::block(&serde_json::to_string_pretty(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_told_in_its_largest_unit() {
        for (count, told) in
            [(0, "0 bytes"), (1_024, "1.0 KiB"), (1_600_000, "1.5 MiB"), (5 << 30, "5.0 GiB")]
        {
            assert_eq!(bytes(count), told);
        }
    }

    #[test]
    fn a_failure_is_told_although_nobody_wrote_it_down() {
        for (detail, status, class, told) in [
            ("refused by 10.0.0.1", 0, "connect", "refused by 10.0.0.1"),
            ("", 401, "client_error", "the receiver answered 401"),
            ("", 0, "timeout", "no answer in time"),
            ("", 0, "no_attempt", "no attempt"),
        ] {
            assert_eq!(failure(detail, status, class), told);
        }
        for class in crate::domain::outcome::CLASSES {
            assert!(!outcome(class).contains('_'), "{class}");
        }
    }

    #[test]
    fn a_wait_is_told_in_its_largest_unit() {
        for (seconds, told) in [
            (0, "a second"),
            (90, "90 s"),
            (120, "2 min"),
            (7_200, "2 h"),
            (90_000, "25 h"),
            (200_000, "2 days"),
        ] {
            assert_eq!(roughly(seconds), told);
        }
    }
}
