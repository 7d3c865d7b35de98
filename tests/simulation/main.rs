//! The whole engine under virtual time, by seed: an hour of traffic in seconds, with everything going
//! wrong that can, and each promise checked from outside.
//!
//! One seed says everything: who there is, what is published, what people edit, how receivers behave,
//! when stores fail and at which call a process dies. The same seed is the same run, to the request;
//! one that fails is printed, with the command that runs it again: `make simulate SEED=17`.
//!
//! - [`scenario`], [`trouble`], [`chance`]: what a seed says.
//! - [`lives`]: runs it, one life of the engine after the other. [`world`], [`clock`]: what outlives them.
//! - [`receivers`], [`ports`]: what the engine is plugged into, and the mistakes that are built in to
//!   see that they would be noticed.
//! - [`watch`], [`check`]: the promises.
//! - [`report`]: many seeds, and what is said of them.
//!
//! Why so: `docs/decisions/0010-simulation-by-seed.md`.

#![cfg(feature = "failpoints")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a run reports to a person")]

mod chance;
mod check;
mod clock;
mod lives;
mod ports;
mod receivers;
mod report;
mod scenario;
mod trouble;
mod watch;
mod world;

use std::collections::BTreeSet;

use posthaste::storage::memory::Shape;

use self::lives::run;
use self::ports::Sabotage;
use self::report::{many, replay, setting};
use self::scenario::{Scenario, Size};

/// Seeds that `make test` runs: about twenty seconds of an unoptimised build.
const USUAL_SEEDS: u64 = 150;

/// The dense hour's seed: a broker, with deaths and storms.
const DENSE: u64 = 1;

/// Within so many seeds each mistake has to be noticed.
const SOON: u64 = 100;

/// `make simulate`: many seeds, or one with its trace. Without a word from anybody, the usual ones.
#[test]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = setting("SIMULATION_SEED") {
        return replay(seed);
    }
    let from = setting("SIMULATION_FROM").unwrap_or(1);
    let count = setting("SIMULATION_SEEDS").unwrap_or(USUAL_SEEDS);
    many(from, count);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..=12 {
        let [one, other] =
            [(); 2].map(|()| run(Scenario::draw(seed, Size::Usual), None, true).trace);
        let differs = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}

#[test]
fn a_dense_hour_breaks_no_promise() {
    let ended = run(Scenario::draw(DENSE, Size::DenseHour), None, false);
    assert_eq!(ended.breach, None, "seed {DENSE}, a dense hour");
    println!("{}", ended.counts);
    assert!(ended.counts.requests > 10_000, "{}", ended.counts);
}

#[test]
fn each_mistake_is_noticed_within_a_hundred_seeds() {
    for mistake in Sabotage::ALL {
        let mut shapes = BTreeSet::new();
        for seed in 1..=SOON {
            let scenario = Scenario::draw(seed, Size::Usual);
            let one_store = scenario.shape == Shape::OneStore;
            if !mistake.shows_in(scenario.shape) || shapes.contains(&one_store) {
                continue;
            }
            if let Some(breach) = run(scenario, Some(mistake), false).breach {
                println!("{mistake:?}, one store {one_store}, at seed {seed}: {breach}");
                shapes.insert(one_store);
            }
        }
        let wanted = 1 + usize::from(mistake.shows_in(Shape::OneStore));
        assert_eq!(shapes.len(), wanted, "not noticed in {SOON} seeds: {mistake:?}");
    }
}
