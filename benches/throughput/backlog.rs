//! Deliveries a second, and CPU for each: everybody works off the same backlog, from the same quorum queue, towards the
//! same receiver, by turns.
//!
//! The clock runs from the first receipt to the last, CPU from the first until all is acknowledged as well: starting up is
//! nobody's figure. What the router records and the bare ones do not is in its own.

use lapin::options::{QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};

use super::broker::Broker;
use super::database::Postgres;
use super::load::{Load, To};
use super::peers::Peers;
use super::process::{Killed, Role, Router, cpu_us, median, own_role, precise};
use super::receiver;
use super::report::{Bar, Report};
use super::{Figures, PATIENCE, Plan};

/// How long everybody has to acknowledge and record what was received last. Twenty-five times as long as the router
/// keeps an acknowledgement back.
const LAST_STEPS: std::time::Duration = std::time::Duration::from_millis(500);

/// Celery's share of the events: it takes ten times as long.
const OF_CELERY: usize = 10;

/// Who takes a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Post(&'static str),
    Consume,
    Insert,
    Bare(&'static str),
    Node,
    Celery,
    Router,
    /// Another build of the router: `BENCH_BESIDE`, for changes that are to make it faster.
    Beside,
    /// The router with its journal in this PostgreSQL.
    OnPostgres,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Post("hyper") => "bare POST loop, the router's HTTP client",
            Self::Post(_) => "bare POST loop, reqwest",
            Self::Consume => "bare consume and acknowledge loop",
            Self::Insert => "bare SQLite insert loop",
            Self::Bare("hyper") => "bare consume, POST, acknowledge; the router's HTTP client",
            Self::Bare(_) => "bare consume, POST, acknowledge; reqwest",
            Self::Node => "bare Node.js worker",
            Self::Celery => "Celery, prefork 4",
            Self::Router => "**posthaste**",
            Self::Beside => "another build of posthaste",
            Self::OnPostgres => "posthaste, journal in PostgreSQL",
        }
    }
}

/// A broker with the router's topology, and who is measured on it.
pub(super) struct Place {
    pub(super) broker: Broker,
    pub(super) peers: Peers,
    /// Durable, as SQLite is here.
    pub(super) postgres: Postgres,
    channel: Channel,
    _connection: Connection,
}

/// What the router's exchanges and queues are called by.
pub(super) const PREFIX: &str = "bench";
/// Where tasks for Celery are.
const TASKS: &str = "bench.celery";

impl Place {
    pub(super) async fn new() -> Self {
        let peers = Peers::install();
        let (broker, postgres) = (Broker::start().await, Postgres::start(true).await);
        let url = broker.url();
        let connection = Connection::connect(&url, ConnectionProperties::default());
        let connection = connection.await.expect("the broker is up");
        let channel = connection.create_channel().await.expect("a channel");
        let place = Self { broker, peers, postgres, channel, _connection: connection };
        place.router(Vec::new()).run(&["topology", "--apply"]);
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        place.channel.queue_declare(TASKS.into(), durable, quorum).await.expect("declared");
        place
    }

    /// A router with a folder of its own, on this broker.
    pub(super) fn router(&self, more: Vec<(&'static str, String)>) -> Router {
        let mut settings = vec![
            ("POSTHASTE_RABBITMQ__URLS", self.broker.url()),
            ("POSTHASTE_RABBITMQ__PREFIX", PREFIX.to_owned()),
        ];
        settings.extend(more);
        Router::new(settings)
    }

    /// The other build, likewise.
    fn other_router(&self) -> Router {
        let url = ("POSTHASTE_RABBITMQ__URLS", self.broker.url());
        let prefix = ("POSTHASTE_RABBITMQ__PREFIX", PREFIX.to_owned());
        Router::of(beside().expect("it is named").into(), vec![url, prefix])
    }

    /// A setting that puts a router's journal into a PostgreSQL database of its own.
    pub(super) async fn journal(&self) -> (&'static str, String) {
        (super::POSTGRES_SETTING, self.postgres.database().await)
    }

    pub(super) fn inbox() -> String {
        format!("{PREFIX}.v1.inbox")
    }

    /// What goes to the router's exchange.
    pub(super) fn load(url: &str, events: usize, per_second: usize) -> Load<'_> {
        let to = To::Events { prefix: PREFIX, application: "bench" };
        Load { broker: url, to, events, per_second, types: 1 }
    }

