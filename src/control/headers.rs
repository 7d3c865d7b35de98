//! Which headers an endpoint may have of its own, and which credentials.
//!
//! Refused at the moment of writing, so that nobody finds out from a failing delivery. Whose a name
//! is stands in `domain::header`, where sending asks too; here are the numbers, the values, and the
//! sentences. Both headers and credentials are sealed at rest, so a header may be a credential.

use secrecy::{ExposeSecret as _, SecretString};

use super::{Answer, ControlError};
use crate::domain::auth::Auth;
use crate::domain::header::{NAME_BYTES_MAX, is_name, is_reserved};

/// Most headers of one endpoint.
const COUNT_MAX: usize = 20;
/// Longest value, in bytes.
const VALUE_MAX: usize = 4_096;
/// Names and values together, in bytes: a quarter of the 32 KiB that common servers accept.
const TOTAL_MAX: usize = 8 * 1_024;
/// Longest user name and longest password, in bytes: together, and in base64, they fit into a value.
const CREDENTIAL_MAX: usize = 1_024;

/// Checks headers. Their names are kept as they were written.
///
/// # Errors
/// `Invalid`, naming the header (never its value, which may be a secret).
pub fn check(headers: Vec<(String, String)>) -> Answer<Vec<(String, String)>> {
    let refuse = |what: String| Err(ControlError::Invalid(what));
    if headers.len() > COUNT_MAX {
        return refuse(format!(
            "{} headers are given: at most {COUNT_MAX} are accepted",
            headers.len()
        ));
    }
    let total: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if total > TOTAL_MAX {
        return refuse(format!("the headers have {total} bytes: at most {TOTAL_MAX} are accepted"));
    }
    for (place, (name, value)) in headers.iter().enumerate() {
        if let Some(what) = fault_of_name(name).or_else(|| fault_of_value(value)) {
            return refuse(format!("header `{name}` {what}"));
        }
        if headers[..place].iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return refuse(format!("header `{name}` is given twice: each name is accepted once"));
        }
    }
    Ok(headers)
}

/// Checks credentials, and that no header of the endpoint's own has their place.
///
/// # Errors
/// `Invalid`, naming what is wrong with it (never the secret).
pub fn check_auth(auth: Option<Auth>, headers: &[(String, String)]) -> Answer<Option<Auth>> {
    let Some(auth) = auth else { return Ok(None) };
    let fault = match &auth {
        Auth::Basic { username, password } => fault_of_credential("user name", username)
            .or_else(|| fault_of_credential("password", password.expose_secret()))
            .or_else(|| {
                username.contains(':').then(|| "user name has a colon: none is accepted".into())
            }),
        Auth::Bearer { token } => fault_of_token(token),
        Auth::Header { name, value } => fault_of_name(name)
            .or_else(|| fault_of_value(value.expose_secret()))
            .map(|what| format!("header `{name}` {what}")),
    };
    if let Some(what) = fault {
        return Err(ControlError::Invalid(format!("the auth's {what}")));
    }
    let place = auth.header_name();
    if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(place)) {
        return Err(ControlError::Invalid(format!(
            "the header `{place}` is given twice, by the auth and among the headers: one of them \
             is accepted"
        )));
    }
    Ok(Some(auth))
}

/// Headers after some of them were changed: each to its value, or to none. Names are compared without
/// regard to case.
pub(super) fn merged(
    mut headers: Vec<(String, String)>,
    changes: Vec<(String, Option<String>)>,
) -> Vec<(String, String)> {
    for (name, value) in changes {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        headers.extend(value.map(|value| (name, value)));
    }
    headers
}

fn fault_of_name(name: &str) -> Option<String> {
    if !is_name(name) {
        return Some(format!(
            "has not the form of a name: 1 to {NAME_BYTES_MAX} letters, digits and \
             -._~!#$%&'*+^`| are accepted"
        ));
    }
    is_reserved(name)
        .then(|| "cannot be set: it belongs to posthaste, the transport or a cloud".into())
}

fn fault_of_value(value: &str) -> Option<String> {
    if value.len() > VALUE_MAX {
        return Some(format!("has {} bytes: at most {VALUE_MAX} are accepted", value.len()));
    }
    let visible = |byte: u8| (0x20..=0x7e).contains(&byte) || byte == b'\t';
    let padded = value.starts_with([' ', '\t']) || value.ends_with([' ', '\t']);
    (padded || !value.bytes().all(visible)).then(|| {
        "has a value that cannot be sent: printable ASCII without spaces around it is accepted"
            .into()
    })
}

