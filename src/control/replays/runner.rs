//! Takes running replays on, each at its own rate, behind live traffic.
//!
//! A bucket for each fills by its rate; what is in it is due. Before each step the replay is judged by what was
//! counted of it and of live traffic ([`Pulse::judge`]): it goes on, waits, or pauses itself and says why. What a
//! router had begun goes on with the next one that is started: a replay is a row, and nothing in memory is
//! missed but the last second of its bucket.
//!
//! Left to the store: what a step is, and that one which is interrupted was not taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::domain::id::ReplayId;
use crate::domain::replay::{Judgement, Pulse, Rate, ReplayState, STEP_MAX};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::replays::{Replays, Running};

/// How often running replays are looked at. A step is a commit: five a second are few, and what is due in between
/// is offered with the next.
const TICK: Duration = Duration::from_millis(200);

/// How often it is looked whether a replay has been begun, when none is running. A look reads one row of an index
/// of those that run, which is empty nearly always.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a store that is away is left alone.
const AGAIN: Duration = Duration::from_secs(5);

/// What becomes due while nothing can be offered, at the most: a second of the rate.
const BURST: Duration = Duration::from_secs(1);

/// After each step comes a rest of so many times what it took. So replays have a fifth of the writer's time at
/// the most, all together, and less when it is busy, since what a step takes has the wait for it in it. With 500
/// deliveries in a step, which take some 10 ms, that is ten thousand a second.
const REST_TIMES: u32 = 4;
const REST_MOST: Duration = Duration::from_secs(1);

/// Takes replays on.
pub struct Runner {
    /// The replays.
    pub replays: Arc<dyn Replays>,
    /// What time it is.
    pub now: fn() -> Timestamp,
}

/// What is due of a replay.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    due: f64,
    filled_at: Instant,
}

impl Bucket {
    /// What a tick brings, or one: a small replay is not kept waiting.
    fn new(rate: Rate, now: Instant) -> Self {
        Self { due: rate.over(TICK).max(1.0), filled_at: now }
    }

    /// What is due now.
    fn fill(&mut self, rate: Rate, now: Instant) -> u32 {
        let most = rate.over(BURST).min(f64::from(STEP_MAX)).max(1.0);
        self.due = (self.due + rate.over(now - self.filled_at)).min(most);
        self.filled_at = now;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to a step, and the rest stays in the bucket"
        )]
        let whole = self.due as u32;
        whole
    }

    fn take(&mut self, offered: u64) {
        let offered = u32::try_from(offered).unwrap_or(u32::MAX);
        self.due = (self.due - f64::from(offered)).max(0.0);
    }
}

