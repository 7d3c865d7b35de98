//! Which dead letters an address or a form means: read out of its fields, and written as fields again for the page behind it.

use std::str::FromStr;

use url::form_urlencoded;

use super::words;
use crate::console::form::Fields;
use crate::console::refusal::Refusal;
use crate::console::text::Text;
use crate::control::dead_letters::Which;
use crate::domain::settlement::DeathReason;
use crate::storage::dead_letters::DeadLetterGroup;

/// What groups are told apart by.
const BY_KIND: [&str; 5] = ["application", "endpoint", "why", "status", "error"];
/// What lists are searched by, besides.
const BESIDES: [&str; 6] = ["type", "subject", "text", "since", "until", "id"];

/// Which are meant.
///
/// # Errors
/// `Invalid` for what cannot be read, in its own words.
pub(super) fn which(fields: &Fields) -> Result<Which, Refusal> {
    Ok(Which {
        event_type: text(fields, "type"),
        subject: text(fields, "subject"),
        text: text(fields, "text"),
        since: read(fields, "since")?,
        until: read(fields, "until")?,
        ids: fields.one("id").map(str::to_owned).into_iter().collect(),
        ..by_kind(fields)?
    })
}

/// The same of what groups are told apart by, and of nothing else.
///
/// # Errors
/// As [`which`].
pub(super) fn by_kind(fields: &Fields) -> Result<Which, Refusal> {
    Ok(Which {
        application: text(fields, "application"),
        endpoint: text(fields, "endpoint"),
        reason: reason(fields)?,
        status: read(fields, "status")?,
        error: read(fields, "error")?,
        ..Which::default()
    })
}

/// What of an address says which are meant, as the query of another.
pub(super) fn query(fields: &Fields) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs(fields));
    text.finish()
}

/// The same as fields of a form.
pub(super) fn hidden(fields: &Fields) -> Vec<(&'static str, Text)> {
    pairs(fields).map(|(name, value)| (name, Text::typed(value))).collect()
}

/// In a sentence: what is meant, as it is said.
pub(super) fn told(fields: &Fields) -> Text {
    let said: Vec<_> = pairs(fields)
        .map(|(name, value)| match name {
            "why" => {
                let known = DeathReason::ALL.into_iter().find(|reason| reason.as_str() == value);
                match known {
                    Some(reason) => format!("given up because {}", words::reason(reason)),
                    None => format!("given up because {value}"),
                }
            }
            "error" => format!("the last attempt: {}", words::outcome(value)),
            "status" if value == "0" => "the last answer: none".to_owned(),
            "status" => format!("the last answer: {value}"),
            _ => format!("{name} {value}"),
        })
        .collect();
    if said.is_empty() { Text::line("every dead letter") } else { Text::line(&said.join(", ")) }
}

/// Whether nothing is said at all.
pub(super) fn is_all(fields: &Fields) -> bool {
    pairs(fields).next().is_none()
}

fn pairs(fields: &Fields) -> impl Iterator<Item = (&'static str, &str)> {
    let names = BY_KIND.into_iter().chain(BESIDES);
    names.filter_map(|name| fields.one(name).map(|value| (name, value)))
}

/// A group's own query: it and no other is meant by it.
pub(super) fn of_group(group: &DeadLetterGroup) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.append_pair("application", &group.application.to_string());
    text.append_pair("endpoint", &group.endpoint.to_string());
    text.append_pair("why", group.reason.as_str());
    text.append_pair("status", &group.last_status.to_string());
    text.append_pair("error", &group.last_outcome);
    text.finish()
}

/// The reasons that can be chosen: the word in the address, and the words for people.
pub(super) fn reasons() -> [(&'static str, &'static str); DeathReason::ALL.len()] {
    DeathReason::ALL.map(|reason| (reason.as_str(), words::reason(reason)))
}

fn text(fields: &Fields, name: &str) -> Option<String> {
    fields.one(name).map(str::to_owned)
}

fn reason(fields: &Fields) -> Result<Option<DeathReason>, Refusal> {
    let Some(wanted) = fields.one("why") else { return Ok(None) };
    let known = DeathReason::ALL.into_iter().find(|reason| reason.as_str() == wanted);
    known.map(Some).ok_or_else(|| {
        let words = DeathReason::ALL.map(DeathReason::as_str).join(", ");
        Refusal::Invalid(format!("`{wanted}` is no reason: one of {words} is accepted."))
    })
}

/// A field of an address, read.
///
/// # Errors
/// `Invalid`, in the words of what it cannot be read as.
pub(super) fn read<T: FromStr<Err: std::fmt::Display>>(
    fields: &Fields,
    name: &str,
) -> Result<Option<T>, Refusal> {
    let Some(text) = fields.one(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| Refusal::Invalid(format!("{name}: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_read_and_written_again() {
        let fields =
            Fields::read(b"application=acme&why=gone&status=5xx&after=3&text=x%26y&done=z");
        let read = which(&fields).expect("a search");
        assert_eq!(read.application.as_deref(), Some("acme"));
        assert_eq!(read.reason, Some(DeathReason::Gone));
        assert_eq!(query(&fields), "application=acme&why=gone&status=5xx&text=x%26y");
        assert_eq!(
            told(&fields).as_str(),
            "application acme, given up because the receiver is gone, the last answer: 5xx, text x&y"
        );
        assert_eq!(hidden(&fields).len(), 4);
        assert!(is_all(&Fields::read(b"after=3")) && !is_all(&fields));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for wrong in ["why=tired", "status=700", "error=slow", "since=yesterday"] {
            assert!(which(&Fields::read(wrong.as_bytes())).is_err(), "{wrong}");
        }
    }
}
