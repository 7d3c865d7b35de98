//! Keys: what we sign with, and what a receiver checks with.
//!
//! Two schemes. A `v1` key is shared: who can check can sign. A `v1a` key is a pair: we keep the
//! private half, and the receiver is told the public one, which signs nothing. So the words that a
//! key is told in differ: `whsec_` for a shared key, `whpk_` for a public one; `whsk_`, the private
//! half, is read when an owner brings it and never written.
//!
//! Keys come from people and from stores, so everything about their form is checked here, once.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::ed25519::signature::MultipartSigner as _;
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use super::Content;

/// What the text of a shared key begins with.
const SHARED_PREFIX: &str = "whsec_";
/// What the text of a private key begins with.
const PRIVATE_PREFIX: &str = "whsk_";
/// What the text of a public key begins with.
const PUBLIC_PREFIX: &str = "whpk_";

/// Bytes that a shared key may have.
///
/// Standard Webhooks says 24 to 64; Svix made keys of up to 75, and who moves here keeps theirs.
pub const KEY_BYTES: RangeInclusive<usize> = 24..=75;

/// Characters of a `v1` token: the scheme, and 32 bytes in padded base64.
pub(super) const V1_TOKEN: usize = "v1,".len() + 44;

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HMAC-SHA256, under a key that both sides know.
    V1,
    /// Ed25519: we have the private key, receivers the public one.
    V1a,
}

impl Scheme {
    /// The word for it, in a store and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }

    /// What a token of the scheme begins with.
    const fn start(self) -> &'static str {
        match self {
            Self::V1 => "v1,",
            Self::V1a => "v1a,",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scheme {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "v1" => Ok(Self::V1),
            "v1a" => Ok(Self::V1a),
            _ => Err(format!("`{word}` is not a scheme: v1 and v1a are accepted")),
        }
    }
}

/// A key to sign with. Never shown by `{:?}`, wiped when dropped.
#[derive(Clone)]
pub struct SigningKey(Kind);

#[derive(Clone)]
enum Kind {
    Shared(SecretSlice<u8>),
    /// Boxed: with its public half it is seven times as large as a shared key's handle.
    Pair(Box<ed25519_dalek::SigningKey>),
}

impl SigningKey {
    /// A shared key of these bytes.
    ///
    /// # Errors
    /// When there are fewer or more than [`KEY_BYTES`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, NotAKey> {
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(NotAKey::Length(bytes.len()));
        }
        Ok(Self(Kind::Shared(SecretSlice::from(bytes))))
    }

    /// The key that was stored as these bytes, those of [`SigningKey::expose`].
    ///
    /// # Errors
    /// When a key of the scheme cannot be so long.
    pub fn stored(scheme: Scheme, bytes: Vec<u8>) -> Result<Self, NotAKey> {
        match scheme {
            Scheme::V1 => Self::from_bytes(bytes),
            Scheme::V1a => Self::pair(&Zeroizing::new(bytes)),
        }
    }

    /// A new shared key, from 32 bytes of chance.
    pub fn generated(bytes: [u8; 32]) -> Self {
        Self::generated_for(Scheme::V1, bytes)
    }

    /// A new key of that scheme, from 32 bytes of chance.
    pub fn generated_for(scheme: Scheme, bytes: [u8; 32]) -> Self {
        Self(match scheme {
            Scheme::V1 => Kind::Shared(SecretSlice::from(bytes.to_vec())),
            Scheme::V1a => Kind::Pair(Box::new(ed25519_dalek::SigningKey::from_bytes(&bytes))),
        })
    }

    /// The pair of this private key: its seed, or the seed and the public key behind it.
    fn pair(bytes: &[u8]) -> Result<Self, NotAKey> {
        let pair = if let Ok(seed) = <&[u8; 32]>::try_from(bytes) {
            ed25519_dalek::SigningKey::from_bytes(seed)
        } else if let Ok(both) = <&[u8; 64]>::try_from(bytes) {
            // A public half that is another's would make signatures that give the private one away.
            ed25519_dalek::SigningKey::from_keypair_bytes(both).map_err(|_| NotAKey::Halves)?
        } else {
            return Err(NotAKey::PrivateLength(bytes.len()));
        };
        Ok(Self(Kind::Pair(Box::new(pair))))
    }

    /// How it signs.
    pub const fn scheme(&self) -> Scheme {
        match self.0 {
            Kind::Shared(_) => Scheme::V1,
            Kind::Pair(_) => Scheme::V1a,
        }
    }

    /// The bytes, to be sealed and stored: a shared key's own, a pair's seed.
    pub fn expose(&self) -> &[u8] {
        match &self.0 {
            Kind::Shared(key) => key.expose_secret(),
            Kind::Pair(pair) => pair.as_bytes(),
        }
    }

    /// The key as its receiver wants to be told it: `whsec_` and base64, or `whpk_` and base64 of the
    /// public half. A private half is never told.
    pub fn reveal(&self) -> String {
        match &self.0 {
            Kind::Shared(key) => written(SHARED_PREFIX, key.expose_secret()),
            Kind::Pair(pair) => written(PUBLIC_PREFIX, pair.verifying_key().as_bytes()),
        }
    }

    /// What a receiver checks with who was told [`SigningKey::reveal`].
    pub fn for_receiver(&self) -> ReceiverKey {
        match &self.0 {
            Kind::Shared(_) => ReceiverKey(Check::Shared(self.clone())),
            Kind::Pair(pair) => ReceiverKey(Check::Public(pair.verifying_key())),
        }
    }

    /// Writes its token over the content.
    pub(super) fn sign(&self, content: &Content<'_>, header: &mut String) {
        match &self.0 {
            Kind::Shared(key) => {
                let token = v1(key.expose_secret(), content);
                header.push_str(std::str::from_utf8(&token).expect("a token is ASCII"));
            }
            Kind::Pair(pair) => {
                header.push_str(Scheme::V1a.start());
                STANDARD.encode_string(pair.multipart_sign(&content.parts()).to_bytes(), header);
            }
        }
    }
}