impl Runner {
    /// Takes steps until stopped. One that is interrupted was taken or was not: the store knows.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.rounds()).await;
    }

    async fn rounds(&self) {
        let (mut buckets, mut away) = (BTreeMap::new(), false);
        loop {
            let rest = match self.round(&mut buckets).await {
                Ok(any) => {
                    away = false;
                    if any { TICK } else { LOOK_EVERY }
                }
                Err(error) => {
                    if !away {
                        warn!(%error, "replays cannot be taken on, trying until they can");
                    }
                    away = true;
                    AGAIN
                }
            };
            sleep(rest).await;
        }
    }

    /// A step of each running replay of which something is due; whether any is running.
    async fn round(&self, buckets: &mut BTreeMap<ReplayId, Bucket>) -> Result<bool, StorageError> {
        let running = self.replays.running().await?;
        buckets.retain(|id, _| running.iter().any(|one| one.id == *id));
        for one in &running {
            let begun = Instant::now();
            let bucket = buckets.entry(one.id).or_insert_with(|| Bucket::new(one.rate, begun));
            let due = bucket.fill(one.rate, begun);
            if due == 0 {
                continue;
            }
            match self.take_on(*one, due).await {
                Ok(offered) => bucket.take(offered),
                Err(error @ StorageError::Unavailable(_)) => return Err(error),
                // It would say the same for ever; the others are not to wait for it.
                Err(error @ (StorageError::Conflict(_) | StorageError::Corrupt(_))) => {
                    warn!(replay = %one.id, %error, "a replay cannot be taken on and is given up");
                    let because = format!("it cannot be taken on: {error}");
                    self.halt(one.id, ReplayState::Failed, &because).await?;
                }
            }
            sleep((begun.elapsed() * REST_TIMES).min(REST_MOST)).await;
        }
        Ok(!running.is_empty())
    }

    /// Judges a replay and takes a step of it if it may; how many deliveries it offered.
    async fn take_on(&self, one: Running, due: u32) -> Result<u64, StorageError> {
        let pulse = self.replays.pulse(one.id, (self.now)()).await?;
        let judgement = pulse.judge(one.rate, due);
        // Once when it begins to wait, and once when that is over: not with every look.
        match judgement {
            Judgement::Yield if !one.waits => {
                let because = yielding(&pulse);
                info!(replay = %one.id, because, "a replay waits for live traffic");
                self.replays.waits(one.id, Some(&because)).await?;
            }
            Judgement::Go(_) if one.waits => self.replays.waits(one.id, None).await?,
            Judgement::Yield | Judgement::Go(_) | Judgement::Failing => {}
        }
        let most = match judgement {
            // Enough of it was offered and not tried yet, or live traffic goes first.
            Judgement::Go(0) | Judgement::Yield => return Ok(0),
            Judgement::Go(most) => most,
            Judgement::Failing => {
                let because = failing(&pulse);
                warn!(replay = %one.id, because, "a replay pauses itself");
                self.halt(one.id, ReplayState::Paused, &because).await?;
                return Ok(0);
            }
        };
        let stepped = self.replays.step(one.id, most, (self.now)()).await?;
        debug!(replay = %one.id, offered = stepped.offered, "a step of a replay");
        if !stepped.state.is_active() {
            info!(replay = %one.id, state = stepped.state.as_str(), "a replay has ended");
        }
        Ok(stepped.offered)
    }

    async fn halt(
        &self,
        id: ReplayId,
        state: ReplayState,
        because: &str,
    ) -> Result<(), StorageError> {
        self.replays.halt(id, state, because, (self.now)()).await
    }
}

/// Why a replay offers nothing for the moment, for people.
fn yielding(pulse: &Pulse) -> String {
    format!(
        "live traffic has waited {} s for its first attempt: it goes on when that is over",
        pulse.live_waits.as_secs()
    )
}

