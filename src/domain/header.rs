//! Whose a header is, by its name: the tenant's to set, or ours, the transport's or a cloud's.
//!
//! Asked twice: when headers are written, so that nobody finds out from a failing delivery, and once
//! more when they are sent, since what is in a store may have been written by another hand or under
//! another list. The list is one of consequences: headers that frame the message, steer a proxy or a
//! cache, speak to a cloud's metadata service, or would let a tenant forge what we sign.
//!
//! Names are compared without regard to case; they are kept as their owner wrote them, and sent in
//! lower case, which HTTP holds to be the same.

/// Names that are ours, the transport's or a browser's.
const RESERVED: [&str; 36] = [
    "accept-encoding",
    "age",
    "cache-control",
    "clear-site-data",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "metadata",
    "origin",
    "pragma",
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
    "warning",
    "x-real-ip",
];

/// Beginnings of names with the same owners, and of those that clouds take orders by.
const RESERVED_PREFIXES: [&str; 20] = [
    "access-control-",
    "ce-",
    "if-",
    "metadata-",
    "proxy-",
    "sec-",
    "svix-",
    "webhook-",
    "x-amz-",
    "x-amzn-",
    "x-aws-",
    "x-azure-",
    "x-fd-",
    "x-forwarded-",
    "x-gfe",
    "x-goog-",
    "x-google",
    "x-metadata-",
    "x-ms-",
    "x-svix-",
];

/// Names whose values are credentials.
const SENSITIVE: [&str; 6] = [
    "authorization",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "x-api-key",
    "x-auth-token",
];

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Whether it has the form of a header's name (RFC 9110 §5.1), and is no longer than
/// [`NAME_BYTES_MAX`].
pub fn is_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(token)
}

/// Whether the name is not a tenant's to set.
pub fn is_reserved(name: &str) -> bool {
    let begins = |prefix: &&str| {
        name.as_bytes()
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    RESERVED.iter().any(|known| name.eq_ignore_ascii_case(known))
        || RESERVED_PREFIXES.iter().any(begins)
}

/// Whether the value of a header of this name is a secret: it can be set, and is not shown.
pub fn is_sensitive(name: &str) -> bool {
    SENSITIVE.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_another_owner_are_reserved_in_any_case() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "webhook-signature",
            "WEBHOOK-ID",
            "Svix-Id",
            "X-Forwarded-For",
            "Metadata-Flavor",
            "Metadata",
            "x-aws-ec2-metadata-token-ttl-seconds",
            "X-Google-Anything",
            "Proxy-Authorization",
            "sec-fetch-site",
            "ce-id",
            "traceparent",
            "If-None-Match",
            "Cache-Control",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["x-team", "Authorization", "hosts", "x-host", "webhook", "x-", "é"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn what_the_compatible_api_refuses_is_reserved() {
        // svix 1.x, core/types: names and prefixes that its headers may not have.
        for name in [
            "user-agent",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "te",
            "trailers",
            "transfer-encoding",
            "upgrade",
            "age",
            "cache-control",
            "clear-site-data",
            "expires",
            "pragma",
            "warning",
            "content-length",
            "content-type",
            "content-encoding",
            "content-language",
            "content-location",
            "x-amz-a",
            "x-amzn-a",
            "x-google-a",
            "x-goog-a",
            "x-gfe-a",
            "x-azure-a",
            "x-fd-a",
            "x-svix-a",
            "svix-a",
        ] {
            assert!(is_reserved(name), "{name}");
        }
    }

    #[test]
    fn credentials_are_sensitive_in_any_case_and_may_be_set() {
        for name in ["Authorization", "X-API-Key", "x-auth-token", "WWW-Authenticate"] {
            assert!(is_sensitive(name) && !is_reserved(name), "{name}");
        }
        assert!(!is_sensitive("x-team"));
    }

    #[test]
    fn a_name_is_a_token_of_at_most_64_bytes() {
        assert!(is_name("X-Team.1~") && is_name(&"x".repeat(64)));
        for name in ["", "x team", "x:team", ":path", "x-tëam", "a\r\nb", &"x".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
