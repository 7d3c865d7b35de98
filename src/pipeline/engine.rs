//! The stages put together: starts every task, watches over them, and stops them in order.
//!
//! Stopping: nothing more is taken in; what has not started goes back where it came from; what is
//! on the way may end within the grace time and is interrupted then; what has ended is recorded and
//! handed on, and its receipts are given back. Being killed instead is safe, only slower.
//!
//! Left to the caller: opening the stores and closing them.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::World;
use super::adopt::Adopter;
use super::dispatch::{Circuits, Dispatch, Dispatcher};
use super::escrow::Escrow;
use super::herald::{self, Operator};
use super::ingest::Ingest;
use super::recall::{Recall, Recaller};
use super::reclaim::Reclaim;
use super::release::Release;
use super::request::Options;
use super::resend::Resends;
use super::send::Courier;
use super::settle::{Record, Settler};
use super::tally::{AddUp, Tallies};
use super::window::Window;
use crate::egress::Sender;
use crate::storage::StorageError;
use crate::storage::catalogue::Catalogue;
use crate::storage::inbox::Inbox;
use crate::storage::journal::Journal;
use crate::storage::ladder::Ladder;
use crate::storage::outlet::Outlet;
use crate::storage::rollups::Rollups;
use crate::storage::routers::Routers;
use crate::telemetry::metrics::Metrics;

/// How often the books are read for the metrics.
const BOOKS_EVERY: Duration = Duration::from_secs(1);

/// How long the last steps of a stop may take once nothing is on the way: recording, handing on,
/// acknowledging. Ten seconds, the time that a confirm may take.
const LAST_STEPS: Duration = Duration::from_secs(10);

/// The tasks of [`Engine::intake`], in their order.
const INTAKE: [&str; 6] = [
    "reclaim",
    "recall",
    "resend",
    "the follower of the catalogue",
    "the herald",
    "the reader of the books",
];

/// What an engine is made of.
pub struct Parts {
    /// Who there is and who wants what.
    pub catalogue: Arc<dyn Catalogue>,
    /// Where routers say which version of it they go by.
    pub routers: Arc<dyn Routers>,
    /// The record.
    pub journal: Arc<dyn Journal>,
    /// Where arrivals come from.
    pub inbox: Box<dyn Inbox>,
    /// Where deliveries wait.
    pub ladder: Arc<dyn Ladder>,
    /// Who is told.
    pub outlet: Arc<dyn Outlet>,
    /// Where what charts are drawn from is added up.
    pub rollups: Arc<dyn Rollups>,
    /// Who is told what operators should know, if anybody is.
    pub operator: Option<Operator>,
    /// The way out.
    pub sender: Arc<dyn Sender>,
    /// Clock and chance.
    pub world: World,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Deliveries in memory at the same time.
    pub max_deliveries_in_memory: usize,
    /// Bytes of their payloads.
    pub max_payload_bytes_in_memory: usize,
    /// Of those deliveries, how many may be of one application while others have some too.
    pub max_of_one_application: usize,
    /// Requests on the way at the same time.
    pub max_in_flight: usize,
    /// Those of them that may be to one host.
    pub max_in_flight_per_host: usize,
    /// Routers that share what endpoints may be sent; `None` while that is not known.
    pub routers_here: watch::Receiver<Option<NonZeroU16>>,
    /// How long an event may hold the receipt that it came with.
    pub escrow_after: Duration,
    /// What holds for every request.
    pub options: Options,
}

/// A running pipeline.
pub struct Engine {
    window: Arc<Window>,
    circuits: Circuits,
    adopter: Adopter,
    dispatcher: Dispatcher,
    /// Ends ingest, reclaim and the followers.
    stop_intake: CancellationToken,
    /// Ends requests on the way.
    out_of_time: CancellationToken,
    stop_record: CancellationToken,
    stop_release: CancellationToken,
    stop_adding: CancellationToken,
    escrow: JoinHandle<()>,
    intake: Vec<JoinHandle<()>>,
    ingest: JoinHandle<Box<dyn Inbox>>,
    dispatch: JoinHandle<()>,
    record: JoinHandle<()>,
    release: JoinHandle<()>,
    adding: JoinHandle<()>,
}

