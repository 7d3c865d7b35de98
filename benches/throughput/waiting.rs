//! What a backlog of waiting deliveries costs: memory of the router, and time until it works again
//! after it was killed.
//!
//! The file is filled by SQL, as a long outage of a receiver would have filled it: every delivery waits
//! for tomorrow but a few, which are due. Measured are the time from the start of the process to the
//! first request, and the resident memory once all that is due was delivered.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::process::{Router, resident_kib};
use super::{PATIENCE, payload, receiver};

/// Deliveries that are due at the start.
const DUE: usize = 500;

pub(super) async fn measure() {
    println!("Waiting deliveries in the embedded store, {DUE} of them due\n");
    println!(
        "{:>12} {:>16} {:>20} {:>18}",
        "waiting", "file, MiB", "first request, ms", "resident, MiB"
    );
    for waiting in [DUE, 100_000, 1_000_000] {
        let mut receiver = receiver::Process::start();
        let router = Router::new(Vec::new());
        router.endpoints(&[receiver.url(0)]);
        fill(&router, waiting);
        let size =
            std::fs::metadata(router.folder.path().join("posthaste.db")).map_or(0, |m| m.len());
        let begun = Instant::now();
        let worker = router.start();
        receiver.wait_for_first(PATIENCE).await;
        let first = begun.elapsed();
        receiver.wait_for(DUE, PATIENCE).await;
        println!(
            "{waiting:>12} {:>16} {:>20} {:>18}",
            size / (1024 * 1024),
            first.as_millis(),
            resident_kib(worker.0.id()) / 1024
        );
    }
    println!();
}

/// Makes events with one waiting delivery each.
fn fill(router: &Router, waiting: usize) {
    let now = posthaste::runtime::clock::now();
    let tomorrow = now + Duration::from_hours(24);
    let mut connection =
        Connection::open(router.folder.path().join("posthaste.db")).expect("opens");
    let transaction = connection.transaction().expect("begins");
    {
        let mut event = transaction
            .prepare(
                "INSERT INTO events (seq, id, application, type, occurred_at, received_at, payload) \
                 SELECT ?1, randomblob(20), id, 'job.completed', ?2, ?2, ?3 FROM applications",
            )
            .expect("a statement");
        let mut delivery = transaction
            .prepare(
                "INSERT INTO deliveries (event, endpoint, turn, attempts, state, held_by, due_at) \
                 SELECT ?1, id, 1, 1, 1, ?2, ?3 FROM endpoints",
            )
            .expect("a statement");
        for number in 0..waiting {
            let seq = i64::try_from(number).expect("a row") + 1;
            let body = payload(number);
            event.execute(params![seq, now.as_millis(), body.as_bytes()]).expect("inserted");
            // What is due was in the hands of the router that was killed: it has to be given back first.
            let (held_by, due_at) = if number < DUE { (0, now) } else { (1, tomorrow) };
            delivery.execute(params![seq, held_by, due_at.as_millis()]).expect("inserted");
        }
        let count = i64::try_from(waiting).expect("a count");
        transaction
            .execute("UPDATE books SET owed = owed + ?1, waiting = waiting + ?1", [count])
            .expect("posted");
    }
    transaction.commit().expect("committed");
}
