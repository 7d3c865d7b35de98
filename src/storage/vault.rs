//! Encryption at rest: what a stolen copy of the database must not give away.
//!
//! XChaCha20-Poly1305 with a random nonce (24 bytes, so chance never repeats one). A record is bound
//! to its place, table, column, tenant and row: somebody who can write to the database cannot move
//! one tenant's secret into another's row and have us use it.
//!
//! Rotation: a new key is put at the head of the list; what is written from then on is sealed with
//! it, what was written before is opened with the old one for as long as that is in the list.
//!
//! ```text
//! record = 0x01 | key id, u32 big endian | nonce, 24 bytes | ciphertext and tag
//! ```
//!
//! Left to others: where the keys come from.

use std::collections::HashSet;
use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretBox};

use super::StorageError;

/// The only form of a record so far.
const VERSION: u8 = 1;
const NONCE: usize = 24;
/// Version, key id and nonce.
const HEAD: usize = 1 + 4 + NONCE;

/// The keys that secrets are sealed with.
pub struct Vault {
    seals: Key,
    only_opens: Vec<Key>,
}

/// A key with the id that records name it by.
type Key = (u32, SecretBox<[u8; 32]>);

/// Where a record belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The tenant's id.
    pub application: &'a [u8],
    /// What tells the row from others.
    pub row: &'a [u8],
}

/// Why a list of keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAKeyring {
    /// There was none.
    #[error("no encryption key is given: at least one is wanted")]
    Empty,
    /// Two keys have the same id.
    #[error("two encryption keys have the id {0}: each needs an id of its own")]
    Twice(u32),
}

impl Vault {
    /// A vault that seals with the first key and opens with any of them.
    ///
    /// # Errors
    /// When there is no key, or two have the same id.
    pub fn new(keys: Vec<(u32, SecretBox<[u8; 32]>)>) -> Result<Self, NotAKeyring> {
        let mut ids = HashSet::new();
        if let Some((id, _)) = keys.iter().find(|(id, _)| !ids.insert(*id)) {
            return Err(NotAKeyring::Twice(*id));
        }
        let mut keys = keys.into_iter();
        let seals = keys.next().ok_or(NotAKeyring::Empty)?;
        Ok(Self { seals, only_opens: keys.collect() })
    }

    /// Seals a secret for its place.
    ///
    /// # Errors
    /// `Unavailable` when the system has no randomness to give; `Conflict` for a secret of more than
    /// 256 GiB, the cipher's limit.
    pub fn seal(&self, place: &Place<'_>, secret: &[u8]) -> Result<Vec<u8>, StorageError> {
        let (id, key) = &self.seals;
        let mut nonce = [0; NONCE];
        #[expect(
            clippy::disallowed_methods,
            reason = "a nonce repeated is a secret lost: no caller may choose it"
        )]
        let drawn = getrandom::fill(&mut nonce);
        drawn.map_err(|error| StorageError::Unavailable(format!("no randomness: {error}")))?;
        let bound = Payload { msg: secret, aad: &place.bound() };
        let sealed = cipher(key).encrypt(&XNonce::from(nonce), bound).map_err(|_| {
            StorageError::Conflict(format!("{place}: {} bytes are too many", secret.len()))
        })?;
        let mut record = Vec::with_capacity(HEAD + sealed.len());
        record.push(VERSION);
        record.extend_from_slice(&id.to_be_bytes());
        record.extend_from_slice(&nonce);
        record.extend_from_slice(&sealed);
        Ok(record)
    }

    /// Opens the record of this place.
    ///
    /// # Errors
    /// `Corrupt` when it was sealed with a key that we do not have (the error names its id), belongs
    /// to another place, or was changed.
    pub fn open(&self, place: &Place<'_>, record: &[u8]) -> Result<Vec<u8>, StorageError> {
        let cannot = |why: String| StorageError::Corrupt(format!("{place}: {why}"));
        let Some((head, sealed)) = record.split_first_chunk::<HEAD>() else {
            return Err(cannot(format!("{} bytes are no sealed record", record.len())));
        };
        let [version, i0, i1, i2, i3, nonce @ ..] = *head;
        if version != VERSION {
            return Err(cannot(format!("sealed in form {version}: form {VERSION} is known")));
        }
        let id = u32::from_be_bytes([i0, i1, i2, i3]);
        let Some((_, key)) = self.keys().find(|(known, _)| *known == id) else {
            return Err(cannot(format!(
                "sealed with encryption key {id}, which is not configured"
            )));
        };
        let bound = Payload { msg: sealed, aad: &place.bound() };
        cipher(key).decrypt(&XNonce::from(nonce), bound).map_err(|_| {
            cannot(format!(
                "does not open with encryption key {id}: the key is another one, or the record was \
                 changed or moved here"
            ))
        })
    }
}

