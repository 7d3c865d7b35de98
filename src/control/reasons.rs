//! Why a person does something: what is accepted for a reason, and when one is wanted.
//!
//! Whoever is told a reason (a replay, a discard, a retry) keeps it or writes it into the audit log; here is the
//! one check.

use super::{Answer, ControlError};

/// Longest reason, in bytes: a paragraph.
pub const REASON_MAX_BYTES: usize = 1_000;

/// More deliveries than these are not replayed without a reason: somebody will ask for it.
pub const REASON_ABOVE: u64 = 10_000;

/// The reason without blanks around it, if anything is said.
///
/// # Errors
/// `InvalidField`, about `reason`, when it is longer than [`REASON_MAX_BYTES`].
pub fn said(text: Option<&str>) -> Answer<Option<&str>> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.len() > REASON_MAX_BYTES => Err(ControlError::field(
            "reason",
            format!("it has {} bytes: at most {REASON_MAX_BYTES} are accepted", text.len()),
        )),
        said => Ok(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_paragraph_at_the_most_and_blanks_are_none() {
        let most = "x".repeat(REASON_MAX_BYTES);
        assert_eq!(said(Some(&format!(" {most}\n"))), Ok(Some(&*most)));
        for none in [None, Some(""), Some(" \n")] {
            assert_eq!(said(none), Ok(None), "{none:?}");
        }
        let refused = said(Some(&format!("{most}x"))).expect_err("too long").to_string();
        assert!(refused.contains("1001") && refused.contains("1000"), "{refused}");
    }
}
