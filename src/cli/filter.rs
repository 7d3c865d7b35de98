//! Which dead letters: the flags that every command has that is about some of them, in both of the forms
//! that the API takes them in. All that is given holds together.

use std::io::{BufRead as _, Read as _};

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::Path;
use super::exit::{Short, Usage};
use super::span::When;
use crate::control::dead_letters::IDS_MAX;
use crate::domain::dead_letter::{ErrorIs, StatusIs};
use crate::domain::id::DeliveryId;
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;

/// Most bytes of a file of ids: as many as the API takes in one body, each on a line with some room.
const ID_FILE_BYTES_MAX: u64 = 1_024 * 1_024;

/// Which dead letters.
#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    #[command(flatten)]
    kind: KindArgs,
    /// Of this event type, or of those that begin so, as 'job.*'
    #[arg(long = "type", value_name = "PATTERN")]
    event_type: Option<String>,
    /// About this, as a job's id
    #[arg(long)]
    subject: Option<String>,
    /// With this in their subject, event type or last failure
    #[arg(long)]
    text: Option<String>,
    /// Given up since: RFC 3339, or a span back as 2h
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Given up before: RFC 3339, or a span back as 30m
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
}

/// Which kinds of dead letters: what groups of them are told apart by.
#[derive(Debug, Args)]
pub(super) struct KindArgs {
    /// Of this application (id or uid); an application's own token reaches its own alone
    #[arg(long)]
    app: Option<String>,
    /// For this endpoint: its id, or its uid together with --app
    #[arg(long)]
    endpoint: Option<String>,
    /// Given up because: `attempts_exhausted`, `gone`, `refused` or `expired`
    #[arg(long, value_parser = reason)]
    reason: Option<DeathReason>,
    /// With this last status, as 503, or one of this hundred, as 5xx; 0 is no answer
    #[arg(long)]
    status: Option<StatusIs>,
    /// Whose last attempt ended so, as `timeout`, `tls` or `connect`; `none` when there was none
    #[arg(long, value_name = "WORD")]
    error: Option<ErrorIs>,
}

/// Which deliveries by name.
#[derive(Debug, Args)]
pub(super) struct IdArgs {
    /// Only these deliveries (dlv_…)
    #[arg(value_name = "DELIVERY")]
    pub(super) ids: Vec<DeliveryId>,
    /// And those whose ids are in this file, one on a line ('-' for standard input)
    #[arg(long, value_name = "FILE")]
    pub(super) id_file: Option<String>,
}

impl KindArgs {
    /// Of which application.
    pub(super) fn app(&self) -> Option<&str> {
        self.app.as_deref()
    }

    /// The path with these as parameters.
    pub(super) fn on(&self, path: Path) -> Path {
        path.with("endpointId", self.endpoint.as_ref())
            .with("reason", self.reason.map(DeathReason::as_str))
            .with("status", self.status)
            .with("error", self.error)
    }
}

impl FilterArgs {
    /// Of which application.
    pub(super) fn app(&self) -> Option<&str> {
        self.kind.app()
    }

    /// The path with these as parameters.
    pub(super) fn on(&self, path: Path, now: Timestamp) -> Path {
        self.kind
            .on(path)
            .with("eventType", self.event_type.as_ref())
            .with("subject", self.subject.as_ref())
            .with("text", self.text.as_ref())
            .with("since", self.since.map(|when| when.back_from(now)))
            .with("until", self.until.map(|when| when.back_from(now)))
    }

    /// These as an object of a body.
    pub(super) fn body(&self, ids: &[DeliveryId], now: Timestamp) -> Map<String, Value> {
        let mut filter = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            filter.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("ids", (!ids.is_empty()).then(|| json!(ids)));
        put("endpointId", self.kind.endpoint.as_ref().map(|text| json!(text)));
        put("eventType", self.event_type.as_ref().map(|text| json!(text)));
        put("reason", self.kind.reason.map(|reason| json!(reason.as_str())));
        put("status", self.kind.status.map(|status| json!(status)));
        put("error", self.kind.error.map(|error| json!(error)));
        put("subject", self.subject.as_ref().map(|text| json!(text)));
        put("text", self.text.as_ref().map(|text| json!(text)));
        put("since", self.since.map(|when| json!(when.back_from(now))));
        put("until", self.until.map(|when| json!(when.back_from(now))));
        filter
    }
}

