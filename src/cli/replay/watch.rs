//! Looking at a replay until it ends and what it offered was tried: a bar on a terminal, a line of JSON now and then elsewhere.
//!
//! Only looking: Ctrl-C, a closed terminal, a killed command change nothing on the router. Nor does a router
//! that is started anew end the watch: it is asked again until it answers, for as long as [`AWAY_MAX`].

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::progress::Progress;
use super::{Named, show};
use crate::cli::client::Client;
use crate::cli::exit::Short;
use crate::cli::output::{Output, note, print_object};
use crate::cli::wire::{Replay, Told};
use crate::domain::replay::ReplayState;

/// Between two looks at first: a small replay is over before it is worth a bar.
const LOOK_FIRST: Duration = Duration::from_millis(100);
/// Between two looks, later.
const LOOK: Duration = Duration::from_secs(1);
/// Between two lines for programs.
const LINE: Duration = Duration::from_secs(5);
/// How long a router that does not answer is waited for: a restart with a long recovery.
const AWAY_MAX: Duration = Duration::from_mins(10);

/// How long one that has offered all is watched while nothing of it is tried: ten seconds of offers may wait for their
/// turn, and a request may take as long. What then waits still waits for a person, or for an endpoint that is slow.
const STILL_MAX: Duration = Duration::from_secs(30);

/// Ctrl-C, which ends the watch and not the replay. Listened for before a replay is begun, so that none is
/// begun and not spoken of.
pub(super) struct Interrupt(Signal);

impl Interrupt {
    pub(super) fn listen() -> std::io::Result<Self> {
        signal(SignalKind::interrupt()).map(Self)
    }
}

impl Named {
    /// How to look at it again.
    pub(super) fn look_again(&self) -> String {
        format!("`posthaste replay status {}{} --watch`", self.id, self.flag())
    }

    fn flag(&self) -> String {
        self.app.as_ref().map_or_else(String::new, |app| format!(" --app {app}"))
    }
}

/// Watches one that was begun before.
pub(super) async fn until_it_ends(
    named: &Named,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::listen()?;
    watch(None, named, client, output, &mut interrupt).await
}

