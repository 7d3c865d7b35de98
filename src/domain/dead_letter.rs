//! What dead letters are told apart by, as people say it: a status or its class, and a last outcome.
//!
//! Both are read at the edge and cannot be wrong afterwards. Which dead letters a whole filter matches is for
//! the stores to say, which have an index for each of these.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

use super::outcome::{CLASSES, Outcome};

/// Which last statuses: `503`, a class as `5xx`, or `0` where no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusIs {
    /// This one; 0 for no answer.
    Code(u16),
    /// All whose first digit it is.
    Class(u8),
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no status: a code from 100 to 599, a class as `5xx`, or `0` for no answer is accepted"
)]
pub struct NotAStatus(String);

impl StatusIs {
    /// Whether this status is meant.
    pub const fn matches(self, status: u16) -> bool {
        let (first, last) = self.span();
        first <= status && status <= last
    }

    /// The first and the last code that are meant.
    pub const fn span(self) -> (u16, u16) {
        match self {
            Self::Code(code) => (code, code),
            Self::Class(digit) => (digit as u16 * 100, digit as u16 * 100 + 99),
        }
    }
}

impl fmt::Display for StatusIs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => code.fmt(f),
            Self::Class(digit) => write!(f, "{digit}xx"),
        }
    }
}

impl FromStr for StatusIs {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        let refused = || NotAStatus(text.into());
        match text.as_bytes() {
            [b'0'] => Ok(Self::Code(0)),
            [digit @ b'1'..=b'5', b'x', b'x'] => Ok(Self::Class(digit - b'0')),
            [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => {
                text.parse().map(Self::Code).map_err(|_| refused())
            }
            _ => Err(refused()),
        }
    }
}

impl Serialize for StatusIs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StatusIs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The word where there was no attempt: given up before the first.
pub const NO_ATTEMPT: &str = "none";

/// How an attempt ended, in the word that its tenant is told, by the URL that it went to: whether a name leads to
/// an address inside or to none is nothing that it should be able to find out by asking us. What its URL says
/// outright it knows.
pub fn told<'a>(class: &'a str, url: &str) -> &'a str {
    let by_name = || Url::parse(url).is_ok_and(|url| matches!(url.host(), Some(Host::Domain(_))));
    if class == Outcome::TargetNotAllowed.class() && by_name() {
        return Outcome::DnsFailed.class();
    }
    class
}

/// How a last attempt ended, in one of the words of [`Outcome::class`](super::outcome::Outcome::class), or
/// [`NO_ATTEMPT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorIs(&'static str);

/// A text that is none of the words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no way for an attempt to end: one of {words}, {NO_ATTEMPT} is accepted", words = CLASSES.join(", "))]
pub struct NotAnError(String);

impl ErrorIs {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ErrorIs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for ErrorIs {
    type Err = NotAnError;

    fn from_str(text: &str) -> Result<Self, NotAnError> {
        let known = CLASSES.into_iter().chain([NO_ATTEMPT]).find(|word| *word == text);
        known.map(Self).ok_or_else(|| NotAnError(text.into()))
    }
}

impl Serialize for ErrorIs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for ErrorIs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_code_a_class_or_no_answer() {
        let table: [(&str, u16, bool); 8] = [
            ("503", 503, true),
            ("503", 500, false),
            ("5xx", 500, true),
            ("5xx", 599, true),
            ("5xx", 499, false),
            ("5xx", 600, false),
            ("0", 0, true),
            ("0", 100, false),
        ];
        for (text, status, meant) in table {
            let is: StatusIs = text.parse().expect("a status");
            assert_eq!(is.matches(status), meant, "{text} {status}");
            assert_eq!(is.to_string(), text);
        }
        for text in [
            "",
            "5",
            "50",
            "0xx",
            "5XX",
            "5xy",
            "6xx",
            "9xx",
            "600",
            "999",
            "1000",
            "+50",
            "-1",
            "５００",
        ] {
            assert!(text.parse::<StatusIs>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_is_one_of_the_words_and_the_refusal_names_them() {
        for word in CLASSES.into_iter().chain([NO_ATTEMPT]) {
            assert_eq!(word.parse::<ErrorIs>().map(ErrorIs::as_str), Ok(word));
        }
        let refused = "timed_out".parse::<ErrorIs>().expect_err("no such word").to_string();
        assert!(refused.contains("`timed_out`") && refused.contains("timeout"), "{refused}");
    }
}
