//! Says who sent it: signatures as Standard Webhooks 1.0.0 wants them, made and checked.
//!
//! What is signed is `id.timestamp.body`, over the exact bytes that are sent: with HMAC-SHA256 under
//! a key that only we and the receiver know (scheme `v1`), or with Ed25519 under a key that only we
//! know (scheme `v1a`). While keys are being exchanged, or the scheme, a request carries one token
//! for each of them, newest first; a receiver is content with any.
//!
//! Tokens are joined by exactly one space and nothing else is ever in the header: widespread
//! receiving libraries fail on a second space, an empty token, or one that they cannot decode.
//!
//! The keys themselves are in `key`, and what an endpoint wants of all this in `signing`. Not here: which of them are live (`endpoint`), and how they are
//! kept at rest (storage).

mod key;
mod signing;

use std::io::Write as _;

use subtle::Choice;

pub use self::key::{KEY_BYTES, NotAKey, ReceiverKey, Scheme, SigningKey};
pub use self::signing::{Encoding, LegacyHeader, LegacyKey, SignedContent, Signing, SigningScheme};

/// How far a timestamp may be from the receiver's clock, in seconds, either way.
///
/// Five minutes, as all the official libraries have it: enough for clocks that are set by NTP and
/// a slow network, too little to replay yesterday's request.
pub const TOLERANCE_S: i64 = 300;

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
    let content = Content { id, timestamp: &digits[..digits.len() - unused], body };

    // One shared key is the rule; rotation may grow it.
    let mut header = String::with_capacity(key::V1_TOKEN);
    for key in keys {
        if !header.is_empty() {
            header.push(' ');
        }
        key.sign(&content, &mut header);
    }
    header
}

/// What is signed, in its parts.
struct Content<'a> {
    id: &'a str,
    timestamp: &'a [u8],
    body: &'a [u8],
}

impl Content<'_> {
    const fn parts(&self) -> [&[u8]; 5] {
        [self.id.as_bytes(), b".", self.timestamp, b".", self.body]
    }
}

/// Checks a request as its receiver does: `timestamp` and `signature` are the headers' values, as
/// they came.
///
/// Takes the same time whichever token is wrong, and wherever in it.
///
/// # Errors
/// Which part of the request is not as it should be.
pub fn verify<'a>(
    keys: impl IntoIterator<Item = &'a ReceiverKey>,
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

    let content = Content { id, timestamp: timestamp.as_bytes(), body };
    let mut found = Choice::from(0);
    for key in keys {
        found |= key.is_in(signature, &content);
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
mod tests;
