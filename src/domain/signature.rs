//! Says who sent it: signatures as Standard Webhooks 1.0.0 wants them, made and checked.
//!
//! What is signed is `id.timestamp.body`, over the exact bytes that are sent, with HMAC-SHA256
//! under a key that only we and the receiver know (scheme `v1`). While keys are being exchanged a
//! request carries one token for each of them, newest first; a receiver is content with any.
//!
//! Tokens are joined by exactly one space and nothing else is ever in the header: widespread
//! receiving libraries fail on a second space, an empty token, or one that they cannot decode.
//!
//! Not here: which keys are live (`endpoint`), how they are kept at rest (storage), and the
//! asymmetric scheme `v1a`, whose tokens [`verify`] passes over like those of any unknown scheme.

use std::fmt;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

/// What the text of a key begins with.
const KEY_PREFIX: &str = "whsec_";
/// What a token of the scheme begins with.
const SCHEME: &str = "v1,";
/// Characters of a token: the scheme, and 32 bytes in padded base64.
const TOKEN: usize = SCHEME.len() + 44;

/// Bytes that a key may have.
///
/// Standard Webhooks says 24 to 64; Svix made keys of up to 75, and who moves here keeps theirs.
pub const KEY_BYTES: RangeInclusive<usize> = 24..=75;

/// How far a timestamp may be from the receiver's clock, in seconds, either way.
///
/// Five minutes, as all the official libraries have it: enough for clocks that are set by NTP and
/// a slow network, too little to replay yesterday's request.
pub const TOLERANCE_S: i64 = 300;

/// A symmetric signing key, shared with one receiver. Never shown by `{:?}`, wiped when dropped.
#[derive(Clone)]
pub struct SigningKey(SecretSlice<u8>);

impl SigningKey {
    /// A key of these bytes.
    ///
    /// # Errors
    /// When there are fewer or more than [`KEY_BYTES`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, NotAKey> {
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(NotAKey::Length(bytes.len()));
        }
        Ok(Self(SecretSlice::from(bytes)))
    }

    /// A new key, from 32 bytes of chance.
    pub fn generated(bytes: [u8; 32]) -> Self {
        Self(SecretSlice::from(bytes.to_vec()))
    }

    /// The bytes, to be sealed and stored.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// The key as its receiver wants to be told it: `whsec_` and base64.
    pub fn reveal(&self) -> String {
        let mut text =
            String::with_capacity(KEY_PREFIX.len() + self.expose().len().div_ceil(3) * 4);
        text.push_str(KEY_PREFIX);
        STANDARD.encode_string(self.expose(), &mut text);
        text
    }

    /// The token over these parts, on the stack.
    fn token(&self, id: &str, timestamp: &[u8], body: &[u8]) -> [u8; TOKEN] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.expose()).expect("HMAC takes a key of any length");
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp);
        mac.update(b".");
        mac.update(body);

        let mut token = [0; TOKEN];
        let (scheme, signature) = token.split_at_mut(SCHEME.len());
        scheme.copy_from_slice(SCHEME.as_bytes());
        STANDARD
            .encode_slice(mac.finalize().into_bytes(), signature)
            .expect("32 bytes are 44 characters of base64");
        token
    }
}

/// `whsec_` and standard base64, or the base64 alone.
impl FromStr for SigningKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let encoded = text.strip_prefix(KEY_PREFIX).unwrap_or(text);
        Self::from_bytes(STANDARD.decode(encoded).map_err(|_| NotAKey::Base64)?)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([REDACTED])")
    }
}

/// Why something is not a signing key. Says nothing of what it was, for it may be one elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// It does not decode.
    #[error(
        "the signing key is not base64: `whsec_` and 24 to 75 bytes in standard base64 with \
         padding are accepted, or the base64 alone"
    )]
    Base64,
    /// It has so many bytes.
    #[error("the signing key has {0} bytes: 24 to 75 are accepted")]
    Length(usize),
}

/// The value of `webhook-signature`: a token for each key, in the order given (newest first).
///
/// `timestamp_s` is the second of *this attempt*, the same that goes into `webhook-timestamp`.
///
/// # Panics
/// When the id has a full stop in it. Such an id would let a receiver take part of the id for the
/// timestamp, under a signature that is right; ours never have one.
pub fn sign<'a>(
    keys: impl IntoIterator<Item = &'a SigningKey>,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
) -> String {
    assert!(!id.contains('.'), "an id that is signed has no full stop in it");

    // Formatted on the stack: i64::MIN is 20 characters.
    let mut digits = [0; 20];
    let mut rest = &mut digits[..];
    write!(rest, "{timestamp_s}").expect("20 characters hold any i64");
    let unused = rest.len();
    let timestamp = &digits[..digits.len() - unused];

    let mut header = String::with_capacity(TOKEN); // one key is the rule; rotation may grow it
    for key in keys {
        if !header.is_empty() {
            header.push(' ');
        }
        let token = key.token(id, timestamp, body);
        header.push_str(std::str::from_utf8(&token).expect("a token is ASCII"));
    }
    header
}

