//! Runs a router as a process: opens what it needs, starts the engine, serves the ports, and ends on
//! a signal: the engine first, then the stores. A second signal ends the process at once, which is
//! safe, because being killed is.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::assemble::{self, Backends};
use super::upkeep::Keeper;
use super::{chance, clock};
use crate::api::admin::{self, Condition};
use crate::config::{Config, LogFormat};
use crate::pipeline::World;
use crate::pipeline::engine::{Engine, Parts};
use crate::storage::upkeep::Upkeep;
use crate::telemetry::broker::BrokerNumbers;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// How long closing the stores may take: the last acknowledgements, the last commit. Ten seconds, the
/// time that a confirm may take.
const CLOSING: Duration = Duration::from_secs(10);

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
    let version = env!("CARGO_PKG_VERSION");
    let metrics =
        if config.is_embedded() { Metrics::new(version) } else { Metrics::with_broker(version) };
    let metrics = Arc::new(metrics);
    metrics.in_flight_limit(config.limits.max_in_flight);
    let _lock = only_router(&config)?;
    let mut backends = assemble::backends(&config).await?;
    let listener = TcpListener::bind(config.admin.listen)
        .await
        .with_context(|| format!("admin.listen: {}", config.admin.listen))?;
    let admin_address = listener.local_addr()?;

    let mut engine = Engine::start(parts(&config, &mut backends, &metrics)?).await?;
    let upkeep = backends.upkeep();
    let condition = Arc::new(Shown {
        metrics: Arc::clone(&metrics),
        numbers: backends.numbers(),
        upkeep: Arc::clone(&upkeep),
    });
    let keeper = Keeper {
        upkeep,
        metrics: Arc::clone(&metrics),
        retention: config.retention,
        now: Arc::new(clock::now),
    };
    let keeper_stop = CancellationToken::new();
    let keeping = tokio::spawn(keeper.run(keeper_stop.clone()));
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
        () = engine.ended_early() => anyhow::bail!("a part of the router has ended; see the log"),
    };
    info!(signal, grace_ms = millis(config.shutdown.grace), "stopping");
    metrics.drains();
    keeper_stop.cancel();
    let stopping = async {
        let _ = keeping.await; // it ends at its next breath
        engine.stop(config.shutdown.grace).await;
        if tokio::time::timeout(CLOSING, backends.close()).await.is_err() {
            warn!("a store is away: ending without its answer; what is unfinished comes again");
        }
    };
    tokio::select! {
        () = stopping => info!("stopped"),
        signal = signals.next() => {
            warn!(signal, "asked a second time: ending at once; what is unfinished comes again");
            std::process::exit(0);
        }
    }
    admin_stop.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
    Ok(())
}

/// What the engine is made of, by the configuration.
fn parts(
    config: &Config,
    backends: &mut Backends,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Parts> {
    Ok(Parts {
        catalogue: Arc::clone(&backends.catalogue),
        journal: Arc::clone(&backends.journal),
        inbox: backends.inbox(),
        ladder: Arc::clone(&backends.ladder),
        outlet: Arc::clone(&backends.outlet),
        sender: assemble::sender(config)?,
        world: World { now: Arc::new(clock::now), chance: Arc::new(chance::bits) },
        metrics: Arc::clone(metrics),
        max_deliveries_in_memory: config.limits.max_deliveries_in_memory,
        max_in_flight: config.limits.max_in_flight,
    })
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

/// What the admin port shows of a running router.
struct Shown {
    metrics: Arc<Metrics>,
    /// The broker's side, where there is a broker.
    numbers: Option<Box<dyn Fn() -> BrokerNumbers + Send + Sync>>,
    upkeep: Arc<dyn Upkeep>,
}

impl Shown {
    /// Why the database cannot be written, which the metrics then know as well.
    fn trouble(&self) -> Option<String> {
        let trouble = self.upkeep.trouble();
        self.metrics.store_away(trouble.is_some());
        trouble
    }
}

impl Condition for Shown {
    fn metrics(&self) -> String {
        if let Some(numbers) = &self.numbers {
            self.metrics.broker(&numbers());
        }
        self.trouble();
        self.metrics.text()
    }

    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let mut needs = |there: bool, what: &str| {
            if !there {
                missing.push(what.to_owned());
            }
        };
        needs(!self.metrics.is_draining(), "it is stopping");
        if let Some(numbers) = self.numbers.as_ref().map(|numbers| numbers()) {
            needs(numbers.consume_connected, "the broker's consuming connection is down");
            needs(numbers.publish_connected, "the broker's publishing connection is down");
            needs(!numbers.publish_blocked, "the broker is in a memory or disk alarm");
        }
        if let Some(why) = self.trouble() {
            needs(false, &format!("the database cannot be written ({why})"));
        } else {
            needs(self.metrics.journal_is_up(), "the journal is away");
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