    /// Takes away what a turn has left.
    pub(super) async fn purge(&self) {
        for queue in [&Self::inbox(), TASKS] {
            let purged = self.channel.queue_purge(queue.into(), QueuePurgeOptions::default());
            purged.await.expect("purged");
        }
    }

    /// A turn of one of them over so many events.
    pub(super) async fn turn(&self, kind: Kind, events: usize, fanout: usize) -> Figures {
        match kind {
            Kind::Consume | Kind::Insert => self.turn_of_a_role(kind, events, fanout).await,
            Kind::Celery => self.turn_towards(kind, (events / OF_CELERY).max(10), fanout).await,
            Kind::Post(_)
            | Kind::Bare(_)
            | Kind::Node
            | Kind::Router
            | Kind::Beside
            | Kind::OnPostgres => self.turn_towards(kind, events, fanout).await,
        }
    }

    /// A turn that ends in a receiver's book.
    async fn turn_towards(&self, kind: Kind, events: usize, fanout: usize) -> Figures {
        let receiver = receiver::Process::start();
        let urls: Vec<String> = (0..fanout).map(|number| receiver.url(number)).collect();
        let (broker, inbox) = (self.broker.url(), Self::inbox());
        let to = if kind == Kind::Celery {
            To::Tasks { queue: TASKS }
        } else {
            To::Events { prefix: PREFIX, application: "bench" }
        };
        let mut router = None;
        if matches!(kind, Kind::Router | Kind::Beside | Kind::OnPostgres) {
            let made = if kind == Kind::Beside {
                self.other_router()
            } else if kind == Kind::OnPostgres {
                self.router(vec![self.journal().await])
            } else {
                self.router(Vec::new())
            };
            made.endpoints(&urls);
            router = Some(made);
        }
        if !matches!(kind, Kind::Post(_)) {
            Load { to, ..Self::load(&broker, events, 0) }.publish().await;
        }
        let all = urls.join(",");
        let role = |role, arguments: &[&str]| Killed(own_role(role, arguments));
        let worker = match kind {
            Kind::Post(client) => role("post", &[client, &events.to_string(), &all]),
            Kind::Bare(client) => role("bare", &[client, &broker, &inbox, &all]),
            Kind::Node => self.peers.node(&broker, &inbox, &urls),
            Kind::Celery => self.peers.celery(&broker, TASKS, &urls),
            Kind::Router | Kind::Beside | Kind::OnPostgres => {
                router.as_ref().expect("made above").start()
            }
            Kind::Consume | Kind::Insert => unreachable!("these send nothing"),
        };
        let figures = self.measured(&receiver, &worker, events * fanout).await;
        if kind == Kind::Celery {
            worker.end(); // or its four processes would stay behind
        } else {
            drop(worker);
        }
        drop(router);
        self.purge().await;
        figures
    }

    async fn measured(
        &self,
        receiver: &receiver::Process,
        worker: &Killed,
        deliveries: usize,
    ) -> Figures {
        let pid = worker.0.id();
        let begun = receiver.until(1, PATIENCE).await;
        let (own, store) = (cpu_us(pid), cpu_us(self.broker.pid()));
        let ended = receiver.until(deliveries, PATIENCE).await;
        tokio::time::sleep(LAST_STEPS).await;
        let (own, store) = (cpu_us(pid) - own, cpu_us(self.broker.pid()) - store);
        let measured = (deliveries - begun.came.min(deliveries - 1)) as u64;
        let each = |us: u64| precise(us) / precise(measured);
        let took_us = ended.last_us - ended.first_us;
        let per_second = precise(deliveries as u64) / precise(took_us.max(1)) * 1e6;
        Figures { per_second, own_us: each(own), store_us: each(store) }
    }

