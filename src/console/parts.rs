//! Small pieces that many pages show, each writing its own markup: a moment, a badge, a circuit.
//!
//! They are the only things here that write markup themselves, and they write nothing of outside into it.

use std::fmt;

use askama::filters::HtmlSafe;

use crate::domain::breaker::Tripped;
use crate::domain::time::Timestamp;

/// A moment: in UTC as it is, and by a script in the reader's own zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct When(pub(super) Timestamp);

impl When {
    /// To the second, with its zone: what is read without a script, and where no markup may stand.
    pub(super) fn plain(self) -> String {
        let exact = self.0.to_string();
        let read = exact.get(..19).map(|text| text.replace('T', " ")).unwrap_or_default();
        format!("{read} UTC")
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<time datetime=\"{}\">{}</time>", self.0, self.plain())
    }
}

impl HtmlSafe for When {}

/// Why an endpoint is left alone for now, in a sentence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circuit(Tripped);

impl Circuit {
    /// Of one whose circuit is like this.
    pub(super) const fn of(tripped: Tripped) -> Self {
        Self(tripped)
    }
}

impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = When(self.0.since);
        match self.0.until.map(When) {
            Some(until) => write!(
                f,
                "It does nothing but fail: its circuit is open since {since}, and no request is made to it before {until}. \
                 What it is owed waits, and that costs no attempt."
            ),
            None => write!(
                f,
                "It did nothing but fail since {since}, and is taking requests again: a few at first, and more with each \
                 that succeeds."
            ),
        }
    }
}

impl HtmlSafe for Circuit {}

/// How something stands: a sign, a word and a colour, so that no colour is needed to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Badge {
    tone: Tone,
    word: &'static str,
}

/// What a badge's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// It waits, or somebody should look at it some day.
    Warn,
    /// It has failed.
    Bad,
    /// Nothing of these.
    Plain,
}

impl Badge {
    /// This word in this tone.
    pub(super) const fn new(tone: Tone, word: &'static str) -> Self {
        Self { tone, word }
    }

    /// A delivery, by the word for how it stands (`DeliveryEntry::state`).
    pub(super) const fn delivery(state: &'static str) -> Self {
        let tone = match state.as_bytes() {
            b"delivered" => Tone::Good,
            b"pending" | b"sending" => Tone::Busy,
            b"waiting" | b"unknown" => Tone::Warn,
            b"dead" => Tone::Bad,
            _ => Tone::Plain,
        };
        Self { tone, word: state }
    }
}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, sign) = match self.tone {
            Tone::Good => ("good", "✓"),
            Tone::Busy => ("busy", "→"),
            Tone::Warn => ("warn", "!"),
            Tone::Bad => ("bad", "✕"),
            Tone::Plain => ("plain", "·"),
        };
        write!(
            f,
            "<span class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {}</span>",
            self.word
        )
    }
}

impl HtmlSafe for Badge {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_to_the_second_and_kept_to_the_millisecond() {
        let shown = When(Timestamp::from_millis(1_787_307_072_345)).to_string();
        assert_eq!(
            shown,
            "<time datetime=\"2026-08-21T10:11:12.345Z\">2026-08-21 10:11:12 UTC</time>"
        );
    }
}
