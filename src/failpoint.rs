//! Named steps at which a test may kill the process, to see that nothing is lost there.
//!
//! `failpoint!("settle.recorded")` is nothing at all unless the crate is built with the feature
//! `failpoints`; then the process kills itself with SIGKILL when `FAILPOINT_KILL_AT` says
//! `settle.recorded=3` and the step is reached for the third time. No unwinding, no flushing: what
//! a power cut leaves behind, apart from the operating system's cache.

/// Marks a step of the way. See the module's page.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::reached($name);
    };
}

/// Every name on the way of an event over a broker: the list that the kill test goes through.
pub const ALL: [&str; 12] = [
    "ingest.arrived",
    "ingest.accepted",
    "send.signed",
    "send.answered",
    "settle.decided",
    "settle.recorded",
    "release.postponed",
    "release.told",
    "release.given_back",
    "reclaim.claimed",
    "escrow.recorded",
    "recall.brought",
];

/// The same for a router on the embedded store, where settling mostly hands nothing on. (`publish.appended`,
/// and over a broker `publish.confirmed`, are steps of whoever publishes, and `resend.claimed` one of what a
/// person asks for.)
pub const EMBEDDED: [&str; 8] = [
    "inbox.taken",
    "ingest.arrived",
    "ingest.accepted",
    "send.signed",
    "send.answered",
    "settle.decided",
    "settle.recorded",
    "reclaim.claimed",
];

/// The steps of a replay: what it offers is written, and is committed.
pub const REPLAY: [&str; 2] = ["replay.offered", "replay.stepped"];

/// The way of what is delivered at most once, with the step between the record and the request.
pub const AT_MOST_ONCE: [&str; 9] = [
    "ingest.arrived",
    "ingest.accepted",
    "settle.decided",
    "settle.recorded",
    "send.let_go",
    "send.signed",
    "send.answered",
    "release.told",
    "release.given_back",
];

#[cfg(feature = "failpoints")]
thread_local! {
    /// The sabotage that a test of this thread has asked for.
    static SABOTAGE: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Asks for a sabotage on this thread alone, or for none: for a test that runs many engines, each on
/// one thread.
#[cfg(feature = "failpoints")]
pub fn sabotage(how: Option<&'static str>) {
    SABOTAGE.set(how);
}

/// Whether a test has asked for this sabotage (`FAILPOINT_SABOTAGE=give_back_early`, or
/// [`sabotage`]): a wrong step built in to see that the checkers of the fault tests would notice it.
#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "tests only; not a setting of the product")]
pub fn sabotaged(how: &str) -> bool {
    use std::sync::LazyLock;
    static ASKED: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("FAILPOINT_SABOTAGE").ok());
    SABOTAGE.get() == Some(how) || ASKED.as_deref() == Some(how)
}

/// How far a test has set the clock ahead (`FAILPOINT_CLOCK_AHEAD_MS`).
#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "tests only; not a setting of the product")]
pub fn clock_ahead() -> std::time::Duration {
    use std::sync::LazyLock;
    static AHEAD_MS: LazyLock<u64> = LazyLock::new(|| {
        let setting = std::env::var("FAILPOINT_CLOCK_AHEAD_MS").unwrap_or_default();
        setting.parse().unwrap_or(0)
    });
    std::time::Duration::from_millis(*AHEAD_MS)
}

/// Counts the step and kills the process when its time has come.
#[cfg(feature = "failpoints")]
pub fn reached(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[expect(clippy::disallowed_methods, reason = "tests only; not a setting of the product")]
    static KILL_AT: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let setting = std::env::var("FAILPOINT_KILL_AT").ok()?;
        let (name, count) = setting.split_once('=')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    static SEEN: AtomicU32 = AtomicU32::new(0);

    if let Some((wanted, count)) = &*KILL_AT
        && wanted == name
        && SEEN.fetch_add(1, Ordering::Relaxed) + 1 == *count
    {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL)
            .expect("a process may kill itself");
        loop {
            std::thread::park(); // until the signal arrives
        }
    }
}
