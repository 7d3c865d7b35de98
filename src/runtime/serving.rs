//! The note that a running router leaves in its data folder: where its API is, for the commands that are
//! run on the same machine and talk to it (`serving.json`).
//!
//! Only the place, and no token: who can read the folder's key makes a token for itself, and who cannot has
//! no business with either. The note alone says nothing about whether the router still lives, for one that
//! was killed leaves it behind: the folder's lock does, which the system takes back whatever happens. So
//! nobody's token is sent to whoever listens on a dead router's port.
//!
//! **What if we die right here?** Before the rename there is no note; behind it there is a stale one, which
//! is passed over by the lock and taken away by the next router, before it writes its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{chance, clock, serve, welcome};
use crate::config::Config;
use crate::domain::time::Timestamp;

/// Most bytes of a note that are read: it has some 120.
const BYTES_MAX: u64 = 4 * 1_024;

/// Where a router serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    /// The API's address without its path, as `http://127.0.0.1:8071`.
    pub api: String,
    /// The router's process.
    pub pid: u32,
    /// When it began.
    pub started_at: Timestamp,
}

/// Who serves a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A router does.
    Here(Serving),
    /// Nobody does; where the last one did, when it was killed.
    Nobody(Option<Serving>),
}

/// Who serves the data folder of this configuration.
///
/// # Errors
/// When the note is there and cannot be read.
pub fn find(config: &Config) -> anyhow::Result<Found> {
    // The lock first: a note that is read behind it is that router's, or one that came later.
    let lives = serve::a_router_runs(config);
    let path = place(config);
    let note = read(&path).with_context(|| path.display().to_string())?;
    Ok(match note {
        Some(note) if lives => Found::Here(note),
        note => Found::Nobody(note),
    })
}

/// A router's note, which goes when this does.
pub(super) struct Note(PathBuf);

impl Note {
    /// Takes away what a router that was killed has left; asked with the folder's lock in hand.
    pub(super) fn clear(config: &Config) -> anyhow::Result<()> {
        let path = place(config);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| path.display().to_string())
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Says that the API is here. Whole or not at all: it is written beside its place and renamed.
    pub(super) fn write(config: &Config, api: SocketAddr) -> anyhow::Result<Self> {
        let serving = Serving {
            api: format!("http://{}", welcome::reachable(api)),
            pid: std::process::id(),
            started_at: clock::now(),
        };
        let path = place(config);
        put(&path, &serde_json::to_vec(&serving)?).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // a stale one is told by the lock
    }
}

fn place(config: &Config) -> PathBuf {
    config.data_dir.join("serving.json")
}

fn read(path: &Path) -> anyhow::Result<Option<Serving>> {
    use std::io::Read as _;
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(serde_json::from_str(&text).context("is not what a router writes")?))
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("json.{:016x}", chance::bits()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let put = file.write_all(bytes).and_then(|()| fs::rename(&draft, path));
    if put.is_err() {
        let _ = fs::remove_file(&draft);
    }
    put
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::{Sources, load};

    fn config(folder: &Path) -> Config {
        let folder = folder.to_str().expect("text").to_owned();
        let environment = vec![("POSTHASTE_DATA_DIR".to_owned(), folder)];
        load(&Sources { environment, ..Sources::default() }).expect("settings").0
    }

    #[test]
    fn a_note_is_its_owners_alone_and_goes_with_its_router() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(folder.path());
        let address = "0.0.0.0:8071".parse().expect("an address");

        let note = Note::write(&config, address).expect("written");
        let path = place(&config);
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        let told = read(&path).expect("readable").expect("there");
        assert_eq!(told.api, "http://127.0.0.1:8071");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "and no draft");

        drop(note);
        assert_eq!(read(&path).expect("readable"), None);
    }

    #[test]
    fn a_note_without_a_router_behind_it_is_nobodys() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(folder.path());
        let address = "127.0.0.1:8071".parse().expect("an address");
        assert_eq!(find(&config).expect("readable"), Found::Nobody(None));

        let _note = Note::write(&config, address).expect("written");
        assert!(
            matches!(find(&config).expect("readable"), Found::Nobody(Some(_))),
            "it was killed"
        );

        Note::clear(&config).expect("taken away");
        assert_eq!(find(&config).expect("readable"), Found::Nobody(None));
    }
}
