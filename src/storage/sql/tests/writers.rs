//! Several who write the same at the same time.

use super::*;

/// Adds one to what it has read: lost, if what was read is not what is there when it is written.
fn add(connection: &Connection) -> Result<(), StorageError> {
    let version: i64 =
        connection.query_row("SELECT version FROM catalogue", [], |row| row.get(0))?;
    connection.execute("UPDATE catalogue SET version = ?1", [version + 1])?;
    Ok(())
}

#[tokio::test]
async fn what_several_add_up_at_the_same_time_is_all_there() {
    let place = Place::new();
    let other = place.elsewhere();
    let both = [&place.store, &other];

    let adding = (0..200).map(|number| both[number % 2].write(add));
    let done = futures_util::future::join_all(adding).await;

    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(place.ask::<i64>("SELECT version FROM catalogue"), 200);
}

#[tokio::test]
async fn one_that_fails_takes_none_of_its_group_with_it_also_among_several_writers() {
    let place = Place::new();
    let job = |fails: bool| {
        move |connection: &Connection| {
            add(connection)?;
            if fails { Err(StorageError::Conflict("no".to_owned())) } else { Ok(()) }
        }
    };

    let adding = (0..200).map(|number| place.write(job(number % 5 == 0)));
    let done = futures_util::future::join_all(adding).await;

    let kept = done.iter().filter(|one| one.is_ok()).count();
    let refused = done.iter().filter(|one| matches!(one, Err(StorageError::Conflict(_)))).count();
    assert_eq!((kept, refused), (160, 40), "{done:?}");
    assert_eq!(place.ask::<i64>("SELECT version FROM catalogue"), 160);
}

#[tokio::test]
async fn the_books_are_the_sum_of_what_each_writer_has_moved() {
    let place = Place::new();
    let other = place.elsewhere();
    let both = [&place.store, &other];
    for name in ["a", "b"] {
        place.have_endpoint(name).await;
    }

    let owing = (0..60).map(|number| {
        let event = event(&format!("run-{number}"));
        both[number % 2].accept(vec![owed(&event, &["a", "b"])])
    });
    let done = futures_util::future::join_all(owing).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let settling = (0..60).map(|number| {
        let event = event(&format!("run-{number}"));
        both[(number + 1) % 2].record(vec![delivered(key(&event, "a"), 0)])
    });
    let done = futures_util::future::join_all(settling).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");

    let books = place.books().await.expect("read");
    assert_eq!((books.owed, books.pending, books.delivered), (120, 60, 60));
    assert_eq!(books.unaccounted(), 0);
}