/// Checks a request as its receiver does: `timestamp` and `signature` are the headers' values, as
/// they came.
///
/// Takes the same time whichever token is wrong, and wherever in it.
///
/// # Errors
/// Which part of the request is not as it should be.
pub fn verify<'a>(
    keys: impl IntoIterator<Item = &'a SigningKey>,
    id: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now_s: i64,
) -> Result<(), Unverified> {
    if id.is_empty() || id.contains('.') {
        return Err(Unverified::Id);
    }
    // Digits alone: `parse` would also take a sign, and those are not the bytes that were signed.
    if !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unverified::Timestamp);
    }
    let sent_s: i64 = timestamp.parse().map_err(|_| Unverified::Timestamp)?;
    let age_s = now_s.saturating_sub(sent_s);
    if age_s > TOLERANCE_S {
        return Err(Unverified::TooOld { age_s });
    }
    if age_s < -TOLERANCE_S {
        return Err(Unverified::TooNew { ahead_s: age_s.saturating_neg() });
    }

    let mut found = Choice::from(0);
    for key in keys {
        let wanted = key.token(id, timestamp.as_bytes(), body);
        for token in signature.split(' ').filter(|token| token.starts_with(SCHEME)) {
            found |= wanted.ct_eq(token.as_bytes());
        }
    }
    if bool::from(found) { Ok(()) } else { Err(Unverified::Signature) }
}

