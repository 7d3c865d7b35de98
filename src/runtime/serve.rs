//! Runs a router: starts every task, watches over them, and stops them in order.
//!
//! Stopping: nothing more is taken in; what has not started goes back where it came from; what is
//! on the way may end within the grace time and is interrupted then; what has ended is recorded,
//! handed on and acknowledged; the connections are closed. A second signal ends the process at once,
//! which is safe, because being killed is.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::assemble::{self, Backends};
use super::{chance, clock};
use crate::api::admin::{self, Condition};
use crate::config::{Config, LogFormat};
use crate::egress::Sender;
use crate::pipeline::World;
use crate::pipeline::dispatch::{Dispatch, Dispatcher};
use crate::pipeline::ingest::Ingest;
use crate::pipeline::reclaim::Reclaim;
use crate::pipeline::route::Routes;
use crate::pipeline::send::Courier;
use crate::pipeline::settle::{Record, Release, Settler};
use crate::pipeline::window::Window;
use crate::storage::journal::Journal;
use crate::telemetry::log;
use crate::telemetry::metrics::{BrokerNumbers, Metrics};

/// How often the books are read for the metrics.
const BOOKS_EVERY: Duration = Duration::from_secs(1);

/// How long the last steps of a stop may take once nothing is on the way: recording, handing on,
/// acknowledging. Ten seconds, the time that a confirm may take.
const LAST_STEPS: Duration = Duration::from_secs(10);

/// Routes events until it is told to stop.
///
/// # Errors
/// When it cannot start. Trouble after that is waited out.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let form = match config.log.format {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    log::start(form, &config.log.filter).map_err(anyhow::Error::msg)?;
    let mut signals = Signals::listen()?;
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    metrics.in_flight_limit(config.limits.max_in_flight);
    let _lock = only_router(&config)?;
    let backends = assemble::backends(&config).await?;
    let sender = assemble::sender(&config)?;
    let listener = TcpListener::bind(config.admin.listen)
        .await
        .with_context(|| format!("admin.listen: {}", config.admin.listen))?;
    let admin_address = listener.local_addr()?;

    let routes = Routes::load(backends.catalogue.as_ref()).await?;
    let mut running = Router::start(&config, backends, sender, routes, &metrics);
    let condition = Arc::new(Shown { metrics: Arc::clone(&metrics), numbers: running.numbers() });
    let admin_stop = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(listener, condition, admin_stop.clone()));
    info!(
        version = env!("CARGO_PKG_VERSION"),
        admin = %admin_address,
        data_dir = %config.data_dir.display(),
        "posthaste is routing"
    );

    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = running.ended_early() => anyhow::bail!("a part of the router has ended; see the log"),
    };
    info!(signal, grace_ms = millis(config.shutdown.grace), "stopping");
    metrics.drains();
    tokio::select! {
        () = running.stop(config.shutdown.grace) => info!("stopped"),
        signal = signals.next() => {
            warn!(signal, "asked a second time: ending at once; what is unfinished comes again");
            std::process::exit(0);
        }
    }
    admin_stop.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
    Ok(())
}

