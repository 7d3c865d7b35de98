//! Virtual time that goes on over the lives of the engine: tokio's paused clock while one lives, and a
//! number in between.

use std::sync::{Mutex, MutexGuard};

use posthaste::domain::time::Timestamp;
use tokio::time::Instant;

/// When every run begins.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// The clock of a run.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    /// What time it was when the life began, or is while there is none.
    base: Timestamp,
    life: Option<Instant>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { base: START, life: None }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        let State { base, life } = *self.state();
        life.map_or(base, |begun| base + begun.elapsed())
    }

    /// From here on tokio's clock goes on from where this one is. Inside a runtime only.
    pub(crate) fn begin_life(&self) {
        self.state().life = Some(Instant::now());
    }

    /// The clock stands. Inside the runtime of the life that ends.
    pub(crate) fn end_life(&self) {
        let now = self.now();
        *self.state() = State { base: now, life: None };
    }

    /// Moves a clock that stands.
    pub(crate) fn set(&self, now: Timestamp) {
        let mut state = self.state();
        assert!(state.life.is_none(), "only a clock that stands is set");
        state.base = state.base.max(now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding the clock")
    }
}
