//! Where keys come from: those that secrets are sealed with, and the one that tokens are signed with.
//!
//! When none are configured, one of each is made on the first start and kept beside the database,
//! readable by its owner only. Whoever copies the database without them has no secrets, and cannot make
//! tokens.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretBox;

use super::chance;
use crate::config::{Config, KeyPlace};
use crate::control::tokens::TokenKey;
use crate::storage::vault::Vault;

/// The id of the key that is made on the first start.
const FIRST_KEY: u32 = 1;

/// Opens the vault with the configured keys, or with the one of the data folder.
///
/// # Errors
/// When a key cannot be read, or is not 32 bytes in base64.
pub(super) fn vault(config: &Config) -> anyhow::Result<Vault> {
    let mut keys = Vec::new();
    if config.encryption.keys.is_empty() {
        keys.push((FIRST_KEY, sealing_key(config)?));
    }
    for source in &config.encryption.keys {
        let key = read(&source.place).with_context(|| format!("encryption key {}", source.id))?;
        keys.push((source.id, key));
    }
    Ok(Vault::new(keys)?)
}

/// The key that seals secrets in this data folder. Never made beside a database that is there: what that
/// one holds is sealed with another.
fn sealing_key(config: &Config) -> anyhow::Result<SecretBox<[u8; 32]>> {
    let (key, database) = (config.key_file(), config.database());
    if !key.exists() && database.exists() {
        bail!(
            "{} is missing, and {} may have secrets sealed with it: put the key that belongs to it there, \
             or name it in encryption.keys",
            key.display(),
            database.display()
        );
    }
    own_key(&key)
}

/// The key of tokens: the configured one, or the one of the data folder.
///
/// # Errors
/// When it cannot be read, or is not 32 bytes in base64; or when it is missing.
pub(super) fn tokens(config: &Config) -> anyhow::Result<TokenKey> {
    let key = match &config.api.token_key {
        Some(place) => read(place).context("api.token_key")?,
        None => signing_key(config)?,
    };
    Ok(TokenKey::new(key))
}

/// Makes the keys of a data folder that is new: before its database, so that a database is never there
/// without them.
///
/// # Errors
/// As for each of them.
pub(super) fn prepare(config: &Config) -> anyhow::Result<()> {
    if config.api.token_key.is_none() && !config.database().exists() {
        signing_key(config)?;
    }
    Ok(())
}

/// The key that signs tokens in this data folder. Not made beside a database that is there, for then it
/// was lost, and every token with it; a developer may have another.
fn signing_key(config: &Config) -> anyhow::Result<SecretBox<[u8; 32]>> {
    let (key, database) = (config.token_key_file(), config.database());
    if !key.exists() && database.exists() && !config.dev {
        bail!(
            "{} is missing, and tokens that were made before are signed with it: put it back, or name \
             another key in api.token_key, and make new tokens",
            key.display()
        );
    }
    own_key(&key)
}

fn read(place: &KeyPlace) -> anyhow::Result<SecretBox<[u8; 32]>> {
    let text = match place {
        KeyPlace::File(path) => {
            fs::read_to_string(path).with_context(|| path.display().to_string())?
        }
        #[expect(clippy::disallowed_methods, reason = "the configuration names the variable")]
        KeyPlace::Environment(name) => {
            std::env::var(name).with_context(|| format!("variable {name}"))?
        }
    };
    parse(&text)
}

fn own_key(path: &Path) -> anyhow::Result<SecretBox<[u8; 32]>> {
    let place = || path.display().to_string();
    if !path.exists() {
        make(path).with_context(place)?;
    }
    parse(&fs::read_to_string(path).with_context(place)?).with_context(place)
}

/// Makes a key, unless another process is faster: then its key is the key.
///
/// Written beside its place and linked there when it is whole: nobody reads half a key, and a crash
/// leaves none.
fn make(path: &Path) -> std::io::Result<()> {
    let draft = path.with_extension(format!("key.{:016x}", chance::bits()));
    let text = STANDARD.encode(chance::bytes::<32>());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let linked = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all()) // before anything is sealed or signed with it
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn parse(text: &str) -> anyhow::Result<SecretBox<[u8; 32]>> {
    // The text is never repeated in an error: it is a secret, if a wrong one.
    let Ok(bytes) = STANDARD.decode(text.trim()) else {
        bail!("is not base64: 32 bytes in base64 are wanted, as `openssl rand -base64 32` makes");
    };
    match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(key) => Ok(SecretBox::new(Box::new(key))),
        Err(_) => bail!("has {} bytes: 32 in base64 are wanted", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret.key");

        let first = own_key(&path).expect("made");
        let again = own_key(&path).expect("read");

        assert_eq!(first.expose_secret(), again.expose_secret());
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "and nothing else");
    }

    #[test]
    fn a_key_of_another_length_is_refused_and_not_repeated() {
        let error = parse("c2hvcnQ=").expect_err("five bytes").to_string();
        assert_eq!(error, "has 5 bytes: 32 in base64 are wanted");
    }
}