/// Takes the data folder for this router, until it ends.
fn only_router(config: &Config) -> anyhow::Result<File> {
    assemble::data_folder(config)?;
    let path = config.data_dir.join("serve.lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    // Two routers on one file would each send at the whole of an endpoint's rate.
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "another router runs on the data folder {}: stop it, or use another folder and another \
             rabbitmq.prefix",
            config.data_dir.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// A running pipeline.
struct Router {
    dispatcher: Dispatcher,
    backends: Backends,
    /// Ends ingest, reclaim and the followers.
    stop_intake: CancellationToken,
    /// Ends requests on the way.
    out_of_time: CancellationToken,
    stop_record: CancellationToken,
    stop_release: CancellationToken,
    intake: Vec<JoinHandle<()>>,
    ingest: JoinHandle<Box<dyn crate::storage::inbox::Inbox>>,
    dispatch: JoinHandle<()>,
    record: JoinHandle<()>,
    release: JoinHandle<()>,
}

impl Router {
    fn start(
        config: &Config,
        backends: Backends,
        sender: Arc<dyn Sender>,
        routes: Routes,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let world = World { now: Arc::new(clock::now), chance: Arc::new(chance::bits) };
        let window = Window::new(config.limits.max_deliveries_in_memory);
        let (dispatcher, letters) = Dispatcher::address();
        let (settler, endings) = Settler::address();
        let stop_intake = CancellationToken::new();
        let out_of_time = CancellationToken::new();
        let (stop_record, stop_release) = (CancellationToken::new(), CancellationToken::new());

        let (record, release) = endings.split(
            |queue| Record {
                queue,
                journal: Arc::clone(&backends.journal),
                outlet: Arc::clone(&backends.outlet),
                dispatcher: dispatcher.clone(),
                settler: settler.clone(),
                world: world.clone(),
                metrics: Arc::clone(metrics),
            },
            |queue| Release {
                queue,
                ladder: Arc::clone(&backends.ladder),
                outlet: Arc::clone(&backends.outlet),
                journal: Arc::clone(&backends.journal),
                metrics: Arc::clone(metrics),
            },
        );
        let courier = Arc::new(Courier {
            sender,
            settler: settler.clone(),
            world: world.clone(),
            out_of_time: out_of_time.clone(),
        });
        let dispatch = Dispatch {
            routes: routes.clone(),
            dispatcher: dispatcher.clone(),
            courier,
            settler: settler.clone(),
            world: world.clone(),
            metrics: Arc::clone(metrics),
            max_in_flight: config.limits.max_in_flight,
        };
        let ingest = Ingest {
            journal: Arc::clone(&backends.journal),
            routes: routes.clone(),
            catalogue: Arc::clone(&backends.catalogue),
            window: Arc::clone(&window),
            dispatcher: dispatcher.clone(),
            settler,
            world: world.clone(),
            metrics: Arc::clone(metrics),
        };
        let reclaim = Reclaim {
            journal: Arc::clone(&backends.journal),
            window: Arc::clone(&window),
            dispatcher: dispatcher.clone(),
            world,
            metrics: Arc::clone(metrics),
        };
        let changed = dispatcher.clone();
        let follow =
            routes.follow(Arc::clone(&backends.catalogue), stop_intake.clone(), move || {
                changed.catalogue_changed();
            });
        let books = read_books(
            Arc::clone(&backends.journal),
            window,
            Arc::clone(metrics),
            stop_intake.clone(),
        );
        Self {
            dispatcher,
            record: tokio::spawn(record.run(stop_record.clone())),
            release: tokio::spawn(release.run(stop_release.clone())),
            dispatch: tokio::spawn(dispatch.run(letters)),
            ingest: tokio::spawn(ingest.run(backends.inbox(), stop_intake.clone())),
            intake: vec![
                tokio::spawn(reclaim.run(stop_intake.clone())),
                tokio::spawn(follow),
                tokio::spawn(books),
            ],
            backends,
            stop_intake,
            out_of_time,
            stop_record,
            stop_release,
        }
    }

    fn numbers(&self) -> Box<dyn Fn() -> BrokerNumbers + Send + Sync> {
        self.backends.numbers()
    }

    /// Waits for a task to end that should not: only a defect ends one.
    async fn ended_early(&mut self) {
        let what = tokio::select! {
            _ = &mut self.ingest => "ingest",
            _ = &mut self.dispatch => "dispatch",
            _ = &mut self.record => "record",
            _ = &mut self.release => "release",
        };
        error!(what, "a part of the router has ended by itself: this is a defect");
    }

    /// Stops in order. What is not finished in time comes again.
    async fn stop(self, grace: Duration) {
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
            self.backends.close().await;
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

/// What the admin port shows of a running router.
struct Shown {
    metrics: Arc<Metrics>,
    numbers: Box<dyn Fn() -> BrokerNumbers + Send + Sync>,
}

impl Condition for Shown {
    fn metrics(&self) -> String {
        self.metrics.broker(&(self.numbers)());
        self.metrics.text()
    }

    fn missing(&self) -> Vec<String> {
        let numbers = (self.numbers)();
        let mut missing = Vec::new();
        for (there, what) in [
            (!self.metrics.is_draining(), "it is stopping"),
            (numbers.consume_connected, "the broker's consuming connection is down"),
            (numbers.publish_connected, "the broker's publishing connection is down"),
            (!numbers.publish_blocked, "the broker is in a memory or disk alarm"),
            (self.metrics.journal_is_up(), "the journal is away"),
        ] {
            if !there {
                missing.push(what.to_owned());
            }
        }
        missing
    }
}

/// The signals that ask us to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
