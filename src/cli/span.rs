//! Times as people type them: `2h`, `7d`, or an RFC 3339 moment.

use std::str::FromStr;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// A moment, or a distance from now in a direction that the flag decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// That moment.
    At(Timestamp),
    /// So far from now.
    Distance(Duration),
}

impl When {
    /// The moment, with distances reaching back.
    pub(super) fn back_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::Distance(distance) => now - distance,
        }
    }

    /// The moment, with distances reaching ahead.
    pub(super) fn ahead_of(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::Distance(distance) => now + distance,
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text.parse(), span(text)) {
            (Ok(moment), _) => Ok(Self::At(moment)),
            (Err(_), Ok(distance)) => Ok(Self::Distance(distance)),
            (Err(_), Err(_)) => Err(format!(
                "`{text}` is not a time: an RFC 3339 time with a zone, or a span as 30s, 5m, 2h, \
                 7d is accepted"
            )),
        }
    }
}

/// A span: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        "d" => 24 * 60 * 60 * 1_000,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|_| unit_ms > 0)
        .and_then(|number| number.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            format!("`{text}` is not a span: a number with ms, s, m, h or d is accepted")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    #[test]
    fn a_span_is_a_number_with_a_unit() {
        let table = [
            ("500ms", 500),
            ("0s", 0),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ];
        for (text, ms) in table {
            assert_eq!(span(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1.5h", "5 m", "1y", "99999999999999999999d", "1h30m"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_a_moment_or_a_span_in_the_direction_that_is_asked_for() {
        let when = |text: &str| text.parse::<When>().expect("a time");

        assert_eq!(when("2h").back_from(NOW), NOW - Duration::from_hours(2));
        assert_eq!(when("2h").ahead_of(NOW), NOW + Duration::from_hours(2));
        let moment = "2026-09-21T14:13:20Z";
        assert_eq!(when(moment).back_from(NOW), when(moment).ahead_of(NOW));
        assert!("yesterday".parse::<When>().is_err());
        assert!("2026-09-21T14:13:20".parse::<When>().is_err(), "no zone");
    }
}
