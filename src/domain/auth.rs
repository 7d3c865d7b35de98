//! How an endpoint knows us, beside our signature: a header with credentials in it.
//!
//! Its owner writes it and never reads it back: what is shown is that it is set, and of which kind.
//! Not here: which values are accepted (`control`), and how they are kept at rest (storage).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

/// Credentials that requests to an endpoint carry. `{:?}` shows no secret.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A user and a password (RFC 7617).
    Basic {
        /// Who we are there. Has no colon in it.
        username: String,
        /// What proves it.
        password: SecretString,
    },
    /// A token (RFC 6750).
    Bearer {
        /// The token.
        token: SecretString,
    },
    /// A value in a header of the receiver's choice.
    Header {
        /// The header's name.
        name: String,
        /// Its value.
        value: SecretString,
    },
}

impl Auth {
    /// One word for its kind: all of it that is shown, besides that it is set.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Basic { .. } => "basic",
            Self::Bearer { .. } => "bearer",
            Self::Header { .. } => "header",
        }
    }

    /// The name of the header that carries it.
    pub fn header_name(&self) -> &str {
        match self {
            Self::Basic { .. } | Self::Bearer { .. } => "authorization",
            Self::Header { name, .. } => name,
        }
    }

    /// The header's value: a secret, to be sent and not to be shown.
    pub fn header_value(&self) -> String {
        match self {
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose_secret());
                format!("Basic {}", STANDARD.encode(pair))
            }
            Self::Bearer { token } => format!("Bearer {}", token.expose_secret()),
            Self::Header { value, .. } => value.expose_secret().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each_kind() -> [Auth; 3] {
        [
            Auth::Basic { username: "Aladdin".into(), password: "open sesame".into() },
            Auth::Bearer { token: "mF_9.B5f-4.1JqM".into() },
            Auth::Header { name: "X-Api-Key".into(), value: "open sesame".into() },
        ]
    }

    #[test]
    fn each_kind_is_a_header_as_its_standard_has_it() {
        let headers = each_kind().map(|auth| (auth.header_name().to_owned(), auth.header_value()));
        assert_eq!(
            headers,
            [
                // The example of RFC 7617, section 2.
                ("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
                ("authorization", "Bearer mF_9.B5f-4.1JqM"),
                ("X-Api-Key", "open sesame"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let shown = format!("{:?}", each_kind());
        assert!(shown.contains("Aladdin") && shown.contains("X-Api-Key"), "{shown}");
        assert!(!shown.contains("sesame") && !shown.contains("mF_9"), "{shown}");
    }
}
