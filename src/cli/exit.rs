//! Exit codes: which error leaves with which number. One table, shown by `posthaste help`.

use super::client::Refusal;
use crate::config::Mistakes;
use crate::control::ControlError;
use crate::storage::StorageError;

/// The part of the help that explains the codes.
pub(super) const HELP: &str = "\
Exit codes:
   0  done
   1  failed
   2  usage: a flag or value is not accepted, or a confirmation is missing
   3  partial: a part was done, and the rest was not (a replay that paused itself or passed over some,
      or an id that is not known beside those that are)
   4  not found
   5  conflict: it contradicts what is there
  69  the server, the broker or a store cannot be reached
  75  try again: the router has too much to do at this moment, or cannot write
  77  not allowed: the token does not hold, or may not do this
  78  the configuration has mistakes
 130  detached with Ctrl-C: what goes on on the router goes on

Output:
  Data goes to standard output, notes and errors to standard error. With --json a list is JSON
  lines (one object per line) and a single thing is one object; field names are camelCase, times
  RFC 3339 in UTC.

Configuration:
  defaults < file (--config, POSTHASTE_CONFIG, or ./posthaste.toml when it is there)
  < environment (POSTHASTE_SECTION__NAME) < flags. `posthaste config settings` lists them all.";

/// The command cannot be run as it was given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

/// The command has come to its end, and not to all that was asked: a sentence, and no error.
#[derive(Debug, thiserror::Error)]
pub(super) enum Short {
    /// A part was done.
    #[error("{0}")]
    Partial(String),
    /// Somebody stopped looking.
    #[error("{0}")]
    Detached(String),
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const PARTIAL: u8 = 3;
const NOT_FOUND: u8 = 4;
const CONFLICT: u8 = 5;
const UNREACHABLE: u8 = 69;
const TRY_AGAIN: u8 = 75;
const NOT_ALLOWED: u8 = 77;
const CONFIG: u8 = 78;
const DETACHED: u8 = 130;

/// The code for an error, by the first of its causes that we know.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of_cause).unwrap_or(FAILED)
}

fn code_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<ControlError>() {
        return Some(match error {
            ControlError::NotFound(_) => NOT_FOUND,
            ControlError::Invalid(_) | ControlError::InvalidField { .. } => USAGE,
            ControlError::Conflict(_) | ControlError::LimitReached(_) => CONFLICT,
            ControlError::Unavailable(_) => UNREACHABLE,
            ControlError::Corrupt(_) => FAILED,
        });
    }
    if let Some(error) = cause.downcast_ref::<StorageError>() {
        return Some(match error {
            StorageError::Unavailable(_) => UNREACHABLE,
            StorageError::Conflict(_) => CONFLICT,
            StorageError::Corrupt(_) => FAILED,
        });
    }
    if let Some(refusal) = cause.downcast_ref::<Refusal>() {
        return Some(match refusal {
            Refusal::Unreachable(_) => UNREACHABLE,
            Refusal::Said { status, .. } => code_of_status(*status),
            Refusal::Strange(_) => FAILED,
        });
    }
    if let Some(short) = cause.downcast_ref::<Short>() {
        return Some(match short {
            Short::Partial(_) => PARTIAL,
            Short::Detached(_) => DETACHED,
        });
    }
    if cause.is::<Usage>() {
        return Some(USAGE);
    }
    if cause.is::<Mistakes>() {
        return Some(CONFIG);
    }
    is_closed_pipe(cause).then_some(DONE)
}

/// The code for what a router says.
const fn code_of_status(status: u16) -> u8 {
    match status {
        400 | 413 | 415 | 422 => USAGE,
        401 | 403 => NOT_ALLOWED,
        404 => NOT_FOUND,
        409 => CONFLICT,
        408 | 429 | 503 => TRY_AGAIN,
        _ => FAILED,
    }
}

/// Whether somebody stopped reading what we print, as `head` does: not a failure.
pub(super) fn is_closed_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn code_after<E: Into<anyhow::Error>>(error: E) -> u8 {
        code(&Err::<(), _>(error.into()).context("while doing it").expect_err("an error"))
    }

    #[test]
    fn each_error_leaves_with_its_own_code_whatever_is_said_around_it() {
        assert_eq!(code_after(ControlError::NotFound(String::new())), 4);
        assert_eq!(code_after(ControlError::Invalid(String::new())), 2);
        assert_eq!(code_after(ControlError::Conflict(String::new())), 5);
        assert_eq!(code_after(ControlError::Unavailable(String::new())), 69);
        assert_eq!(code_after(StorageError::Unavailable(String::new())), 69);
        assert_eq!(code_after(Usage(String::new())), 2);
        assert_eq!(code_after(Mistakes(Vec::new())), 78);
        assert_eq!(code_after(Short::Partial(String::new())), 3);
        assert_eq!(code_after(Short::Detached(String::new())), 130);
        assert_eq!(code_after(Refusal::Unreachable(String::new())), 69);
        assert_eq!(code_after(Refusal::Strange(String::new())), 1);
        assert_eq!(code_after(std::io::Error::from(std::io::ErrorKind::BrokenPipe)), 0);
        assert_eq!(code_after(anyhow::anyhow!("something else")), 1);
    }

    #[test]
    fn what_a_router_says_has_the_code_of_the_same_thing_said_here() {
        let table = [
            (400, 2),
            (401, 77),
            (403, 77),
            (404, 4),
            (408, 75),
            (409, 5),
            (413, 2),
            (422, 2),
            (429, 75),
            (500, 1),
            (503, 75),
        ];
        for (status, code) in table {
            let refusal = Refusal::Said { status, detail: String::new() };
            assert_eq!(code_after(refusal), code, "{status}");
        }
    }

    #[test]
    fn the_help_names_every_code_that_there_is() {
        for code in [
            DONE,
            FAILED,
            USAGE,
            PARTIAL,
            NOT_FOUND,
            CONFLICT,
            UNREACHABLE,
            TRY_AGAIN,
            NOT_ALLOWED,
            CONFIG,
            DETACHED,
        ] {
            assert!(HELP.lines().any(|line| line.starts_with(&format!("{code:>4}  "))), "{code}");
        }
    }
}
