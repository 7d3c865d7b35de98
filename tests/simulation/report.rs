//! Many seeds on all processors, and what is said of them: figures when all is well; when a seed
//! fails, the seed, the promise that it broke, how it came to that, and the command that runs it again.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::lives::run;
use super::scenario::{Scenario, Size};
use super::world::Counts;

/// Lines of the trace that are shown of a failing seed.
const LINES: usize = 60;

/// A number from the environment: how `make` speaks to this test.
#[expect(clippy::disallowed_methods, reason = "tests only; not a setting of the product")]
pub(crate) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}: a whole number is wanted")))
}

/// Runs seeds `from` on, so many of them.
///
/// # Panics
/// When one fails.
pub(crate) fn many(from: u64, count: u64) {
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let total = Mutex::new(Counts::default());
    let failed = Mutex::new(None::<(u64, String)>);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count || failed.lock().expect("no panic").is_some() {
                        return;
                    }
                    let ended = run(Scenario::draw(seed, Size::Usual), None, false);
                    total.lock().expect("no panic").add(ended.counts);
                    if let Some(breach) = ended.breach {
                        let mut failed = failed.lock().expect("no panic");
                        // The lowest, so that the same call names the same seed.
                        if failed.as_ref().is_none_or(|(known, _)| seed < *known) {
                            *failed = Some((seed, breach));
                        }
                    }
                }
            });
        }
    });
    let took = begun.elapsed();
    if let Some((seed, breach)) = failed.into_inner().expect("no panic") {
        show(seed);
        panic!("seed {seed}: {breach}\nrun it again with: make simulate SEED={seed}");
    }
    let total = total.into_inner().expect("no panic");
    println!("{count} seeds from {from} on in {:.1} s, no promise broken", took.as_secs_f64());
    println!("{total}");
}

/// Runs one seed and shows all of it.
///
/// # Panics
/// When it fails.
pub(crate) fn replay(seed: u64) {
    let scenario = Scenario::draw(seed, Size::Usual);
    println!("seed {seed}: {:?}, {} events", scenario.shape, scenario.events.len());
    for (place, endpoint) in scenario.endpoints.iter().enumerate() {
        println!(
            "ep{place}: {:?}, wants {}, rate {:?}, {:?}",
            scenario.behaviours[place], endpoint.filter, endpoint.throttle_rate, endpoint.policy
        );
    }
    println!("{:?}", scenario.trouble);
    let ended = run(scenario, None, true);
    for line in &ended.trace {
        println!("{line}");
    }
    println!("{}", ended.counts);
    assert_eq!(ended.breach, None, "seed {seed}");
}

/// Shows how a failing seed came to its end.
fn show(seed: u64) {
    let trace = run(Scenario::draw(seed, Size::Usual), None, true).trace;
    for line in &trace[trace.len().saturating_sub(LINES)..] {
        println!("{line}");
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.requests += other.requests;
        self.lost += other.lost;
        self.kills += other.kills;
        self.restarts += other.restarts;
        self.faults += other.faults;
        self.checks += other.checks;
        self.seconds += other.seconds;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} hours of virtual time: {} events, {} deliveries, {} requests ({} of them lost with a \
             death and repeated), {} kills, {} restarts, {} faults; the books checked {} times",
            self.seconds / 3_600,
            self.events,
            self.deliveries,
            self.requests,
            self.lost,
            self.kills,
            self.restarts,
            self.faults,
            self.checks
        )
    }
}
