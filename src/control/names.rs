//! What applications, event types and endpoints may be called and described with.

use super::{Answer, ControlError};
use crate::domain::application::{METADATA_MAX_BYTES, Metadata};

/// Longest `uid` and name, in characters.
///
/// 256: the limit of the webhook API that client libraries know.
const NAME_MAX: usize = 256;

/// Longest description, in characters: a paragraph, not a document.
const DESCRIPTION_MAX: usize = 4_096;

/// Checks a name that its owner gives instead of an id.
///
/// It may not begin like an id of its own kind (`prefix`): then nobody could tell which is meant.
pub(super) fn check_uid(uid: Option<String>, prefix: &str) -> Answer<Option<String>> {
    let Some(uid) = uid else { return Ok(None) };
    if !is_plain(&uid, NAME_MAX) {
        let accepted = format!("1 to {NAME_MAX} letters, digits, `-`, `_` and `.` are accepted");
        return Err(ControlError::field("uid", format!("`{uid}` is not a uid: {accepted}")));
    }
    if uid.starts_with(prefix) {
        let why = format!("`{uid}` is not a uid: it may not begin with `{prefix}`, as ids do");
        return Err(ControlError::field("uid", why));
    }
    Ok(Some(uid))
}

/// Whether it has 1 to `longest` letters, digits, `-`, `_` and `.`.
pub(super) fn is_plain(text: &str, longest: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=longest).contains(&text.len()) && text.bytes().all(allowed)
}

/// Checks a name for people.
pub(super) fn check_name(name: String) -> Answer<String> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > NAME_MAX || name.chars().any(char::is_control) {
        let why =
            format!("the name has {length} characters: 1 to {NAME_MAX} on one line are accepted");
        return Err(ControlError::field("name", why));
    }
    Ok(name)
}

/// Checks what an owner keeps with its things.
pub(super) fn check_metadata(metadata: Metadata) -> Answer<Metadata> {
    let written = serde_json::to_vec(&metadata).expect("texts are JSON");
    if written.len() > METADATA_MAX_BYTES {
        let why = format!(
            "the metadata has {} bytes as JSON: at most {METADATA_MAX_BYTES} are accepted",
            written.len()
        );
        return Err(ControlError::field("metadata", why));
    }
    Ok(metadata)
}

/// Checks a description for people.
pub(super) fn check_description(description: String) -> Answer<String> {
    let length = description.chars().count();
    if length > DESCRIPTION_MAX {
        let why = format!(
            "the description has {length} characters: at most {DESCRIPTION_MAX} are accepted"
        );
        return Err(ControlError::field("description", why));
    }
    Ok(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_letters_digits_and_three_signs() {
        for uid in ["acme", "acme-eu_1.test", "ep_1", &"x".repeat(256)] {
            assert!(check_uid(Some(uid.into()), "app_").is_ok(), "{uid}");
        }
        for uid in ["", "acme eu", "acme/eu", "ümlaut", "app_1", &"x".repeat(257)] {
            assert!(check_uid(Some(uid.into()), "app_").is_err(), "{uid}");
        }
    }
}