impl Vault {
    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.seals).chain(&self.only_opens)
    }
}

fn cipher(key: &SecretBox<[u8; 32]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.expose_secret().into())
}

/// The ids alone.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys().map(|(id, _)| id)).finish()
    }
}

impl Place<'_> {
    /// The bytes that a record is bound to.
    fn bound(&self) -> Vec<u8> {
        let parts = [self.table.as_bytes(), self.column.as_bytes(), self.application, self.row];
        let mut bound = Vec::with_capacity(96);
        for part in parts {
            // The length first: ("ab", "c") and ("a", "bc") are different places.
            bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bound.extend_from_slice(part);
        }
        bound
    }
}

/// `endpoint_keys.key`: names the place for people, without its ids.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> =
        Place { table: "endpoint_keys", column: "key", application: b"acme", row: b"ep_1" };

    fn vault(keys: &[(u32, u8)]) -> Vault {
        Vault::new(
            keys.iter().map(|(id, byte)| (*id, SecretBox::new(Box::new([*byte; 32])))).collect(),
        )
        .expect("a keyring")
    }

    fn why(opened: Result<Vec<u8>, StorageError>) -> String {
        match opened {
            Err(StorageError::Corrupt(why)) => why,
            other => panic!("should be corrupt: {other:?}"),
        }
    }

    #[test]
    fn what_was_sealed_opens_again_and_is_not_readable_before() {
        let vault = vault(&[(1, 7)]);
        let record = vault.seal(&HERE, b"a signing key").expect("sealed");

        assert_eq!(vault.open(&HERE, &record), Ok(b"a signing key".to_vec()));
        assert!(!record.windows(7).any(|bytes| bytes == b"signing"));
        assert_ne!(record, vault.seal(&HERE, b"a signing key").expect("sealed"), "another nonce");
    }

    #[test]
    fn a_record_copied_to_another_place_does_not_open() {
        let vault = vault(&[(1, 7)]);
        let record = vault.seal(&HERE, b"a signing key").expect("sealed");

        let elsewhere = [
            Place { row: b"ep_2", ..HERE },
            Place { application: b"evil", ..HERE },
            Place { column: "headers", ..HERE },
            Place { table: "endpoints", ..HERE },
            Place { application: b"acmee", row: b"p_1", ..HERE },
        ];
        for place in elsewhere {
            assert!(why(vault.open(&place, &record)).contains("moved here"), "{place:?}");
        }
    }

    #[test]
    fn a_changed_or_cut_record_does_not_open() {
        let vault = vault(&[(1, 7)]);
        let record = vault.seal(&HERE, b"a signing key").expect("sealed");

        for position in 0..record.len() {
            let mut changed = record.clone();
            changed[position] ^= 1;
            why(vault.open(&HERE, &changed));
            why(vault.open(&HERE, &record[..position]));
        }
    }

    #[test]
    fn a_new_key_at_the_head_seals_and_the_old_one_still_opens() {
        let before = vault(&[(1, 7)]);
        let after = vault(&[(2, 8), (1, 7)]);
        let old = before.seal(&HERE, b"old").expect("sealed");
        let new = after.seal(&HERE, b"new").expect("sealed");

        assert_eq!(after.open(&HERE, &old), Ok(b"old".to_vec()));
        assert_eq!(after.open(&HERE, &new), Ok(b"new".to_vec()));
        assert_eq!(
            why(before.open(&HERE, &new)),
            "endpoint_keys.key: sealed with encryption key 2, which is not configured"
        );
    }

    #[test]
    fn a_keyring_without_keys_or_with_an_id_twice_is_refused() {
        let key = |id| (id, SecretBox::new(Box::new([0; 32])));
        assert_eq!(Vault::new(vec![]).map(|_| ()), Err(NotAKeyring::Empty));
        assert_eq!(Vault::new(vec![key(3), key(3)]).map(|_| ()), Err(NotAKeyring::Twice(3)));
    }
}