fn fault_of_credential(what: &str, text: &str) -> Option<String> {
    // RFC 7617 forbids control characters in both, and leaves the rest to base64.
    (text.len() > CREDENTIAL_MAX || text.chars().any(char::is_control)).then(|| {
        format!(
            "{what} cannot be sent: up to {CREDENTIAL_MAX} bytes without control characters are \
             accepted"
        )
    })
}

fn fault_of_token(token: &SecretString) -> Option<String> {
    let token = token.expose_secret();
    let fits = (1..=VALUE_MAX - "Bearer ".len()).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    (!fits)
        .then(|| "token cannot be sent: 1 to 4089 printable ASCII characters are accepted".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &str, value: &str) -> Answer<Vec<(String, String)>> {
        check(vec![(name.into(), value.into())])
    }

    #[test]
    fn names_are_tokens_and_are_kept_as_they_were_written() {
        assert_eq!(judged("X-Team", "red"), Ok(vec![("X-Team".into(), "red".into())]));
        for name in ["", "x team", "x:team", ":path", "x-tëam", &"x".repeat(65)] {
            assert!(judged(name, "red").is_err(), "{name}");
        }
    }

    #[test]
    fn names_that_are_not_the_tenants_are_refused_and_credentials_are_not() {
        for name in
            ["Host", "WEBHOOK-ID", "Svix-Signature", "Metadata-Flavor", "Proxy-Authorization"]
        {
            assert!(judged(name, "x").is_err(), "{name}");
        }
        for name in ["Authorization", "x-api-key", "X-Auth-Token"] {
            assert!(judged(name, "x").is_ok(), "{name}");
        }
    }

    #[test]
    fn a_value_cannot_break_out_of_its_line() {
        for value in ["a\r\nhost: x", "a\nb", "a\0b", " a", "a\t", "ä", &"x".repeat(4_097)] {
            assert!(judged("x-a", value).is_err(), "{value:?}");
        }
        assert!(judged("x-a", "a\tb c~").is_ok());
        assert!(judged("x-a", "").is_ok());
    }

    #[test]
    fn there_may_be_twenty_of_together_8_kib_and_none_twice() {
        let many = |count: usize, bytes: usize| {
            check((0..count).map(|n| (format!("x-{n}"), "v".repeat(bytes))).collect())
        };
        assert!(many(20, 10).is_ok());
        assert!(many(21, 10).is_err());
        assert!(many(3, 4_000).is_err());
        assert!(check(vec![("x-a".into(), "1".into()), ("X-A".into(), "2".into())]).is_err());
    }

    #[test]
    fn a_change_replaces_or_removes_whatever_the_case() {
        let own = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let changes = vec![("X-A".into(), Some("2".into())), ("x-B".into(), None)];
        let after = merged(own(&[("x-a", "1"), ("X-b", "1"), ("x-c", "1")]), changes);
        assert_eq!(after, own(&[("x-c", "1"), ("X-A", "2")]));
    }

    #[test]
    fn a_refusal_does_not_repeat_the_value() {
        let refusal = judged("x-key", "s3cret\n").expect_err("refused").to_string();
        assert!(refusal.contains("x-key") && !refusal.contains("s3cret"), "{refusal}");
    }

    fn basic(username: &str, password: &str) -> Auth {
        Auth::Basic { username: username.into(), password: password.into() }
    }

    fn header(name: &str, value: &str) -> Auth {
        Auth::Header { name: name.into(), value: value.into() }
    }

    #[test]
    fn credentials_have_the_form_that_their_header_needs() {
        for good in [
            basic("user", "pass: word ü"),
            basic("", ""),
            Auth::Bearer { token: "a.b-c".into() },
            header("X-Api-Key", "k"),
        ] {
            assert!(check_auth(Some(good.clone()), &[]).is_ok(), "{good:?}");
        }
        for bad in [
            basic("us:er", "s3cret"),
            basic("user", "s3cret\n"),
            basic(&"u".repeat(1_025), "s3cret"),
            Auth::Bearer { token: "".into() },
            Auth::Bearer { token: "s3cret s3cret".into() },
            header("webhook-signature", "s3cret"),
            header("x-key", "s3cret\r\nhost: x"),
        ] {
            let refusal = check_auth(Some(bad), &[]).expect_err("refused").to_string();
            assert!(refusal.starts_with("the auth's ") && !refusal.contains("s3cret"), "{refusal}");
        }
    }

    #[test]
    fn credentials_and_a_header_do_not_share_a_place() {
        let own = [("AUTHORIZATION".to_owned(), "x".to_owned())];

        assert!(check_auth(Some(Auth::Bearer { token: "t".into() }), &own).is_err());
        assert!(check_auth(Some(header("x-key", "t")), &own).is_ok());
        assert!(check_auth(None, &own).is_ok());
    }
}
