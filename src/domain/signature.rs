//! Standard Webhooks signatures.

use std::convert::Infallible;

use secrecy::{ExposeSecret, SecretSlice};

/// A symmetric signing key.
#[derive(Debug, Clone)]
pub struct SigningKey(SecretSlice<u8>);

impl SigningKey {
    /// The key of these bytes.
    ///
    /// # Errors
    /// None yet.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Infallible> {
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}