/// Why a replay pauses itself, for people.
fn failing(pulse: &Pulse) -> String {
    let Pulse { failed, judged, .. } = *pulse;
    let percent = failed * 100 / judged.max(1);
    format!(
        "{failed} of the last {judged} first attempts failed ({percent} %): what made the dead letters is not \
         over; see what the endpoint answers, then resume the replay, or cancel it"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::control::fake::NOW;
    use crate::control::fake_replays::{FakeReplays, Script};

    fn rate(per_second: u32) -> Rate {
        Rate::try_from(per_second).expect("a rate")
    }

    fn id(number: u8) -> ReplayId {
        ReplayId::from_bytes([number; 20])
    }

    /// So many to offer, at so many a second.
    fn script(number: u8, per_second: u32, left: u32) -> Script {
        Script {
            id: id(number),
            rate: rate(per_second),
            left,
            pulse: Pulse::default(),
            broken: false,
        }
    }

    fn scripted(scripts: Vec<Script>) -> Arc<FakeReplays> {
        Arc::new(FakeReplays { scripts: Mutex::new(scripts), ..FakeReplays::default() })
    }

    /// Runs them for so long; who had offered how much by then.
    async fn run_for(replays: &Arc<FakeReplays>, span: Duration) -> BTreeMap<ReplayId, u64> {
        let runner = Runner { replays: replays.clone(), now: || NOW };
        let _ = tokio::time::timeout(span, runner.run(CancellationToken::new())).await;
        let mut sums = BTreeMap::new();
        for (id, offered) in replays.offered.lock().expect("no panic").iter() {
            *sums.entry(*id).or_default() += offered;
        }
        sums
    }

    #[tokio::test(start_paused = true)]
    async fn each_replay_goes_at_its_own_rate() {
        let replays = scripted(vec![script(1, 50, u32::MAX), script(2, 3, u32::MAX)]);

        let offered = run_for(&replays, Duration::from_secs(20)).await;

        assert!((980..=1_020).contains(&offered[&id(1)]), "{offered:?}");
        assert!((58..=62).contains(&offered[&id(2)]), "{offered:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn however_fast_it_is_to_be_it_has_a_fifth_of_the_time_at_the_most() {
        let replays = scripted(vec![script(1, 10_000, u32::MAX), script(2, 10_000, u32::MAX)]);

        run_for(&replays, Duration::from_secs(10)).await;

        let steps = replays.offered.lock().expect("no panic").len();
        // Each takes 10 ms of those ten seconds.
        assert!(steps <= 200, "{steps} steps of 10 ms");
        assert!(steps >= 30, "{steps}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_too_much_pauses_itself_and_says_why() {
        let mut failing = script(1, 50, u32::MAX);
        failing.pulse = Pulse { untried: 10, judged: 30, failed: 20, ..Pulse::default() };
        let replays = scripted(vec![failing, script(2, 50, 100)]);

        let offered = run_for(&replays, Duration::from_secs(10)).await;

        assert_eq!(offered, [(id(2), 100)].into());
        let halted = replays.halted.lock().expect("no panic").clone();
        let [(which, ReplayState::Paused, because)] = halted.as_slice() else {
            panic!("{halted:?}")
        };
        assert_eq!(*which, id(1));
        assert!(because.starts_with("20 of the last 30 first attempts failed (66 %)"), "{because}");
    }

    #[tokio::test(start_paused = true)]
    async fn while_live_traffic_is_late_nothing_is_offered() {
        let mut waits = script(1, 50, u32::MAX);
        waits.pulse = Pulse { live_waits: Duration::from_secs(90), ..Pulse::default() };
        let replays = scripted(vec![waits]);

        assert_eq!(run_for(&replays, Duration::from_secs(10)).await, BTreeMap::new());
        let said = replays.waiting.lock().expect("no panic").clone();
        let because =
            "live traffic has waited 90 s for its first attempt: it goes on when that is over";
        assert_eq!(said, [(id(1), because.to_owned())].into());

        replays.scripts.lock().expect("no panic")[0].pulse = Pulse::default();
        let offered = run_for(&replays, Duration::from_secs(2)).await;
        assert!(
            (80..=160).contains(&offered[&id(1)]),
            "it goes on, and catches nothing up: {offered:?}"
        );
        assert!(replays.waiting.lock().expect("no panic").is_empty(), "and says nothing more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_taken_on_is_given_up_and_the_others_go_on() {
        let broken = Script { broken: true, ..script(1, 50, 9) };
        let replays = scripted(vec![broken, script(2, 50, 20)]);

        let offered = run_for(&replays, Duration::from_secs(10)).await;

        assert_eq!(offered, [(id(2), 20)].into());
        let halted = replays.halted.lock().expect("no panic").clone();
        assert!(matches!(halted.as_slice(), [(_, ReplayState::Failed, _)]), "{halted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_asked_again_and_a_replay_begun_meanwhile_is_found() {
        let replays = scripted(vec![script(1, 50, 5)]);
        *replays.away.lock().expect("no panic") = 2;

        let offered = run_for(&replays, Duration::from_secs(11)).await;
        assert_eq!(offered, [(id(1), 5)].into(), "after 10 s");

        replays.scripts.lock().expect("no panic").push(script(2, 50, 5));
        let offered = run_for(&replays, Duration::from_secs(2)).await;
        assert_eq!(offered[&id(2)], 5);
    }
}