impl Engine {
    /// Reads the catalogue and starts every stage.
    ///
    /// # Errors
    /// As [`Catalogue::snapshot`]: without a catalogue nothing can be routed.
    #[expect(clippy::too_many_lines, reason = "a list: each stage and what it is handed, once")]
    pub async fn start(parts: Parts) -> Result<Self, StorageError> {
        let Parts { catalogue, journal, inbox, ladder, outlet, sender, world, metrics, .. } = parts;
        let operator = parts.operator.as_ref().map(|operator| operator.application.clone());
        let window = Window::new(parts.max_deliveries_in_memory, parts.max_payload_bytes_in_memory);
        let (dispatcher, letters) = Dispatcher::address();
        let (settler, endings) = Settler::address();
        let (recaller, recalls) = Recaller::address();
        let circuits = Circuits::default();
        // Before anything starts: who edits from now on has to wait for us.
        let (book, own) = (parts.routers, dispatcher.clone());
        let adopter = Adopter::begin(Arc::clone(&catalogue), book, own, world.clone()).await?;
        let routes = adopter.routes.clone();
        let stop_intake = CancellationToken::new();
        let out_of_time = CancellationToken::new();
        let (stop_record, stop_release) = (CancellationToken::new(), CancellationToken::new());
        let (tallies, stop_adding) = (Tallies::default(), CancellationToken::new());

        let (record, release) = endings.split(
            |queue| Record {
                queue,
                journal: Arc::clone(&journal),
                ladder: Arc::clone(&ladder),
                outlet: Arc::clone(&outlet),
                dispatcher: dispatcher.clone(),
                routes: routes.clone(),
                operator: operator.clone(),
                settler: settler.clone(),
                world: world.clone(),
                metrics: Arc::clone(&metrics),
                tallies: tallies.clone(),
            },
            |queue| Release {
                queue,
                ladder: Arc::clone(&ladder),
                outlet: Arc::clone(&outlet),
                journal: Arc::clone(&journal),
                metrics: Arc::clone(&metrics),
            },
        );
        let courier = Courier {
            sender,
            settler: settler.clone(),
            world: world.clone(),
            options: parts.options,
            out_of_time: out_of_time.clone(),
        };
        let dispatch = Dispatch {
            routes: routes.clone(),
            dispatcher: dispatcher.clone(),
            courier: Arc::new(courier),
            settler: settler.clone(),
            world: world.clone(),
            metrics: Arc::clone(&metrics),
            max_in_flight: parts.max_in_flight,
            max_in_flight_per_host: parts.max_in_flight_per_host,
            max_of_one_application: parts.max_of_one_application,
            max_payload_bytes_of_one_application: parts.max_payload_bytes_in_memory / 2,
            routers_here: parts.routers_here,
            circuits: circuits.clone(),
            recaller,
        };
        let escrow = Escrow {
            window: Arc::clone(&window),
            journal: Arc::clone(&journal),
            after: parts.escrow_after,
            world: world.clone(),
            metrics: Arc::clone(&metrics),
        };
        let recall = Recall {
            journal: Arc::clone(&journal),
            world: world.clone(),
            metrics: Arc::clone(&metrics),
        };
        let ingest = Ingest {
            journal: Arc::clone(&journal),
            routes: routes.clone(),
            catalogue: Arc::clone(&catalogue),
            window: Arc::clone(&window),
            dispatcher: dispatcher.clone(),
            settler,
            world: world.clone(),
            metrics: Arc::clone(&metrics),
        };
        let reclaim = Reclaim {
            journal: Arc::clone(&journal),
            ladder,
            window: Arc::clone(&window),
            dispatcher: dispatcher.clone(),
            world: world.clone(),
            metrics: Arc::clone(&metrics),
        };
        let resends = Resends {
            journal: Arc::clone(&journal),
            window: Arc::clone(&window),
            dispatcher: dispatcher.clone(),
            world,
            metrics: Arc::clone(&metrics),
        };
        let follow = adopter.clone().follow(stop_intake.clone());
        let telling =
            herald::run(parts.operator, routes, Arc::clone(&metrics), stop_intake.clone());
        let adding = AddUp { tallies, rollups: parts.rollups };
        let books = read_books(journal, Arc::clone(&window), metrics, stop_intake.clone());
        Ok(Self {
            window,
            circuits,
            adopter,
            dispatcher,
            record: tokio::spawn(record.run(stop_record.clone())),
            release: tokio::spawn(release.run(stop_release.clone())),
            dispatch: tokio::spawn(dispatch.run(letters)),
            ingest: tokio::spawn(ingest.run(inbox, stop_intake.clone())),
            intake: vec![
                tokio::spawn(reclaim.run(stop_intake.clone())),
                tokio::spawn(recall.run(recalls, stop_intake.clone())),
                tokio::spawn(resends.run(stop_intake.clone())),
                tokio::spawn(follow),
                tokio::spawn(telling),
                tokio::spawn(books),
            ],
            escrow: tokio::spawn(escrow.run(stop_record.clone())),
            stop_intake,
            out_of_time,
            adding: tokio::spawn(adding.run(stop_adding.clone())),
            stop_record,
            stop_release,
            stop_adding,
        })
    }

