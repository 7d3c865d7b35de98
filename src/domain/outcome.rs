//! What can happen on the wire, and what each of it means: one table.
//!
//! A failed request is not an error of ours, it is an [`Outcome`]: data about the other side, kept
//! in the journal and judged here and nowhere else. The question that the table answers is *whose
//! doing was it*: theirs costs an attempt, ours never does.

use std::time::Duration;

use super::breaker::Health;
use super::time::Timestamp;

/// How one HTTP request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A head came back. The status decides, whatever then happened to the body.
    Answered {
        /// The status code.
        status: u16,
        /// When the receiver asked us to come back, if it did.
        retry_after: Option<RetryAfter>,
    },
    /// No head within the deadline.
    TimedOut,
    /// The name did not resolve.
    DnsFailed,
    /// No connection could be made.
    ConnectFailed,
    /// A connection was made, but TLS was refused by one side.
    TlsFailed,
    /// The connection ended before a head came.
    ConnectionLost,
    /// What came back was not HTTP.
    ProtocolError,
    /// Policy forbids the address; nothing was sent.
    TargetNotAllowed,
    /// We stopped before the answer: shutdown.
    Interrupted,
    /// We could not make the request at all, and that is our fault.
    Internal,
    /// It was let go, and how it ended is not known: it may still be on the way, or we died with it.
    Unknown,
}

/// What `Retry-After` may say (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// So long from now.
    In(Duration),
    /// Not before this moment.
    At(Timestamp),
}

/// What an outcome means for the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The receiver has it.
    Delivered,
    /// Theirs: costs an attempt, and trying again may help.
    Failed,
    /// The receiver is gone for good (410): trying again is unwelcome.
    Gone,
    /// Theirs, and its policy says that trying again is no use.
    Refused,
    /// Ours: costs nothing, tried again.
    NotTheirDoing,
}

/// What an outcome says about its whole endpoint, beyond the one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    /// How fast it wants to be called.
    pub pressure: Pressure,
    /// Whether it works at all.
    pub health: Health,
}

impl Sign {
    /// Nothing.
    pub const NONE: Self = Self { pressure: Pressure::Unsaid, health: Health::Unsaid };
}

/// What an outcome says about how fast its endpoint wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// It keeps up.
    Eased,
    /// It did not keep up with what it was sent.
    Overrun,
    /// It wants to be called less, and not before this moment, if it named one.
    SlowDown(Option<RetryAfter>),
    /// Nothing.
    Unsaid,
}

impl Outcome {
    /// The table, where a policy has no word of its own ([`judge`](super::policy::Policy::judge)).
    pub const fn meaning(&self) -> Meaning {
        match self {
            Self::Answered { status: 200..=299, .. } => Meaning::Delivered,
            Self::Answered { status: 410, .. } => Meaning::Gone,
            // Redirects are not followed: the URL has to be mended, and until then it fails.
            Self::Answered { .. }
            | Self::TimedOut
            | Self::DnsFailed
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::ConnectionLost
            | Self::ProtocolError
            // The address is the endpoint's doing, also when it changes under us.
            | Self::TargetNotAllowed => Meaning::Failed,
            Self::Interrupted | Self::Internal | Self::Unknown => Meaning::NotTheirDoing,
        }
    }

    /// The status code; 0 when no answer came.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Answered { status, .. } => *status,
            Self::TimedOut
            | Self::DnsFailed
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::ConnectionLost
            | Self::ProtocolError
            | Self::TargetNotAllowed
            | Self::Interrupted
            | Self::Internal
            | Self::Unknown => 0,
        }
    }

    /// When the receiver asked us to come back. Only one that has failed is asking us.
    pub const fn retry_after(&self) -> Option<RetryAfter> {
        match self {
            Self::Answered { retry_after, .. } => *retry_after,
            Self::TimedOut
            | Self::DnsFailed
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::ConnectionLost
            | Self::ProtocolError
            | Self::TargetNotAllowed
            | Self::Interrupted
            | Self::Internal
            | Self::Unknown => None,
        }
    }

    /// What it says about the whole endpoint, beyond the one delivery, where it means this.
    pub const fn sign(&self, meaning: Meaning) -> Sign {
        Sign { pressure: self.pressure(meaning), health: self.health(meaning) }
    }

    /// What its policy takes as a success eases, whatever the status. Else 429 and 503 ask for less by their meaning
    /// (RFC 6585 §4, RFC 9110 §15.6.4), 502 and 504 are what gateways answer for a receiver that is overrun; a
    /// `Retry-After` asks for it beside any other refusal. Who gives no answer in time has too much to do.
    const fn pressure(&self, meaning: Meaning) -> Pressure {
        match self {
            Self::Answered { .. } if matches!(meaning, Meaning::Delivered) => Pressure::Eased,
            Self::Answered { status: 429 | 502 | 503 | 504, retry_after } => {
                Pressure::SlowDown(*retry_after)
            }
            Self::Answered { retry_after: Some(moment), .. } => Pressure::SlowDown(Some(*moment)),
            Self::TimedOut => Pressure::Overrun,
            Self::Answered { retry_after: None, .. }
            | Self::DnsFailed
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::ConnectionLost
            | Self::ProtocolError
            | Self::TargetNotAllowed
            | Self::Interrupted
            | Self::Internal
            | Self::Unknown => Pressure::Unsaid,
        }
    }

    /// A 5xx is the server's word that it fails (RFC 9110 §15.6); who gives no HTTP answer at all is no better. A 4xx
    /// is about the one request, and 429 about how many there are: who says that is well enough to say it.
    const fn health(&self, meaning: Meaning) -> Health {
        match self {
            Self::Answered { .. } if matches!(meaning, Meaning::Delivered) => Health::Well,
            Self::Answered { status: 500..=599, .. }
            | Self::TimedOut
            | Self::DnsFailed
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::ConnectionLost
            | Self::ProtocolError => Health::Sick,
            Self::Answered { .. }
            | Self::TargetNotAllowed
            | Self::Interrupted
            | Self::Internal
            | Self::Unknown => Health::Unsaid,
        }
    }

    /// One word for each kind: a metric label, a log field and a journal column.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Answered { status: 200..=299, .. } => "success",
            Self::Answered { status: 300..=399, .. } => "redirect",
            Self::Answered { status: 410, .. } => "gone",
            Self::Answered { status: 429, .. } => "too_many_requests",
            Self::Answered { status: 400..=499, .. } => "client_error",
            Self::Answered { status: 500..=599, .. } => "server_error",
            Self::Answered { .. } => "odd_status",
            Self::TimedOut => "timeout",
            Self::DnsFailed => "dns",
            Self::ConnectFailed => "connect",
            Self::TlsFailed => "tls",
            Self::ConnectionLost => "connection_lost",
            Self::ProtocolError => "protocol",
            Self::TargetNotAllowed => "target_not_allowed",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        }
    }
}