impl IdArgs {
    /// All of them, each once.
    ///
    /// # Errors
    /// When the file cannot be read, or a line of it is no delivery's id; when there are too many, or none.
    pub(super) fn all(self) -> Result<Vec<DeliveryId>, Usage> {
        let mut ids = self.ids;
        if let Some(path) = &self.id_file {
            ids.extend(listed(path)?);
        }
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > IDS_MAX {
            return Err(Usage(format!(
                "{} deliveries are named: {IDS_MAX} are accepted at once; a filter takes any number",
                ids.len()
            )));
        }
        Ok(ids)
    }
}

/// What to say of those that were named and are not among what was found (`matched`), if any.
pub(super) fn unknown(named: usize, matched: Option<u64>) -> Option<String> {
    let named = u64::try_from(named).expect("at most ten thousand");
    let unknown = named.saturating_sub(matched?);
    let are = match unknown {
        0 => return None,
        1 => "is",
        _ => "are",
    };
    Some(format!("{unknown} of {named} {are} no dead letter (any more), or not one of these"))
}

/// How a command ends that has done what it could: short of what was named, if any of it is unknown.
///
/// # Errors
/// `Partial`, with what is to be said of the unknown.
pub(super) fn ended(unknown: Option<String>) -> anyhow::Result<()> {
    unknown.map_or(Ok(()), |unknown| Err(Short::Partial(unknown).into()))
}

fn listed(path: &str) -> Result<Vec<DeliveryId>, Usage> {
    let fault = |what: &dyn std::fmt::Display| Usage(format!("--id-file {path}: {what}"));
    let source: Box<dyn std::io::Read> = match path {
        "-" => Box::new(std::io::stdin().lock()),
        path => Box::new(std::fs::File::open(path).map_err(|error| fault(&error))?),
    };
    let mut ids = Vec::new();
    for (number, line) in
        std::io::BufReader::new(source.take(ID_FILE_BYTES_MAX)).lines().enumerate()
    {
        let line = line.map_err(|error| fault(&error))?;
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        ids.push(text.parse().map_err(|error| fault(&format!("line {}: {error}", number + 1)))?);
    }
    // A file that was made by a search that found nothing must not mean all.
    if ids.is_empty() { Err(fault(&"there is no delivery's id in it")) } else { Ok(ids) }
}

fn reason(text: &str) -> Result<DeathReason, String> {
    DeathReason::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or_else(|| {
        let known: Vec<_> = DeathReason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("`{text}` is not a reason: {} are accepted", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_named_and_not_there_are_spoken_of() {
        let said = |named, matched| unknown(named, matched);
        assert_eq!(said(0, Some(7)), None, "none was named");
        assert_eq!(said(3, Some(3)), None);
        assert_eq!(said(3, None), None, "more than could be counted");
        assert!(said(3, Some(2)).expect("one").starts_with("1 of 3 is no dead letter (any more)"));
        assert!(said(3, Some(1)).expect("two").starts_with("2 of 3 are no dead letter"));
    }

    #[test]
    fn a_file_of_ids_that_is_empty_or_wrong_is_refused_by_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ids");
        let read = |text: &str| {
            std::fs::write(&path, text).expect("writable");
            listed(path.to_str().expect("text")).map_err(|error| error.to_string())
        };
        let id = "dlv_1srOrx2ZWZBpBUvZwXKQmoEYga2";
        assert_eq!(read(&format!("{id}\n\n {id} \n")).expect("ids").len(), 2);
        assert!(read("\n").expect_err("empty").contains("no delivery's id"), "{:?}", read("\n"));
        let said = read(&format!("{id}\nmsg_1\n")).expect_err("another kind");
        assert!(said.contains("line 2: "), "{said}");
    }
}