    /// A turn of who sends nothing.
    async fn turn_of_a_role(&self, kind: Kind, events: usize, fanout: usize) -> Figures {
        let folder = tempfile::tempdir().expect("a folder");
        let role = if kind == Kind::Consume {
            Self::load(&self.broker.url(), events, 0).publish().await;
            let url = self.broker.url();
            Role::start("consume", &[&url, &Self::inbox(), &events.to_string()])
        } else {
            let path = folder.path().join("bare.db");
            Role::start("insert", &[path.to_str().expect("a path"), &events.to_string()])
        };
        figures_of(&role, events * fanout, Some(self.broker.pid())).await
    }
}

/// What a role has used between its first line and its second.
pub(super) async fn figures_of(role: &Role, deliveries: usize, store: Option<u32>) -> Figures {
    let used = || (cpu_us(role.pid()), store.map_or(0, cpu_us));
    role.line().await;
    let (begun, before) = (std::time::Instant::now(), used());
    role.line().await;
    let (took, after) = (begun.elapsed(), used());
    let deliveries = precise(deliveries as u64);
    Figures {
        per_second: deliveries / took.as_secs_f64(),
        own_us: precise(after.0 - before.0) / deliveries,
        store_us: precise(after.1 - before.1) / deliveries,
    }
}

/// Another build of the router, where one is named.
fn beside() -> Option<String> {
    std::env::var("BENCH_BESIDE").ok().filter(|path| !path.is_empty())
}

/// Everybody, by turns, for fan-outs of one and five.
pub(super) async fn compare(place: &Place, plan: &Plan, report: &mut Report) {
    for (fanout, events) in [(1, plan.of(20_000, 200)), (5, plan.of(6_000, 50))] {
        report.case(&format!("Backlog of {events} events, fan-out {fanout}"));
        let mut kinds = vec![
            Kind::Post("hyper"),
            Kind::Post("reqwest"),
            Kind::Consume,
            Kind::Insert,
            Kind::Bare("hyper"),
            Kind::Bare("reqwest"),
            Kind::Node,
            Kind::Celery,
            Kind::Router,
            Kind::OnPostgres,
        ];
        if beside().is_some() {
            kinds.push(Kind::Beside);
        }
        let mut turns = vec![Vec::new(); kinds.len()];
        for _ in 0..plan.runs {
            for (kind, turns) in kinds.iter().zip(&mut turns) {
                turns.push(place.turn(*kind, events, fanout).await);
            }
        }
        let of = |kind: Kind| &turns[kinds.iter().position(|one| *one == kind).expect("measured")];
        report.head(&[
            "",
            "deliveries/s",
            "own CPU, µs each",
            "broker's CPU, µs each",
            "of Node.js",
        ]);
        let node = median(of(Kind::Node).clone());
        for kind in &kinds {
            let figures = median(of(*kind).clone());
            report.row(&[
                kind.name().to_owned(),
                format!("{:.0}", figures.per_second),
                format!("{:.1}", figures.own_us),
                format!("{:.1}", figures.store_us),
                format!("{:.2}×", figures.per_second / node.per_second),
            ]);
        }
        let router = of(Kind::Router);
        let faster = |than: Kind| -> Vec<f64> {
            let pairs = router.iter().zip(of(than));
            pairs.map(|(router, peer)| router.per_second / peer.per_second).collect()
        };
        report.bar(
            &format!("deliveries/s, fan-out {fanout}, against the bare Node.js worker"),
            Bar::AtLeast(1.0),
            &faster(Kind::Node),
        );
        report.bar(
            &format!("deliveries/s, fan-out {fanout}, against Celery"),
            Bar::AtLeast(10.0),
            &faster(Kind::Celery),
        );
        if fanout == 1 {
            let floors = [Kind::Post("hyper"), Kind::Consume, Kind::Insert].map(of);
            let over = router.iter().enumerate().map(|(round, router)| {
                router.own_us / floors.iter().map(|floor| floor[round].own_us).sum::<f64>()
            });
            let what = "router CPU per delivery against POST + consume and acknowledge + insert";
            report.bar(what, Bar::AtMost(1.3), &over.collect::<Vec<_>>());
        }
        let pairs = of(Kind::OnPostgres).iter().zip(router);
        let ratios: Vec<f64> = pairs.map(|(on, own)| on.per_second / own.per_second).collect();
        let what = format!("deliveries/s, fan-out {fanout}, PostgreSQL against SQLite");
        report.bar(&what, Bar::AtLeast(0.7), &ratios);
    }
}
