//! The file and the thread that writes it.

use super::super::claim::{TO_CLAIM, TO_CLAIM_LIVE};
use super::super::inbox;
use super::*;
use crate::storage::StorageError;
use crate::storage::page::{Order, Page};

fn whole() -> Page<ApplicationId> {
    Page::whole(Order::Ascending)
}

/// Adds an application, and fails behind that if `fails`.
fn job(
    uid: &str,
    fails: bool,
) -> impl Fn(&Connection) -> Result<(), StorageError> + Send + 'static {
    let uid = uid.to_owned();
    move |connection| {
        let id = ApplicationId::derived(&[uid.as_bytes()]);
        connection.execute(
            "INSERT INTO applications (id, uid, name, created_at, updated_at) \
             VALUES (?1, ?2, '', 0, 0)",
            rusqlite::params![id, uid],
        )?;
        if fails { Err(StorageError::Conflict(uid.clone())) } else { Ok(()) }
    }
}

/// Holds the writer in its transaction, so that what is handed in meanwhile becomes one group.
struct Hold {
    begun: std::sync::mpsc::Receiver<()>,
    go_on: std::sync::mpsc::Sender<()>,
}

impl Hold {
    /// The hold, and the job that is held. Dropping the hold lets it go on.
    fn new() -> (Self, impl Fn(&Connection) -> Result<(), StorageError> + Send + 'static) {
        let ((say, begun), (go_on, wait)) =
            (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let job = move |_: &Connection| {
            say.send(()).ok();
            // Two minutes: a test that fails should not hang.
            wait.recv_timeout(120 * SECOND).ok();
            Ok(())
        };
        (Self { begun, go_on }, job)
    }

    fn wait_until_it_holds(&self) {
        self.begun.recv_timeout(120 * SECOND).expect("the writer takes it");
    }

    fn let_go(self) {
        drop(self.go_on);
    }
}

#[tokio::test]
async fn a_job_that_fails_does_not_spoil_its_neighbours() {
    let place = Place::on_file();
    let (hold, holding) = Hold::new();
    let mut first = Box::pin(place.write(holding));
    assert!(futures_util::poll!(&mut first).is_pending());
    hold.wait_until_it_holds();
    let (mut one, mut bad, mut twin, mut two) = (
        Box::pin(place.write(job("one", false))),
        Box::pin(place.write(job("bad", true))),
        Box::pin(place.write(job("one", false))),
        Box::pin(place.write(job("two", false))),
    );
    assert!(futures_util::poll!(&mut one).is_pending());
    assert!(futures_util::poll!(&mut bad).is_pending());
    assert!(futures_util::poll!(&mut twin).is_pending());
    assert!(futures_util::poll!(&mut two).is_pending());
    hold.let_go();

    assert_eq!((first.await, one.await, two.await), (Ok(()), Ok(()), Ok(())));
    assert_eq!(bad.await, Err(StorageError::Conflict("bad".to_owned())));
    assert!(matches!(twin.await, Err(StorageError::Conflict(_))), "a constraint");
    let mut uids: Vec<_> = place
        .applications(OrganisationId::DEFAULT, &whole())
        .await
        .expect("read")
        .into_iter()
        .filter_map(|one| one.uid)
        .collect();
    uids.sort();
    assert_eq!(uids, ["one", "two"]);
}

#[tokio::test]
async fn a_job_that_panics_leaves_nothing_and_the_writer_goes_on() {
    let place = Place::on_file();
    let panics = place
        .write(|connection| -> Result<(), StorageError> {
            job("half", false)(connection)?;
            panic!("on purpose")
        })
        .await;

    assert!(matches!(panics, Err(StorageError::Unavailable(_))));
    place.write(job("whole", false)).await.expect("the next is written");
    assert_eq!(place.applications(OrganisationId::DEFAULT, &whole()).await.expect("read").len(), 1);
}

#[tokio::test]
async fn what_is_queued_when_it_is_closed_is_written_and_what_comes_later_is_refused() {
    let place = Place::on_file();
    let (hold, holding) = Hold::new();
    let mut first = Box::pin(place.write(holding));
    let mut queued = Box::pin(place.write(job("queued", false)));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut queued).is_pending());
    let mut closing = Box::pin(place.store.clone().close());
    assert!(futures_util::poll!(&mut closing).is_pending());
    hold.let_go();

    closing.await;
    assert_eq!(queued.await, Ok(()));
    let late = place.write(job("late", false)).await;
    assert!(matches!(late, Err(StorageError::Unavailable(_))));
    let log = std::fs::metadata(place.folder.path().join("journal.db-wal"));
    assert!(log.map_or(0, |log| log.len()) == 0, "the log is folded in");
}

#[tokio::test]
async fn a_writer_waits_for_another_process() {
    let place = Place::on_file();
    let there = place.elsewhere();
    let (hold, holding) = Hold::new();
    let mut theirs = Box::pin(there.write(holding));
    assert!(futures_util::poll!(&mut theirs).is_pending());
    hold.wait_until_it_holds();
    let mut ours = Box::pin(place.write(job("ours", false)));
    assert!(futures_util::poll!(&mut ours).is_pending());
    assert_eq!(place.books().await.map(|books| books.owed), Ok(0), "and a reader waits for nobody");

    hold.let_go();

    assert_eq!((theirs.await, ours.await), (Ok(()), Ok(())));
}

