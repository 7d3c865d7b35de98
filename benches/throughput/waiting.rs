//! What a backlog of waiting deliveries costs: memory of the router, and time until it works again
//! after it was killed.
//!
//! The file is filled by SQL, as a long outage of a receiver would have filled it: every delivery waits
//! for tomorrow but a few, which are due. Measured are the time from the start of the process to the
//! first request, and the resident memory once all that is due was delivered.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::process::{Router, middle, precise, resident_kib};
use super::report::{Bar, Report};
use super::{PATIENCE, Plan, payload, receiver};

/// Deliveries that are due at the start.
const DUE: usize = 500;

/// What waits at the most.
const MANY: usize = 1_000_000;

pub(super) async fn measure(plan: &Plan, report: &mut Report) {
    let many = plan.of(MANY, 2 * DUE);
    report.case(&format!(
        "{many} deliveries waiting on the ladder of the embedded store, {DUE} of them due"
    ));
    report.head(&["waiting", "file, MiB", "first request, ms", "resident, MiB"]);
    let mut resident = [const { Vec::new() }; 2];
    let receiver = receiver::Process::start();
    let mut came = 0;
    for (waiting, resident) in [DUE, many].into_iter().zip(&mut resident) {
        let router = Router::new(Vec::new());
        router.endpoints(&[receiver.url(0)]);
        fill(&router, waiting);
        let file = router.folder().join("posthaste.db");
        let size = std::fs::metadata(file).map_or(0, |file| file.len());
        let mut firsts = Vec::new();
        // Each start is a restart behind a kill: what is due was delivered by the first.
        for run in 0..plan.runs {
            let begun = Instant::now();
            let worker = router.start();
            if run == 0 {
                receiver.until(came + 1, PATIENCE).await;
                firsts.push(begun.elapsed());
                came += DUE;
            }
            receiver.wait_for(came, PATIENCE).await;
            tokio::time::sleep(plan.settling()).await;
            resident.push(precise(resident_kib(worker.0.id())) / 1024.0);
        }
        report.row(&[
            waiting.to_string(),
            (size / (1024 * 1024)).to_string(),
            firsts[0].as_millis().to_string(),
            format!("{:.0}", middle(resident.clone())),
        ]);
    }
    let ratios: Vec<f64> =
        resident[1].iter().zip(&resident[0]).map(|(many, few)| many / few).collect();
    let what = format!("router RSS with {many} deliveries waiting, against {DUE}");
    report.bar(&what, Bar::AtMost(1.2), &ratios);
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
