//! Which headers an endpoint may have of its own.
//!
//! Refused at the moment of writing, so that nobody finds out from a failing delivery. The list of
//! forbidden names is one of consequences: headers that frame the message, steer a proxy, speak to
//! a cloud's metadata service, or would let a tenant forge what we sign.

use super::{Answer, ControlError};

/// Most headers of one endpoint.
const COUNT_MAX: usize = 20;
/// Longest name, in bytes.
const NAME_MAX: usize = 64;
/// Longest value, in bytes.
const VALUE_MAX: usize = 4_096;
/// Names and values together, in bytes: a quarter of the 32 KiB that common servers accept.
const TOTAL_MAX: usize = 8 * 1_024;

/// Names that are ours, the transport's or a browser's.
const FORBIDDEN: [&str; 28] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "metadata",
    "origin",
    "range",
    "referer",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-real-ip",
];

/// Beginnings of names with the same owners, and of those that clouds take orders by.
const FORBIDDEN_PREFIXES: [&str; 20] = [
    "access-control-",
    "ce-",
    "if-",
    "metadata-",
    "proxy-",
    "sec-",
    "webhook-",
    "x-aws-",
    "x-amz-",
    "x-amzn-",
    "x-azure-",
    "x-fd-",
    "x-forwarded-",
    "x-gfe",
    "x-goog-",
    "x-google",
    "x-metadata-",
    "x-ms-",
    "svix-",
    "x-svix-",
];

/// Checks headers and writes their names in lower case.
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
    let mut checked: Vec<(String, String)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if let Some(what) = fault_of_name(&name).or_else(|| fault_of_value(&value)) {
            return refuse(format!("header `{name}` {what}"));
        }
        if checked.iter().any(|(known, _)| *known == name) {
            return refuse(format!("header `{name}` is given twice: each name is accepted once"));
        }
        checked.push((name, value));
    }
    Ok(checked)
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
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(token) {
        return Some(format!(
            "has not the form of a name: 1 to {NAME_MAX} letters, digits and -._~!#$%&'*+^`| are \
             accepted"
        ));
    }
    if name == "authorization" {
        // Headers are kept in the clear and shown in lists; credentials must be neither.
        return Some(
            "cannot be set: headers are not sealed, and receivers know us by our signature".into(),
        );
    }
    let forbidden = FORBIDDEN.contains(&name)
        || FORBIDDEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    forbidden.then(|| "cannot be set: it belongs to posthaste, the transport or a cloud".into())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &str, value: &str) -> Answer<Vec<(String, String)>> {
        check(vec![(name.into(), value.into())])
    }

    #[test]
    fn names_are_tokens_and_come_out_in_lower_case() {
        assert_eq!(judged("X-Team", "red"), Ok(vec![("x-team".into(), "red".into())]));
        for name in ["", "x team", "x:team", ":path", "x-tëam", &"x".repeat(65)] {
            assert!(judged(name, "red").is_err(), "{name}");
        }
    }

    #[test]
    fn names_that_are_not_the_tenants_are_refused_in_any_case() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "webhook-signature",
            "WEBHOOK-ID",
            "X-Forwarded-For",
            "Metadata-Flavor",
            "Metadata",
            "x-aws-ec2-metadata-token-ttl-seconds",
            "Proxy-Authorization",
            "sec-fetch-site",
            "ce-id",
            "traceparent",
            "If-None-Match",
            "authorization",
        ] {
            assert!(judged(name, "x").is_err(), "{name}");
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
}
