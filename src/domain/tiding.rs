//! What operators are told of, and in which words: those that client libraries know.

use super::settlement::Settlement;

/// A kind of tiding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tiding {
    /// An endpoint was disabled, and no person did it.
    EndpointDisabled,
    /// An endpoint has failed for a while and will be disabled if it goes on.
    EndpointFailing,
    /// A delivery was given up.
    AttemptExhausted,
    /// A delivery has failed several times, and goes on.
    AttemptFailing,
    /// A delivery that failed several times was delivered after all.
    AttemptRecovered,
}

/// Which failed attempt of a delivery is told of. The fourth: with the usual schedule, the one behind
/// half an hour.
const FAILING_AT: u32 = 4;

impl Tiding {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::EndpointDisabled,
        Self::EndpointFailing,
        Self::AttemptExhausted,
        Self::AttemptFailing,
        Self::AttemptRecovered,
    ];

    /// The word for it: the type of the event that it becomes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointDisabled => "endpoint.disabled",
            Self::EndpointFailing => "endpoint.failing",
            Self::AttemptExhausted => "message.attempt.exhausted",
            Self::AttemptFailing => "message.attempt.failing",
            Self::AttemptRecovered => "message.attempt.recovered",
        }
    }

    /// What a settlement is worth telling, with the attempts that count behind it.
    pub const fn of(settlement: &Settlement, attempts: u32) -> Option<Self> {
        match settlement {
            Settlement::DeadLetter(_) | Settlement::Drop(_) => Some(Self::AttemptExhausted),
            Settlement::Retry(_) if attempts == FAILING_AT => Some(Self::AttemptFailing),
            Settlement::Delivered if attempts > FAILING_AT => Some(Self::AttemptRecovered),
            Settlement::Delivered
            | Settlement::Retry(_)
            | Settlement::Postpone(..)
            | Settlement::LetGo
            | Settlement::Cancelled
            | Settlement::Unchanged => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::retry::Due;
    use crate::domain::settlement::{DeathReason, Postponed};
    use crate::domain::time::Timestamp;

    #[test]
    fn each_settlement_row_by_row() {
        let due = Due::exactly(Timestamp::from_seconds(1_790_000_000));
        let dead = Settlement::DeadLetter(DeathReason::AttemptsExhausted);
        let table = [
            (dead, 1, Some(Tiding::AttemptExhausted)),
            (Settlement::Retry(due), 3, None),
            (Settlement::Retry(due), 4, Some(Tiding::AttemptFailing)),
            (Settlement::Retry(due), 5, None),
            (Settlement::Delivered, 4, None),
            (Settlement::Delivered, 5, Some(Tiding::AttemptRecovered)),
            (Settlement::Postpone(due, Postponed::Busy), 4, None),
            (Settlement::Cancelled, 4, None),
            (Settlement::Unchanged, 4, None),
        ];
        for (settlement, attempts, tiding) in table {
            assert_eq!(Tiding::of(&settlement, attempts), tiding, "{settlement:?}, {attempts}");
        }
    }
}