#[test]
fn a_new_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("made/on/the/way/journal.db");
    let settings = Settings::Sqlite(sqlite::Settings { path: path.clone() });

    let _store = Sql::open(&settings, vault()).expect("opens");

    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let file = std::fs::metadata(path.with_file_name(name)).expect("there");
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

fn refusal(settings: &Settings) -> StorageError {
    Sql::open(settings, vault()).map(|_| ()).expect_err("refused")
}

#[test]
fn a_newer_database_is_refused_with_a_sentence() {
    let place = Place::on_file();
    let settings = settings(&place.folder);
    let connection = rusqlite::Connection::open(path(&place.folder)).expect("opens");
    connection.pragma_update(None, "user_version", 99).expect("set");

    let StorageError::Conflict(why) = refusal(&settings) else { panic!("a conflict") };
    assert!(why.contains("is newer than this program: it has had 99 migrations"), "{why}");
    assert!(why.contains("journal.db"), "{why}");
}

#[test]
fn another_programs_database_or_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(&folder);
    let theirs = rusqlite::Connection::open(path(&folder)).expect("opens");
    theirs.execute_batch("CREATE TABLE theirs (x)").expect("made");
    let StorageError::Conflict(why) = refusal(&settings) else { panic!("a conflict") };
    assert!(why.contains("another program's"), "{why}");

    let notes = folder.path().join("notes.txt");
    let text = Settings::Sqlite(sqlite::Settings { path: notes.clone() });
    std::fs::write(&notes, "not a database at all, ".repeat(100)).expect("written");
    assert!(matches!(refusal(&text), StorageError::Corrupt(_)));
    let folder_itself = Settings::Sqlite(sqlite::Settings { path: folder.path().to_owned() });
    assert!(matches!(refusal(&folder_itself), StorageError::Unavailable(_)));
}

#[test]
fn opening_again_changes_nothing() {
    let place = Place::on_file();
    let shape = |place: &Place| -> (i64, String) {
        let connection = place.file();
        let all = "SELECT group_concat(sql, ';') FROM sqlite_schema";
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        let schema = connection.query_row(all, [], |row| row.get(0));
        (version.expect("read"), schema.expect("read"))
    };
    let before = shape(&place);

    drop(place.elsewhere());

    assert_eq!(shape(&place), before);
    assert_eq!(before.0, 8, "each step once");
}

#[test]
fn a_row_that_cannot_be_right_is_corrupt() {
    let place = Place::on_file();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let event = place.owe("run-7", &["a"]).await;
        let connection = place.file();
        connection
            .execute("UPDATE events SET type = 'no type at all'", [])
            .expect("somebody edits the file by hand");

        let read = crate::storage::journal::Ledger::event(&place.store, event.id).await;

        let Err(StorageError::Corrupt(why)) = read else { panic!("corrupt: {read:?}") };
        assert!(why.contains(&event.id.to_string()), "{why}");
    });
}

#[test]
fn what_waits_is_found_by_index_however_much_there_is() {
    let place = Place::on_file();
    let connection = place.file();
    let plan = |sql: &str, values: usize| {
        let mut explain =
            connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepared");
        let values = rusqlite::params_from_iter(std::iter::repeat_n(0, values));
        let steps = explain.query_map(values, |row| row.get::<_, String>(3)).expect("run");
        steps.collect::<Result<Vec<_>, _>>().expect("read").join("\n")
    };
    let live = plan(TO_CLAIM_LIVE, 5);
    assert!(live.contains("SEARCH deliveries USING INDEX deliveries_live (due_at<?)"), "{live}");
    assert_eq!(live.matches("USING INDEX deliveries_waiting").count(), 3, "{live}");
    let claim = plan(TO_CLAIM, 5);
    assert_eq!(claim.matches("USING INDEX deliveries_waiting").count(), 4, "{claim}");
    let scans: Vec<_> = claim.lines().filter(|step| step.starts_with("SCAN")).collect();
    // The oldest pending, 200 at the most, and those 200.
    assert_eq!(scans, ["SCAN deliveries USING INDEX deliveries_pending", "SCAN oldest"], "{claim}");
    for look in [inbox::GIVE_BACK_SOME, inbox::LEFT_PENDING, inbox::TAKE_DUE] {
        let plan = plan(look, look.matches('?').count());
        assert!(plan.contains("USING") && plan.contains("INDEX deliveries_"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
    for step in [super::super::offer::RECALL, super::super::offer::CANCEL] {
        let walk = plan(step, step.matches('?').count());
        assert!(walk.contains("INDEX deliveries_unfinished (endpoint=? AND event>?)"), "{walk}");
        assert!(!walk.contains("TEMP B-TREE"), "{walk}");
    }
}
