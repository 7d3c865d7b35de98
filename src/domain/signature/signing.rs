//! How an endpoint's requests are signed: the standard's headers, one of older make beside them, or neither.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::super::object::{self, AsObject};
use super::key::{Scheme, SigningKey};

/// How requests are signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Signing {
    /// Whether they carry `webhook-signature`.
    pub scheme: SigningScheme,
    /// A header of older make, beside it.
    #[serde(deserialize_with = "object::read_if_any")]
    pub legacy: Option<LegacyHeader>,
}

/// Whether requests carry `webhook-signature`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningScheme {
    /// They do.
    #[default]
    Standard,
    /// They do not: only where the operator allows it.
    None,
}

/// A header with an HMAC-SHA256 under the endpoint's newest shared key, as a platform had it before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LegacyHeader {
    /// Its name.
    pub header: String,
    /// How the HMAC is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// What stands in front of it, as `sha256=`.
    #[serde(default)]
    pub prefix: String,
    /// What is signed.
    #[serde(default)]
    pub content: SignedContent,
    /// Which bytes are the key.
    #[serde(default)]
    pub key: LegacyKey,
}

/// How an HMAC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Lower-case hexadecimal.
    #[default]
    Hex,
    /// Base64, with padding.
    Base64,
}

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SignedContent {
    /// The body.
    #[default]
    #[serde(rename = "{body}")]
    Body,
    /// The seconds of the attempt, a full stop, the body.
    #[serde(rename = "{timestamp}.{body}")]
    TimestampBody,
    /// What the standard signs.
    #[serde(rename = "{id}.{timestamp}.{body}")]
    IdTimestampBody,
}

/// Which bytes of a secret are the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegacyKey {
    /// What the base64 behind `whsec_` says, as the standard has it.
    #[default]
    Decoded,
    /// The secret's text itself, `whsec_` and all.
    Literal,
}

impl AsObject for Signing {
    const ACCEPTED: &'static str = "an object with the scheme standard or none, as {\"scheme\":\"standard\"}, and perhaps legacy";
}

impl AsObject for LegacyHeader {
    const ACCEPTED: &'static str =
        "null or an object with a header's name, as {\"header\":\"X-Signature\"}";
}

impl Signing {
    /// Says what is wrong with it, if anything is.
    ///
    /// # Errors
    /// A sentence that names the field and what is accepted.
    pub fn check(&self) -> Result<(), String> {
        let Some(legacy) = &self.legacy else { return Ok(()) };
        let name = &legacy.header;
        if !super::super::header::is_name(name) || super::super::header::is_reserved(name) {
            return Err(format!(
                "signing.legacy.header is `{name}`: a header's name that is not one of ours is accepted"
            ));
        }
        let plain = |byte: u8| byte.is_ascii_graphic();
        if legacy.prefix.len() > 64 || !legacy.prefix.bytes().all(plain) {
            return Err(
                "signing.legacy.prefix: at most 64 visible ASCII characters are accepted".into()
            );
        }
        Ok(())
    }
}

impl LegacyHeader {
    /// The header's value over what is sent, under the first shared key of those given (newest first); none
    /// where there is no shared key: what this header says is said by an HMAC alone.
    ///
    /// `timestamp_s` is the second of *this attempt*, as in `webhook-timestamp`.
    pub fn value<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a SigningKey>,
        id: &str,
        timestamp_s: i64,
        body: &[u8],
    ) -> Option<String> {
        let key = keys.into_iter().find(|key| key.scheme() == Scheme::V1)?;
        let key = match self.key {
            LegacyKey::Decoded => Zeroizing::new(key.expose().to_vec()),
            LegacyKey::Literal => Zeroizing::new(key.reveal().into_bytes()),
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
        let seconds = timestamp_s.to_string();
        let around: &[&str] = match self.content {
            SignedContent::Body => &[],
            SignedContent::TimestampBody => &[&seconds],
            SignedContent::IdTimestampBody => &[id, &seconds],
        };
        for part in around {
            mac.update(part.as_bytes());
            mac.update(b".");
        }
        mac.update(body);
        let digest = mac.finalize().into_bytes();
        let mut value = self.prefix.clone();
        match self.encoding {
            Encoding::Hex => digest
                .iter()
                .try_for_each(|byte| write!(value, "{byte:02x}"))
                .expect("a text takes it all"),
            Encoding::Base64 => STANDARD.encode_string(digest, &mut value),
        }
        Some(value)
    }
}
