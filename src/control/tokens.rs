//! Tokens of the HTTP API: who may ask, said by a signature.
//!
//! A token is a JWT in the form that webhook client libraries know: an organisation's has its id as
//! the subject; an application's has the application as the subject and the organisation beside it
//! (`org`), and may do less. What either may of all that is its own stands in it as well
//! (`capabilities`), where that is not everything. Nothing is stored: whoever holds the key can make and
//! check them, every router alike, and a token ends by its time or with its key.
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

use crate::domain::capability::{Capabilities, Capability};
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

/// What a token says of whoever holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who asks.
    pub caller: Caller,
    /// What they may do, of what the caller may.
    pub capabilities: Capabilities,
    /// When the token is over.
    pub expires_at: Timestamp,
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
    #[serde(default, skip_serializing_if = "Rights::are_all")]
    capabilities: Rights,
}

/// Capabilities as a token has them: a list of their words. All of them when there is no list, as in tokens that were made
/// before there was one; a word that we do not know stands for nothing.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<&'static str>")]
struct Rights(Capabilities);

impl Rights {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this way")]
    fn are_all(&self) -> bool {
        self.0 == Capabilities::ALL
    }
}

impl Default for Rights {
    fn default() -> Self {
        Self(Capabilities::ALL)
    }
}

impl From<Vec<String>> for Rights {
    fn from(words: Vec<String>) -> Self {
        Self(words.iter().filter_map(|word| Capability::named(word)).collect())
    }
}

impl From<Rights> for Vec<&'static str> {
    fn from(Rights(these): Rights) -> Self {
        these.iter().map(Capability::as_str).collect()
    }
}

impl TokenKey {
    /// A key of these bytes.
    pub const fn new(bytes: SecretBox<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// A token for this caller, from `now` on for `span`, with all that it may do.
    pub fn token(&self, caller: &Caller, now: Timestamp, span: Duration) -> String {
        self.token_with(caller, Capabilities::ALL, now, span)
    }

    /// The same with these capabilities alone.
    pub fn token_with(
        &self,
        caller: &Caller,
        capabilities: Capabilities,
        now: Timestamp,
        span: Duration,
    ) -> String {
        let (sub, org, feature_flags) = match caller {
            Caller::Organisation(id) => (id.to_string(), None, Vec::new()),
            Caller::Application { organisation, application, feature_flags } => {
                (application.to_string(), Some(organisation.to_string()), feature_flags.clone())
            }
        };
        let (iat, exp) = (now.as_seconds(), (now + span).as_seconds());
        let header = Header { alg: "HS256".into(), typ: Some("JWT".into()) };
        let capabilities = Rights(capabilities);
        let iss = ISSUER.into();
        let claims = Claims { iss, sub, iat, nbf: iat, exp, org, feature_flags, capabilities };
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.mac(&signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Who asks with this token at `now`; `None` when it is forged, over, not begun, or names nobody that
    /// we know. Which of them is not told: it would help nobody but a forger.
    pub fn caller(&self, token: &str, now: Timestamp) -> Option<Caller> {
        self.holder(token, now).map(|holder| holder.caller)
    }

    /// The same with what they may do, and until when.
    pub fn holder(&self, token: &str, now: Timestamp) -> Option<Holder> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.mac(signed).verify_slice(&signature).ok()?; // in constant time
        let (header, claims) = signed.split_once('.')?;
        let (header, claims): (Header, Claims) = (read(header)?, read(claims)?);
        let begun = claims.nbf <= (now + CLOCKS_APART).as_seconds();
        if header.alg != "HS256" || !begun || claims.exp <= now.as_seconds() {
            return None;
        }
        let caller = match claims.org {
            None => Caller::Organisation(claims.sub.parse().ok()?),
            Some(organisation) => Caller::Application {
                organisation: organisation.parse().ok()?,
                application: claims.sub.parse().ok()?,
                feature_flags: claims.feature_flags,
            },
        };
        let expires_at = Timestamp::from_seconds(claims.exp);
        Some(Holder { caller, capabilities: claims.capabilities.0, expires_at })
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
    fn a_token_says_what_its_holder_may_do() {
        let caller = Caller::Organisation(OURS);
        let some: Capabilities =
            [Capability::ViewBase, Capability::CreateAttempts].into_iter().collect();
        for capabilities in [Capabilities::ALL, Capabilities::VIEW, some, Capabilities::default()] {
            let token = key(1).token_with(&caller, capabilities, NOW, DAY);
            let expected = Holder { caller: caller.clone(), capabilities, expires_at: NOW + DAY };
            assert_eq!(key(1).holder(&token, NOW), Some(expected));
        }
    }

    #[test]
    fn a_token_without_a_list_may_do_all_and_unknown_words_are_no_right() {
        let claims = |capabilities: Option<serde_json::Value>| {
            let mut claims = json!({
                "iss": "", "sub": OURS, "iat": 1_790_000_000, "nbf": 1_790_000_000,
                "exp": 1_790_000_060,
            });
            if let Some(capabilities) = capabilities {
                claims["capabilities"] = capabilities;
            }
            let token = signed(&json!({ "alg": "HS256" }), &claims);
            key(1).holder(&token, NOW).expect("it is ours").capabilities
        };
        assert_eq!(claims(None), Capabilities::ALL);
        assert_eq!(claims(Some(json!([]))), Capabilities::default());
        assert_eq!(claims(Some(json!(["ViewBase", "RuleTheWorld"]))), Capabilities::VIEW);
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
            (with("capabilities", json!("ViewBase")), "capabilities that are no list"),
            (with("capabilities", json!(null)), "capabilities that are nothing"),
        ] {
            assert_eq!(key(1).caller(&token, NOW), None, "{why}");
        }
    }
}
