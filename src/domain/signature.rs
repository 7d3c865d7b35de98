//! Standard Webhooks signatures.
use secrecy::SecretSlice;
/// A symmetric signing key.
#[derive(Debug, Clone)]
pub struct SigningKey(#[expect(dead_code, reason = "stub")] SecretSlice<u8>);
