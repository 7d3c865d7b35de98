//! Tokens of the HTTP API: who may ask, said by a signature.
//!
//! A token is a JWT in the form that webhook client libraries know: an organisation's has its id as
//! the subject; an application's has the application as the subject and the organisation beside it
//! (`org`), and may do less. Nothing is stored: whoever holds the key can make and check them, every
//! router alike, and a token ends by its time or with its key.
//!
//! Only HS256 is made and accepted, in the sixty lines below: see
//! `docs/decisions/0007-tokens-without-a-library.md`. The signature is checked before anything else of
//! a token is read, and its header is compared and never obeyed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::id::{ApplicationId, OrganisationId};
use crate::domain::time::Timestamp;

/// How long an organisation's token holds when nobody says: ten years, as it is kept in the settings of
/// services, and ends with the key when it must.
pub const ORGANISATION_SPAN: Duration = Duration::from_hours(24 * 3_650);
/// How long an application's token holds when nobody says: 28 days, as it is handed to a tenant.
pub const APPLICATION_SPAN: Duration = Duration::from_hours(24 * 28);

/// How far the clocks of two routers may be apart: a token that one has just made is not too young for
/// the other.
const CLOCKS_APART: Duration = Duration::from_mins(1);
/// Who made it; not checked, as everywhere.
const ISSUER: &str = "posthaste";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// An organisation: may do everything within itself.
    Organisation(OrganisationId),
    /// One application: its own matters alone.
    Application {
        /// Whose application it is.
        organisation: OrganisationId,
        /// Which it is.
        application: ApplicationId,
        /// Which event types it is shown besides those for everybody.
        feature_flags: Vec<String>,
    },
}

impl Caller {
    /// Within which organisation it asks.
    pub const fn organisation(&self) -> OrganisationId {
        match self {
            Self::Organisation(organisation) | Self::Application { organisation, .. } => {
                *organisation
            }
        }
    }

    /// What it is called in logs: its id.
    pub fn name(&self) -> String {
        match self {
            Self::Organisation(organisation) => organisation.to_string(),
            Self::Application { application, .. } => application.to_string(),
        }
    }

    /// Whether it may ask about this application of its organisation.
    pub fn may_ask_about(&self, id: ApplicationId) -> bool {
        match self {
            Self::Organisation(_) => true,
            Self::Application { application, .. } => *application == id,
        }
    }

    /// Whether it is shown what is for this flag.
    pub fn is_shown(&self, feature_flag: Option<&str>) -> bool {
        match (self, feature_flag) {
            (Self::Organisation(_), _) | (_, None) => true,
            (Self::Application { feature_flags, .. }, Some(flag)) => {
                feature_flags.iter().any(|known| known == flag)
            }
        }
    }
}

/// What tokens are signed with.
#[derive(Debug)]
pub struct TokenKey(SecretBox<[u8; 32]>);

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    /// Seconds since the epoch, as the next two.
    iat: i64,
    nbf: i64,
    exp: i64,
    /// The application's organisation; not there in an organisation's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    feature_flags: Vec<String>,
}

impl TokenKey {
    /// A key of these bytes.
    pub const fn new(bytes: SecretBox<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// A token for this caller, from `now` on for `span`.
    pub fn token(&self, caller: &Caller, now: Timestamp, span: Duration) -> String {
        let (sub, org, feature_flags) = match caller {
            Caller::Organisation(id) => (id.to_string(), None, Vec::new()),
            Caller::Application { organisation, application, feature_flags } => {
                (application.to_string(), Some(organisation.to_string()), feature_flags.clone())
            }
        };
        let (iat, exp) = (now.as_seconds(), (now + span).as_seconds());
        let header = Header { alg: "HS256".into(), typ: Some("JWT".into()) };
        let claims = Claims { iss: ISSUER.into(), sub, iat, nbf: iat, exp, org, feature_flags };
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.mac(&signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Who asks with this token at `now`; `None` when it is forged, over, not begun, or names nobody that
    /// we know. Which of them is not told: it would help nobody but a forger.
    pub fn caller(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.mac(signed).verify_slice(&signature).ok()?; // in constant time
        let (header, claims) = signed.split_once('.')?;
        let (header, claims): (Header, Claims) = (read(header)?, read(claims)?);
        let begun = claims.nbf <= (now + CLOCKS_APART).as_seconds();
        if header.alg != "HS256" || !begun || claims.exp <= now.as_seconds() {
            return None;
        }
        Some(match claims.org {
            None => Caller::Organisation(claims.sub.parse().ok()?),
            Some(organisation) => Caller::Application {
                organisation: organisation.parse().ok()?,
                application: claims.sub.parse().ok()?,
                feature_flags: claims.feature_flags,
            },
        })
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret());
        mac.expect("a key of any length will do").chain_update(signed)
    }
}

fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("texts and numbers are JSON"))
}

fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const DAY: Duration = Duration::from_hours(24);
    const OURS: OrganisationId = OrganisationId::DEFAULT;

    fn key(byte: u8) -> TokenKey {
        TokenKey::new(SecretBox::new(Box::new([byte; 32])))
    }

    /// A token of our key with any header and claims.
    fn signed(header: &serde_json::Value, claims: &serde_json::Value) -> String {
        let text = format!("{}.{}", part(header), part(claims));
        let signature = key(1).mac(&text).finalize().into_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn a_token_says_who_asks_until_its_time_is_over() {
        let application = Caller::Application {
            organisation: OURS,
            application: ApplicationId::derived(&[b"acme"]),
            feature_flags: vec!["beta".into()],
        };
        let theirs = OrganisationId::derived(&[b"theirs"]);
        for caller in [Caller::Organisation(OURS), Caller::Organisation(theirs), application] {
            let token = key(1).token(&caller, NOW, DAY);
            assert_eq!(key(1).caller(&token, NOW).as_ref(), Some(&caller));
            assert_eq!(key(1).caller(&token, NOW + DAY), None, "over");
            assert_eq!(key(1).caller(&token, NOW - DAY), None, "not begun");
            assert_eq!(key(1).caller(&token, NOW - CLOCKS_APART), Some(caller));
            assert_eq!(key(2).caller(&token, NOW), None, "another key");
        }
    }

    #[test]
    fn a_token_that_another_program_signed_with_the_key_is_as_good() {
        // Made with Python's hmac and base64, claims as Svix writes them.
        let token = [
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.",
            "eyJpc3MiOiJzdml4LXNlcnZlciIsInN1YiI6Im9yZ18yM3JiOFlkR3FNVDBxSXpwZ0d3ZFhmSGlyTXUiLCJpYXQi",
            "OjE3OTAwMDAwMDAsIm5iZiI6MTc5MDAwMDAwMCwiZXhwIjoyMTA1MzYwMDAwfQ",
            ".kFftLwBEzVWKIcIgXVtad68z9H2Ep7GTHyH8C2TRfPc",
        ]
        .concat();
        assert_eq!(key(1).caller(&token, NOW), Some(Caller::Organisation(OURS)));
    }

    #[test]
    fn a_changed_token_is_nobodys() {
        let token = key(1).token(&Caller::Organisation(OURS), NOW, DAY);
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(key(1).caller(&changed, NOW), None, "at {place}");
        }
        for text in ["", ".", "..", "a.b.c", "a.b", &token[..token.len() - 1], &format!("{token}=")]
        {
            assert_eq!(key(1).caller(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn what_is_signed_but_not_for_us_is_refused() {
        let good = json!({
            "iss": "", "sub": OURS, "iat": 1_790_000_000, "nbf": 1_790_000_000,
            "exp": 1_790_000_060,
        });
        let header = json!({ "alg": "HS256" });
        let with = |name: &str, value: serde_json::Value| {
            let mut claims = good.clone();
            claims[name] = value;
            signed(&header, &claims)
        };
        assert!(key(1).caller(&signed(&header, &good), NOW).is_some());
        for (token, why) in [
            (signed(&json!({ "alg": "none" }), &good), "another algorithm"),
            (with("sub", json!("ep_000000000000000000000000000")), "no organisation"),
            (with("org", json!("org_x")), "an application of nobody"),
            (with("org", json!(OURS)), "an application that is an organisation"),
            (with("exp", json!("2999-01-01")), "an end that is no number"),
            (with("exp", json!(null)), "no end"),
            (with("nbf", json!("soon")), "a beginning that is no number"),
        ] {
            assert_eq!(key(1).caller(&token, NOW), None, "{why}");
        }
    }
}
