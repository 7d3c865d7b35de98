//! Asking a person before something is done to many deliveries.
//!
//! The question is about a number, and above [`TYPED_ABOVE`] the number is the answer. Where nobody can be
//! asked, nothing is done, unless `--yes` says that nobody is to be asked.

use std::io::{BufRead as _, IsTerminal as _};

use super::exit::Usage;
use super::output::note;

/// Beyond this many, a person types the count: a `y` is typed too easily.
const TYPED_ABOVE: u64 = 1_000;

/// How a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Nothing,
    YesOrNo,
    TheCount,
    /// Nobody is there to be asked.
    Refuse,
}

const fn how_to_ask(total: u64, yes: bool, is_terminal: bool) -> Ask {
    match (yes, is_terminal) {
        (true, _) => Ask::Nothing,
        (false, false) => Ask::Refuse,
        (false, true) if total > TYPED_ABOVE => Ask::TheCount,
        (false, true) => Ask::YesOrNo,
    }
}

/// Asks whether to do this (`replay`) to so many of these (`deliveries`).
///
/// # Errors
/// `Usage` when it is not confirmed, or nobody can be asked.
pub(super) fn confirm(deed: &str, total: u64, what: &str, yes: bool) -> anyhow::Result<()> {
    let wanted = match how_to_ask(total, yes, std::io::stdin().is_terminal()) {
        Ask::Nothing => return Ok(()),
        Ask::Refuse => {
            return Err(Usage("there is no terminal to confirm on: --yes is wanted".into()).into());
        }
        Ask::YesOrNo => {
            note(&format!("{deed} {total} {what}? type y to confirm"));
            "y".to_owned()
        }
        Ask::TheCount => {
            note(&format!("{deed} {total} {what}? type {total} to confirm"));
            total.to_string()
        }
    };
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == wanted {
        Ok(())
    } else {
        Err(Usage("not confirmed: nothing was done".into()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_and_how() {
        let table = [
            // (deliveries, --yes, a terminal)
            ((5, true, false), Ask::Nothing),
            ((5_000, true, true), Ask::Nothing),
            ((5, false, true), Ask::YesOrNo),
            ((1_000, false, true), Ask::YesOrNo),
            ((1_001, false, true), Ask::TheCount),
            ((5, false, false), Ask::Refuse),
        ];
        for ((total, yes, is_terminal), ask) in table {
            assert_eq!(how_to_ask(total, yes, is_terminal), ask, "{total} {yes} {is_terminal}");
        }
    }
}
