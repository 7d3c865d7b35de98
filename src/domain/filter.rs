//! Which event types an endpoint wants: some by name, some by prefix, or all.
//!
//! A filter is a list of patterns, as it is written in the API: `job.completed` means that type,
//! `job.*` every type that begins with `job.`, and an empty list everything. `*` stands at the end
//! behind a full stop or alone; anything cleverer would have to be explained to every tenant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::event::{EventType, NotAnEventType};

/// What an endpoint wants. Empty means everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter(Vec<Pattern>);

impl Filter {
    /// A filter that wants what any of these patterns matches; everything, when there are none.
    pub fn of(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    /// Whether the filter wants events of this type.
    pub fn wants(&self, event_type: &EventType) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(event_type))
    }

    /// The patterns, in the order they were given.
    pub fn patterns(&self) -> &[Pattern] {
        &self.0
    }
}

/// `job.completed,document.*`, or `everything`.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("everything");
        }
        for (position, pattern) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{pattern}")?;
        }
        Ok(())
    }
}

/// One line of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `*`: every type.
    All,
    /// `job.*`: every type that begins with `job.`; the prefix is kept with its full stop.
    Prefix(Box<str>),
    /// `job.completed`: that type.
    Exact(EventType),
}

impl Pattern {
    /// Whether it matches this type.
    pub fn matches(&self, event_type: &EventType) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => event_type.as_str().starts_with(prefix.as_ref()),
            Self::Exact(wanted) => wanted == event_type,
        }
    }
}

impl FromStr for Pattern {
    type Err = NotAnEventType;

    fn from_str(text: &str) -> Result<Self, NotAnEventType> {
        match text.strip_suffix('*') {
            Some("") => Ok(Self::All),
            Some(prefix) => match prefix.strip_suffix('.') {
                Some(stem) => stem.parse::<EventType>().map(|_| Self::Prefix(prefix.into())),
                None => Err(NotAnEventType::Malformed(text.into())),
            },
            None => text.parse().map(Self::Exact),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(event_type) => event_type.fmt(f),
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(patterns: &[&str], event_type: &str) -> bool {
        let patterns = patterns.iter().map(|p| p.parse().expect("a pattern")).collect();
        Filter::of(patterns).wants(&event_type.parse().expect("a type"))
    }

    #[test]
    fn what_a_filter_wants() {
        let table: &[(&[&str], &str, bool)] = &[
            (&[], "job.completed", true),
            (&["*"], "job.completed", true),
            (&["job.completed"], "job.completed", true),
            (&["job.completed"], "job.completed.late", false),
            (&["job.completed"], "job.complete", false),
            (&["job.*"], "job.completed", true),
            (&["job.*"], "job.step.done", true),
            (&["job.*"], "job", false),
            (&["job.*"], "jobs.created", false),
            (&["document.ready", "job.*"], "job.failed", true),
            (&["document.ready", "job.*"], "process.completed", false),
        ];
        for (patterns, event_type, wanted) in table {
            assert_eq!(wants(patterns, event_type), *wanted, "{patterns:?} {event_type}");
        }
    }

    #[test]
    fn a_star_stands_at_the_end_behind_a_full_stop_or_alone() {
        for text in ["job*", "*.completed", "job.*.done", "job.**", ".*", "**"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