/// `whsec_` and standard base64, or the base64 alone; `whsk_` and the base64 of a seed, with its
/// public half or without.
impl FromStr for SigningKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        if let Some(encoded) = text.strip_prefix(PRIVATE_PREFIX) {
            let bytes = STANDARD.decode(encoded).map_err(|_| NotAKey::Base64)?;
            return Self::pair(&Zeroizing::new(bytes));
        }
        if text.starts_with(PUBLIC_PREFIX) {
            return Err(NotAKey::Public);
        }
        let encoded = text.strip_prefix(SHARED_PREFIX).unwrap_or(text);
        Self::from_bytes(STANDARD.decode(encoded).map_err(|_| NotAKey::Base64)?)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([REDACTED])")
    }
}

/// A key to check with: a shared one, or the public half of a pair.
#[derive(Clone)]
pub struct ReceiverKey(Check);

#[derive(Clone)]
enum Check {
    Shared(SigningKey),
    Public(VerifyingKey),
}

impl ReceiverKey {
    /// Whether one of the header's tokens is this key's. Of a shared key, which token is wrong, and
    /// where in it, takes the same time; of a public one there is nothing to be learnt.
    pub(super) fn is_in(&self, header: &str, content: &Content<'_>) -> Choice {
        let mut found = Choice::from(0);
        match &self.0 {
            Check::Shared(key) => {
                let wanted = v1(key.expose(), content);
                for token in header.split(' ').filter(|one| one.starts_with(Scheme::V1.start())) {
                    found |= wanted.ct_eq(token.as_bytes());
                }
            }
            Check::Public(key) => {
                let content = content.parts().concat();
                for token in header.split(' ') {
                    let signed = token
                        .strip_prefix(Scheme::V1a.start())
                        .and_then(|encoded| STANDARD.decode(encoded).ok())
                        .and_then(|bytes| Signature::from_slice(&bytes).ok())
                        // Strictly: no key and no point for which several contents would do.
                        .is_some_and(|signature| key.verify_strict(&content, &signature).is_ok());
                    found |= Choice::from(u8::from(signed));
                }
            }
        }
        found
    }
}

/// What [`SigningKey::reveal`] tells: `whsec_` and base64, the base64 alone, or `whpk_` and base64.
impl FromStr for ReceiverKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        if text.starts_with(PRIVATE_PREFIX) {
            return Err(NotAKey::Private);
        }
        let Some(encoded) = text.strip_prefix(PUBLIC_PREFIX) else {
            return text.parse().map(|key| Self(Check::Shared(key)));
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| NotAKey::Base64)?;
        let bytes: [u8; 32] =
            bytes.try_into().map_err(|bytes: Vec<u8>| NotAKey::PublicLength(bytes.len()))?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NotAKey::NoPoint)?;
        Ok(Self(Check::Public(key)))
    }
}

impl fmt::Debug for ReceiverKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiverKey([REDACTED])")
    }
}

/// The `v1` token over the content, on the stack.
fn v1(key: &[u8], content: &Content<'_>) -> [u8; V1_TOKEN] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in content.parts() {
        mac.update(part);
    }
    let start = Scheme::V1.start();
    let mut token = [0; V1_TOKEN];
    let (scheme, signature) = token.split_at_mut(start.len());
    scheme.copy_from_slice(start.as_bytes());
    STANDARD
        .encode_slice(mac.finalize().into_bytes(), signature)
        .expect("32 bytes are 44 characters of base64");
    token
}

fn written(prefix: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(prefix.len() + bytes.len().div_ceil(3) * 4);
    text.push_str(prefix);
    STANDARD.encode_string(bytes, &mut text);
    text
}

/// Why something is not a key. Says nothing of what it was, for it may be one elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// It does not decode.
    #[error(
        "the signing key is not base64: `whsec_` and 24 to 75 bytes in standard base64 with \
         padding are accepted, the base64 alone, or `whsk_` and an Ed25519 key"
    )]
    Base64,
    /// It has so many bytes.
    #[error("the signing key has {0} bytes: 24 to 75 are accepted")]
    Length(usize),
    /// A private key has so many bytes.
    #[error("the private key has {0} bytes: a seed of 32 is accepted, or 64 with its public key")]
    PrivateLength(usize),
    /// Its halves do not belong together.
    #[error("the public key in the private one is another's: 64 bytes of one pair are accepted")]
    Halves,
    /// What receivers are told, where we are to sign.
    #[error("`whpk_` is a public key, which cannot sign: `whsk_` is accepted")]
    Public,
    /// What only we should know, where a receiver checks.
    #[error("`whsk_` is a private key: a receiver needs the `whpk_` that belongs to it")]
    Private,
    /// A public key has so many bytes.
    #[error("the public key has {0} bytes: 32 are accepted")]
    PublicLength(usize),
    /// The bytes are no public key.
    #[error("the public key is not one of Ed25519: 32 bytes that are a point are accepted")]
    NoPoint,
}