/// Watches it from `begun` on.
///
/// # Errors
/// `Short` when it ends before all was offered, when some was passed over, or with Ctrl-C; a `Refusal`
/// when the router stays away.
pub(super) async fn watch(
    begun: Option<Told<Replay>>,
    named: &Named,
    client: &Client,
    output: Output,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let mut shown = Shown::new(output);
    let mut latest = match begun {
        Some(begun) => begun,
        None => client.get(&named.path(&[])).await?,
    };
    let (mut pause, mut away_since) = (LOOK_FIRST, None);
    let mut moved = (latest.read.tried, Instant::now());
    loop {
        shown.now(&latest)?;
        if latest.read.tried != moved.0 {
            moved = (latest.read.tried, Instant::now());
        }
        if !is_to_be_watched(&latest.read, moved.1.elapsed()) {
            break;
        }
        let looking = async {
            sleep(pause).await;
            client.get::<Told<Replay>>(&named.path(&[])).await
        };
        let looked = tokio::select! {
            biased; // who presses Ctrl-C does not wait for an answer
            _ = interrupt.0.recv() => {
                shown.leave();
                let again = named.look_again();
                return Err(Short::Detached(format!(
                    "detached: the replay goes on; to look again: {again}"
                )).into());
            }
            looked = looking => looked,
        };
        pause = (pause * 2).min(LOOK);
        match looked {
            Ok(replay) => {
                away_since = None;
                latest = replay;
            }
            Err(refusal) if refusal.passes() => {
                let since = *away_since.get_or_insert_with(|| {
                    shown.leave();
                    note(&format!("{refusal}; the replay goes on when it is back: asking again"));
                    Instant::now()
                });
                if since.elapsed() >= AWAY_MAX {
                    let again = named.look_again();
                    return Err(
                        anyhow::Error::new(refusal).context(format!("when it is back: {again}"))
                    );
                }
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    shown.end(&latest)?;
    judge(&latest.read, named)
}

/// Whether there is more to be seen of it, when nothing of it was tried for so long.
fn is_to_be_watched(replay: &Replay, still: Duration) -> bool {
    match replay.state {
        ReplayState::Running => true,
        ReplayState::Finished => replay.tried < replay.offered && still < STILL_MAX,
        ReplayState::Paused | ReplayState::Cancelled | ReplayState::Failed => false,
    }
}

/// What the end of a watch means.
fn judge(replay: &Replay, named: &Named) -> anyhow::Result<()> {
    let Replay { id, offered, skipped, dead, .. } = replay;
    let untried = offered.saturating_sub(replay.tried);
    let because = replay.because.as_deref().unwrap_or("somebody paused it");
    let short = match replay.state {
        ReplayState::Finished if *skipped == 0 && *dead == 0 && untried == 0 => return Ok(()),
        ReplayState::Finished => {
            let mut parts = Vec::new();
            if *skipped > 0 {
                parts.push(format!("{skipped} were passed over"));
            }
            if *dead > 0 {
                parts.push(format!("{dead} were given up again"));
            }
            if untried > 0 {
                parts.push(format!("{untried} are still to be tried"));
            }
            format!("{offered} were offered, and {}", parts.join(" and "))
        }
        ReplayState::Running | ReplayState::Paused => format!(
            "the replay has paused: {because}; what was not offered stays as it was. To go on: `posthaste \
             replay resume {id}{}`",
            named.flag()
        ),
        ReplayState::Cancelled => {
            format!(
                "the replay was cancelled: {offered} were offered, and the rest stays as it was"
            )
        }
        ReplayState::Failed => {
            anyhow::bail!(
                "the replay has failed after {offered}: {}; the rest stays as it was",
                replay.because.as_deref().unwrap_or("the router's log says why")
            )
        }
    };
    Err(Short::Partial(short).into())
}

/// What whoever watches sees.
struct Shown {
    output: Output,
    /// Where somebody looks.
    bar: Option<Progress>,
    told: Option<Instant>,
}

impl Shown {
    fn new(output: Output) -> Self {
        let watched = !output.json && std::io::stderr().is_terminal();
        Self { output, bar: watched.then(Progress::new), told: None }
    }

    fn now(&mut self, replay: &Told<Replay>) -> std::io::Result<()> {
        match &mut self.bar {
            Some(bar) => bar.draw(&replay.read, Instant::now()),
            None if replay.read.state != ReplayState::Running => {} // the end has its line
            None if self.told.is_none_or(|told| told.elapsed() >= LINE) => {
                self.told = Some(Instant::now());
                print_object(replay)?;
            }
            None => {}
        }
        Ok(())
    }

    /// Leaves the bar where it is.
    fn leave(&mut self) {
        if let Some(bar) = &mut self.bar {
            bar.leave();
        }
    }

    fn end(&mut self, replay: &Told<Replay>) -> std::io::Result<()> {
        self.leave();
        match self.bar {
            Some(_) => show(replay, self.output),
            None => print_object(replay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit;

    fn replay(state: &str, because: Option<&str>, skipped: u64) -> Replay {
        let text = serde_json::json!({
            "id": "rpl_1srOrx2ZWZBpBUvZwXKQmoEYga2", "scope": "dead_letters", "state": state,
            "because": because, "applicationId": null, "endpointId": null, "toEndpointId": null,
            "rate": 50, "matched": 10, "offered": 10 - skipped, "skipped": skipped,
            "tried": 10 - skipped, "delivered": 0,
            "dead": 0, "actor": "org_1", "reason": null, "createdAt": "2026-09-21T14:13:20Z",
            "endedAt": null,
        });
        serde_json::from_value(text).expect("a replay")
    }

    #[test]
    fn how_a_replay_ends_is_the_exit_code_and_a_sentence() {
        let named = Named {
            id: "rpl_1srOrx2ZWZBpBUvZwXKQmoEYga2".parse().expect("an id"),
            app: Some("acme".into()),
        };
        let ended =
            |replay: &Replay| judge(replay, &named).map_err(|error| (exit::code(&error), error));

        assert!(ended(&replay("finished", None, 0)).is_ok());
        let (code, said) = ended(&replay("finished", None, 3)).expect_err("some are left");
        assert_eq!((code, said.to_string().contains("3 were passed over")), (3, true));
        let (code, said) =
            ended(&replay("paused", Some("11 of 20 failed"), 0)).expect_err("paused");
        let said = said.to_string();
        assert_eq!(code, 3);
        assert!(said.contains("11 of 20 failed") && said.contains("replay resume rpl_"), "{said}");
        assert!(said.contains("--app acme"), "{said}");
        assert_eq!(ended(&replay("cancelled", None, 0)).expect_err("cancelled").0, 3);
        assert_eq!(
            ended(&replay("failed", Some("its endpoint is gone"), 0)).expect_err("failed").0,
            1
        );
    }

    #[test]
    fn one_that_has_offered_all_is_watched_until_that_is_tried_or_nothing_moves() {
        let named =
            Named { id: "rpl_1srOrx2ZWZBpBUvZwXKQmoEYga2".parse().expect("an id"), app: None };
        let moment = Duration::from_secs(29);
        let waits = Replay { tried: 7, ..replay("finished", None, 0) };

        assert!(is_to_be_watched(&waits, moment));
        assert!(!is_to_be_watched(&waits, STILL_MAX));
        assert!(!is_to_be_watched(&replay("finished", None, 0), Duration::ZERO));
        assert!(!is_to_be_watched(&Replay { tried: 7, ..replay("cancelled", None, 0) }, moment));
        assert!(is_to_be_watched(&Replay { tried: 7, ..replay("running", None, 0) }, STILL_MAX));
        let said = judge(&waits, &named).expect_err("not all is done");
        assert_eq!(
            (exit::code(&said), said.to_string().contains("3 are still to be tried")),
            (3, true)
        );
    }
}