    /// Who takes edits over at once, for whoever makes them in this process.
    pub fn adopter(&self) -> Adopter {
        self.adopter.clone()
    }

    /// Whose circuits are not closed.
    pub fn circuits(&self) -> Circuits {
        self.circuits.clone()
    }

    /// What is in memory.
    pub fn window(&self) -> Arc<Window> {
        Arc::clone(&self.window)
    }

    /// Waits for a task to end that should not: only a defect ends one.
    pub async fn ended_early(&mut self) {
        let intake = futures_util::future::select_all(&mut self.intake);
        let what = tokio::select! {
            _ = &mut self.ingest => "ingest",
            _ = &mut self.dispatch => "dispatch",
            _ = &mut self.record => "record",
            _ = &mut self.release => "release",
            _ = &mut self.adding => "what adds up for charts",
            _ = &mut self.escrow => "escrow",
            (_, which, _) = intake => INTAKE[which],
        };
        error!(what, "a part of the router has ended by itself: this is a defect");
    }

    /// Stops in order, giving what is on the way `grace` to end. What is not finished then comes
    /// again.
    pub async fn stop(self, grace: Duration) {
        self.stop_intake.cancel();
        for task in self.intake {
            let _ = task.await;
        }
        // Nothing more is handed to us, and what was goes to somebody else; receipts still go back.
        drop(self.ingest.await);
        self.dispatcher.stop();
        let mut dispatch = self.dispatch; // ends when nothing is on the way
        if tokio::time::timeout(grace, &mut dispatch).await.is_err() {
            warn!("grace time is over, interrupting what is on the way");
            self.out_of_time.cancel();
            let _ = tokio::time::timeout(LAST_STEPS, dispatch).await; // each ends at its next breath
        }
        let last_steps = async {
            self.stop_record.cancel();
            let _ = self.record.await;
            self.stop_release.cancel();
            let _ = self.release.await;
            self.stop_adding.cancel(); // all that ended is counted
            let _ = self.adding.await;
        };
        if tokio::time::timeout(LAST_STEPS, last_steps).await.is_err() {
            warn!("a store is away: ending without its answer; what is unfinished comes again");
        }
    }
}

/// Keeps the gauges of shared state current.
async fn read_books(
    journal: Arc<dyn Journal>,
    window: Arc<Window>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    loop {
        // A journal that is away keeps the last numbers; `journal_up` says that it is away.
        if let Ok(books) = journal.books().await {
            metrics.books(&books);
        }
        metrics.in_memory(window.occupied());
        if stop.run_until_cancelled(tokio::time::sleep(BOOKS_EVERY)).await.is_none() {
            return;
        }
    }
}
