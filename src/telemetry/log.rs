//! The log: lines for people, or JSON for programs, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

/// Starts logging; `filter` is in the form of `RUST_LOG` (`info`, `posthaste=debug`).
///
/// # Errors
/// A sentence, when the filter cannot be read. A second call changes nothing.
pub fn start(format: Format, filter: &str) -> Result<(), String> {
    // The broker's client logs each failure two or three times over, where our own line says it once;
    // who wants to hear it asks for it (`lapin=warn`). But never for messages that are returned to it:
    // it logs them body and all, and payloads are nobody's business.
    let filter = EnvFilter::try_new(format!("lapin=off,{filter},lapin::returned_messages=off"))
        .map_err(|error| format!("log.filter: {error}"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start (two servers in one test) finds the first one's log in place, which is right.
    let _ = match format {
        Format::Text => lines.with_target(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}
