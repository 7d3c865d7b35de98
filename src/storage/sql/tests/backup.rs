//! A copy of the file, made while it is written; and what a disk without room means to the writer.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::storage::StorageError;
use crate::storage::journal::Ledger;
use crate::storage::sqlite::backup::{Existing, copy};
use crate::storage::upkeep::Upkeep;

impl Place {
    /// A path beside the file.
    fn in_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[tokio::test]
async fn a_copy_has_what_was_confirmed_before_it_and_is_its_owners_alone() {
    let place = Place::on_file();
    let event = place.owe("run-7", &["a"]).await;
    let to = place.in_folder("copy.db");

    let bytes = copy(&path(&place.folder), &to, Existing::Keep).expect("copied");

    let file = std::fs::metadata(&to).expect("there");
    assert_eq!((file.len(), file.permissions().mode() & 0o777), (bytes, 0o600));
    assert!(!place.in_folder("copy.db.partial").exists());
    let restored =
        Sql::open(&Settings::Sqlite(sqlite::Settings { path: to }), vault()).expect("opens");
    let found = Ledger::event(&restored, event.id).await.expect("read").expect("it is in it");
    assert_eq!(found.payload, event.payload);
    let stands = restored.standings(vec![key(&event, "a")]).await.expect("read");
    assert_eq!(stands, [Some(standing(0, 0, DeliveryState::Pending))]);
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_it_is_said() {
    let place = Place::on_file();
    let (from, to) = (path(&place.folder), place.in_folder("copy.db"));
    std::fs::write(&to, "something else").expect("written");

    let refused = copy(&from, &to, Existing::Keep).expect_err("refused");
    assert_eq!(refused, StorageError::Conflict(format!("{} is there already", to.display())));
    assert_eq!(std::fs::read_to_string(&to).expect("read"), "something else");

    copy(&from, &to, Existing::Replace).expect("replaced");
    let copied = rusqlite::Connection::open(&to).expect("opens");
    let check: String =
        copied.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(check, "ok");
}

#[test]
fn what_an_interrupted_copy_left_is_written_over_and_two_at_once_are_refused() {
    let place = Place::on_file();
    let (from, to) = (path(&place.folder), place.in_folder("copy.db"));
    std::fs::write(place.in_folder("copy.db.partial"), "half of it").expect("written");
    copy(&from, &to, Existing::Keep).expect("copied");

    let other = std::fs::File::create(place.in_folder("copy.db.partial")).expect("made");
    other.try_lock().expect("ours");
    let refused = copy(&from, &to, Existing::Replace).expect_err("refused");
    assert!(refused.to_string().ends_with("is being written by another backup"), "{refused}");
}

#[test]
fn a_copy_that_cannot_be_made_says_why_and_leaves_nothing() {
    let place = Place::on_file();
    let from = path(&place.folder);
    for (from, to, why) in [
        (place.in_folder("none.db"), place.in_folder("copy.db"), "there is no database to copy"),
        (from.clone(), place.in_folder("no/folder/copy.db"), "No such file or directory"),
        (from, place.folder.path().to_owned(), "is a folder: the path of a file is wanted"),
    ] {
        let error = copy(&from, &to, Existing::Keep).expect_err("refused").to_string();
        assert!(error.contains(why), "{error}");
    }
    let text = place.in_folder("notes.txt");
    std::fs::write(&text, "not a database at all, ".repeat(100)).expect("written");
    let error = copy(&text, &place.in_folder("copy.db"), Existing::Keep).expect_err("refused");
    assert!(matches!(error, StorageError::Corrupt(_)), "{error}");
    assert!(!place.in_folder("copy.db.partial").exists() && !place.in_folder("copy.db").exists());
}

/// Lets the file have so many pages more; none but those: as a disk that is full.
async fn room(place: &Place, pages: i64) {
    let set = move |connection: &Connection| -> Result<(), StorageError> {
        let has: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        connection.query_row(
            &format!("PRAGMA max_page_count = {}", has + pages),
            [],
            |_| Ok(()),
        )?;
        Ok(())
    };
    place.write(set).await.expect("set");
}

#[tokio::test]
async fn without_room_what_comes_is_refused_with_the_reason_until_a_trial_finds_some() {
    let place = Place::on_file();
    let before = place.owe("before", &["a"]).await;
    room(&place, 0).await;
    let large: Arc<Event> =
        Arc::new(Event { payload: vec![b'x'; 100_000].into(), ..event("large").as_ref().clone() });
    let accept = || place.accept(vec![owed(&large, &["a"])]);

    let refused = accept().await.expect_err("refused");

    assert_eq!(refused, StorageError::Unavailable("sqlite: database or disk is full".to_owned()));
    assert_eq!(place.trouble().as_deref(), Some("sqlite: database or disk is full"));
    place.try_again().await.expect_err("there is none");
    assert!(place.has_settled(&before).await, "what needs no more room is written all the same");
    assert!(place.trouble().is_some(), "which does not mean that there is some");

    room(&place, 1_000).await;
    place.try_again().await.expect("there is room");
    assert_eq!(place.trouble(), None);
    accept().await.expect("accepted");
    assert_eq!(place.books().await.map(|books| (books.owed, books.unaccounted())), Ok((2, 0)));
}

impl Place {
    async fn has_settled(&self, event: &Event) -> bool {
        self.settle(settled(key(event, "a"), 0, None, Settlement::Cancelled)).await == Recorded::Now
    }
}

#[tokio::test]
async fn a_contradiction_and_a_defect_are_no_trouble_of_the_disk() {
    let place = Place::on_file();
    let conflict = |_: &Connection| Err::<(), _>(StorageError::Conflict("no".to_owned()));
    assert!(place.write(conflict).await.is_err());
    let defect = |_: &Connection| -> Result<(), StorageError> { panic!("on purpose") };
    assert!(place.write(defect).await.is_err());

    assert_eq!(place.trouble(), None);
}