/// Why a request cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The id is missing, or could be mistaken for an id and a timestamp.
    #[error("webhook-id is empty or has a full stop in it: neither is accepted")]
    Id,
    /// The timestamp is not a number.
    #[error("webhook-timestamp is malformed: whole seconds since 1970 are accepted")]
    Timestamp,
    /// The request was made too long ago.
    #[error("webhook-timestamp is {age_s} s old: at most 300 s are accepted")]
    TooOld {
        /// How long ago, in seconds.
        age_s: i64,
    },
    /// The request was made in the future.
    #[error("webhook-timestamp is {ahead_s} s ahead of this clock: at most 300 s are accepted")]
    TooNew {
        /// How far ahead, in seconds.
        ahead_s: i64,
    },
    /// No token is one that our keys make.
    #[error("webhook-signature matches none of the keys: the body, the id or the key differs")]
    Signature,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn published() -> Value {
        serde_json::from_str(include_str!("../../tests/data/signing-vectors.json")).expect("JSON")
    }

    /// A request as one of the published vectors describes it.
    #[derive(Clone)]
    struct Vector {
        name: String,
        key: SigningKey,
        id: String,
        timestamp_s: i64,
        body: Vec<u8>,
        signature: String,
    }

    impl Vector {
        fn read(vector: &Value) -> Self {
            Self {
                name: text(&vector["name"]),
                key: text(&vector["symmetric"]["secret"]).parse().expect("a key"),
                id: text(&vector["webhook_id"]),
                timestamp_s: vector["webhook_timestamp"].as_i64().expect("a number"),
                body: bytes(&vector["payload_base64"]),
                signature: text(&vector["symmetric"]["signature"]),
            }
        }

        fn verified_at(&self, now_s: i64) -> Result<(), Unverified> {
            let timestamp = self.timestamp_s.to_string();
            verify([&self.key], &self.id, &timestamp, &self.signature, &self.body, now_s)
        }
    }

    fn text(value: &Value) -> String {
        value.as_str().expect("a text").to_owned()
    }

    fn bytes(value: &Value) -> Vec<u8> {
        STANDARD.decode(value.as_str().expect("a text")).expect("base64")
    }

    fn vectors() -> Vec<Vector> {
        published()["vectors"].as_array().expect("a list").iter().map(Vector::read).collect()
    }

    fn key(fill: u8) -> SigningKey {
        SigningKey::generated([fill; 32])
    }

    #[test]
    fn every_published_vector_is_signed_as_published_and_verifies() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 5);

        for vector in vectors {
            let signature = sign([&vector.key], &vector.id, vector.timestamp_s, &vector.body);

            assert_eq!(signature, vector.signature, "{}", vector.name);
            assert_eq!(vector.verified_at(vector.timestamp_s), Ok(()), "{}", vector.name);
        }
    }

    #[test]
    fn during_rotation_each_key_has_a_token_and_each_receiver_finds_its_own() {
        let rotation = &published()["rotation"];
        let [current, previous] = ["current_secret", "previous_secret"]
            .map(|name| text(&rotation[name]).parse::<SigningKey>().expect("a key"));
        let (id, body) = (text(&rotation["webhook_id"]), bytes(&rotation["payload_base64"]));
        let timestamp_s = rotation["webhook_timestamp"].as_i64().expect("a number");
        let published = text(&rotation["webhook_signature"]);

        let ours = sign([&current, &previous], &id, timestamp_s, &body);

        // The published header ends in a v1a token, which is another scheme's.
        assert_eq!(ours, published.split(" v1a,").next().expect("a first part"));
        let timestamp = timestamp_s.to_string();
        for header in [&ours, &published] {
            for known in [&current, &previous] {
                assert_eq!(verify([known], &id, &timestamp, header, &body, timestamp_s), Ok(()));
            }
        }
    }

    #[test]
    fn every_published_forgery_is_rejected() {
        let published = published();
        let negatives = published["negative"].as_array().expect("a list");
        assert_eq!(negatives.len(), 9);

        for negative in negatives {
            let base = negative["base"].as_str().unwrap_or("official-library-vector");
            let mut forged =
                vectors().into_iter().find(|vector| vector.name == base).expect("a known vector");
            if let Some(id) = negative["webhook_id"].as_str() {
                id.clone_into(&mut forged.id);
            }
            if let Some(timestamp_s) = negative["webhook_timestamp"].as_i64() {
                forged.timestamp_s = timestamp_s;
            }
            if negative["payload_base64"].is_string() {
                forged.body = bytes(&negative["payload_base64"]);
            }
            if let Some(signature) = negative["webhook_signature"].as_str() {
                signature.clone_into(&mut forged.signature);
            }
            let now_s = negative["now"].as_i64().unwrap_or(forged.timestamp_s);

            let name = negative["name"].as_str().expect("a text");
            let expected = match name {
                "dot-splice" => Unverified::Id,
                "stale-timestamp" => Unverified::TooOld { age_s: 301 },
                "future-timestamp" => Unverified::TooNew { ahead_s: 301 },
                _ => Unverified::Signature,
            };
            assert_eq!(forged.verified_at(now_s), Err(expected), "{name}");
        }
    }

    #[test]
    #[should_panic(expected = "no full stop")]
    fn an_id_that_could_be_split_elsewhere_is_never_signed() {
        sign([&key(1)], "a.1", 2, b"{}");
    }

    #[test]
    fn a_timestamp_is_accepted_for_five_minutes_either_way() {
        let header = sign([&key(1)], "msg_1", 1_000, b"{}");
        let at = |now_s| verify([&key(1)], "msg_1", "1000", &header, b"{}", now_s);

        assert_eq!((at(1_300), at(700)), (Ok(()), Ok(())));
        assert_eq!(at(1_301), Err(Unverified::TooOld { age_s: 301 }));
        assert_eq!(at(699), Err(Unverified::TooNew { ahead_s: 301 }));
    }

    #[test]
    fn a_timestamp_that_is_not_plain_digits_is_malformed() {
        for timestamp in ["", "+5", "-5", "1e3", "5.0", " 5", "99999999999999999999"] {
            assert_eq!(
                verify([&key(1)], "msg_1", timestamp, "v1,x", b"{}", 5),
                Err(Unverified::Timestamp),
                "{timestamp:?}"
            );
        }
    }

    #[test]
    fn an_untidy_header_is_rejected_or_understood_but_never_a_panic() {
        let good = sign([&key(1)], "msg_1", 5, b"{}");
        let verdict = |header: &str| verify([&key(1)], "msg_1", "5", header, b"{}", 5).is_ok();

        for header in ["", " ", "v1", "v1,", ",", "v1,é", "v1a,AAAA", "v1,AAAA  v1,BBBB"] {
            assert!(!verdict(header), "{header:?}");
        }
        for header in [format!(" {good}"), format!("v1,  {good} "), format!("x,y,z {good}")] {
            assert!(verdict(&header), "{header:?}");
        }
    }

    #[test]
    fn the_least_and_the_greatest_second_can_be_signed() {
        for timestamp_s in [i64::MIN, 0, i64::MAX] {
            assert_eq!(sign([&key(1)], "msg_1", timestamp_s, b"").len(), TOKEN);
        }
    }

    #[test]
    fn a_key_reads_back_as_it_was_revealed_with_its_prefix_or_without() {
        let revealed = key(7).reveal();
        let bare = revealed.strip_prefix("whsec_").expect("the prefix");

        for text in [revealed.as_str(), bare] {
            assert_eq!(text.parse::<SigningKey>().expect("a key").expose(), key(7).expose());
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_repeating_it() {
        let short = STANDARD.encode([1; 23]);
        let long = STANDARD.encode([1; 76]);
        let table = [
            ("hunter2!", NotAKey::Base64),
            ("whsk_PIbcSPubxa5fzJ", NotAKey::Base64),
            ("", NotAKey::Length(0)),
            (&short, NotAKey::Length(23)),
            (&long, NotAKey::Length(76)),
        ];
        for (text, expected) in table {
            let refused = text.parse::<SigningKey>().expect_err(text);
            assert_eq!(refused, expected, "{text}");
            assert!(text.is_empty() || !refused.to_string().contains(text));
        }
        assert_eq!(SigningKey::from_bytes(vec![1; 24]).map(|key| key.expose().len()), Ok(24));
        assert_eq!(SigningKey::from_bytes(vec![1; 75]).map(|key| key.expose().len()), Ok(75));
    }

    #[test]
    fn a_key_is_never_shown_by_debug() {
        assert_eq!(format!("{:?}", key(7)), "SigningKey([REDACTED])");
    }
}