/// Every word that [`Outcome::class`] can say: the closed set of the metric label.
pub const CLASSES: [&str; 17] = [
    "success",
    "redirect",
    "gone",
    "too_many_requests",
    "client_error",
    "server_error",
    "odd_status",
    "timeout",
    "dns",
    "connect",
    "tls",
    "connection_lost",
    "protocol",
    "target_not_allowed",
    "interrupted",
    "internal",
    "unknown",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after: None }
    }

    #[test]
    fn each_outcome_row_by_row() {
        use Meaning::{Delivered, Failed, Gone, NotTheirDoing};
        let table = [
            (answered(200), Delivered, "success", 200),
            (answered(204), Delivered, "success", 204),
            (answered(299), Delivered, "success", 299),
            (answered(199), Failed, "odd_status", 199),
            (answered(301), Failed, "redirect", 301),
            (answered(304), Failed, "redirect", 304),
            (answered(400), Failed, "client_error", 400),
            (answered(401), Failed, "client_error", 401),
            (answered(404), Failed, "client_error", 404),
            (answered(408), Failed, "client_error", 408),
            (answered(410), Gone, "gone", 410),
            (answered(429), Failed, "too_many_requests", 429),
            (answered(500), Failed, "server_error", 500),
            (answered(503), Failed, "server_error", 503),
            (answered(599), Failed, "server_error", 599),
            (answered(600), Failed, "odd_status", 600),
            (Outcome::TimedOut, Failed, "timeout", 0),
            (Outcome::DnsFailed, Failed, "dns", 0),
            (Outcome::ConnectFailed, Failed, "connect", 0),
            (Outcome::TlsFailed, Failed, "tls", 0),
            (Outcome::ConnectionLost, Failed, "connection_lost", 0),
            (Outcome::ProtocolError, Failed, "protocol", 0),
            (Outcome::TargetNotAllowed, Failed, "target_not_allowed", 0),
            (Outcome::Interrupted, NotTheirDoing, "interrupted", 0),
            (Outcome::Internal, NotTheirDoing, "internal", 0),
        ];
        for (outcome, meaning, class, status) in table {
            assert_eq!(outcome.meaning(), meaning, "{outcome:?}");
            assert_eq!(outcome.class(), class, "{outcome:?}");
            assert_eq!(outcome.status(), status, "{outcome:?}");
            assert!(CLASSES.contains(&class), "{class} is in the closed set");
        }
    }

    #[test]
    fn what_an_end_says_of_the_whole_endpoint_row_by_row() {
        use Health::{Sick, Well};
        use Pressure::{Eased, Overrun, SlowDown};
        let wait = Some(RetryAfter::In(Duration::from_secs(7)));
        let with = |status, retry_after| Outcome::Answered { status, retry_after };
        let table = [
            (with(200, None), Eased, Well),
            (with(204, wait), Eased, Well),
            (with(429, None), SlowDown(None), Health::Unsaid),
            (with(429, wait), SlowDown(wait), Health::Unsaid),
            (with(502, None), SlowDown(None), Sick),
            (with(503, wait), SlowDown(wait), Sick),
            (with(504, None), SlowDown(None), Sick),
            (with(500, None), Pressure::Unsaid, Sick),
            (with(500, wait), SlowDown(wait), Sick),
            (with(301, wait), SlowDown(wait), Health::Unsaid),
            (with(404, None), Pressure::Unsaid, Health::Unsaid),
            (Outcome::TimedOut, Overrun, Sick),
            (Outcome::ConnectFailed, Pressure::Unsaid, Sick),
            (Outcome::TargetNotAllowed, Pressure::Unsaid, Health::Unsaid),
            (Outcome::Interrupted, Pressure::Unsaid, Health::Unsaid),
        ];
        for (outcome, pressure, health) in table {
            assert_eq!(outcome.sign(outcome.meaning()), Sign { pressure, health }, "{outcome:?}");
        }
    }

    #[test]
    fn whether_it_eases_is_its_policys_word_and_not_the_statuss() {
        let wait = Some(RetryAfter::In(Duration::from_secs(7)));
        let with = |status| Outcome::Answered { status, retry_after: wait };
        let well = Sign { pressure: Pressure::Eased, health: Health::Well };
        assert_eq!(with(302).sign(Meaning::Delivered), well);
        assert_eq!(with(503).sign(Meaning::Delivered), well);
        assert_eq!(with(202).sign(Meaning::Failed).pressure, Pressure::SlowDown(wait));
        assert_eq!(with(202).retry_after(), wait, "to whoever takes it for a failure");
    }
}
