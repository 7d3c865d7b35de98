//! Every metric of the pipeline: its name, its labels and the question it answers.
//!
//! Label sets are closed and known when the program starts, and each series exists from then on, so
//! that `increase()` sees the first event and the number of series does not grow with traffic. No
//! label carries anything that a tenant can make up.
//!
//! Gauges of shared state (`ledger_*`, `dead_letters`) say the same on every replica: read them with
//! `max()`. Counters are each replica's own: sum them.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use super::book::Book;
use super::broker::{BrokerMetrics, BrokerNumbers};
use super::store::StoreMetrics;
use crate::domain::breaker::Turned;
use crate::domain::delivery::{Attempt, Delivery};
use crate::domain::outcome::{CLASSES, Meaning, Outcome};
use crate::domain::settings::SchemaMode;
use crate::domain::settlement::{DeathReason, Postponed, Settlement};
use crate::domain::time::Timestamp;
use crate::storage::journal::Books;
use crate::storage::upkeep::{Removed, Size};

/// Seconds, for attempts: the default time-outs (15 and 30) are bounds.
const ATTEMPT_SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0];
/// Seconds, for waits: the objectives (0.25, 1, 5 and 60) are bounds.
const WAIT_SECONDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];
/// Seconds, from accepted to delivered: up to a day of retries.
const END_TO_END_SECONDS: [f64; 17] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
    21600.0, 86400.0,
];
/// Deliveries of one event.
const FANOUT: [f64; 10] = [0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0];

/// Words for why a message is quarantined: see `Rejection::reason`.
const QUARANTINE_REASONS: [&str; 11] = [
    "event_type_missing",
    "event_type_too_long",
    "event_type_malformed",
    "application_missing",
    "application_unknown",
    "payload_not_utf8",
    "payload_not_json",
    "payload_too_large",
    "payload_not_by_schema",
    "not_a_cloudevent",
    "bad_field",
];

fn schema_faults(book: &Book<'_>) -> IntCounterVec {
    let asks =
        "Events that came and are not as their types' schemas want them, by what is made of it.";
    book.counters("schema_faults_total", asks, &["mode"])
}

fn copies_dropped(book: &Book<'_>) -> IntCounter {
    let asks = "Copies of deliveries whose turn was over: what repeated messages came to.";
    book.counter("delivery_copies_dropped_total", asks)
}

fn escrowed(book: &Book<'_>) -> IntCounter {
    let asks = "Deliveries that took so long that their event was acknowledged before they ended.";
    book.counter("deliveries_escrowed_total", asks)
}

fn routers(book: &Book<'_>) -> IntGauge {
    let asks = "Routers that share endpoints' rates and caps, this one among them; 0 while that is not known.";
    book.gauge("routers", asks)
}

fn circuit_transitions(book: &Book<'_>) -> IntCounterVec {
    let asks = "Circuits that have opened, been found half open, and closed: is one flapping?";
    book.counters("endpoint_circuit_transitions_total", asks, &["to"])
}

/// Some of it as numbers, for who does not read Prometheus. Gauges are current, counters since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Messages that a broker has delivered.
    pub received: u64,
    /// Events recorded for the first time.
    pub accepted: u64,
    /// Events that were on record already.
    pub known: u64,
    /// Messages that are no events.
    pub quarantined: u64,
    /// Deliveries in memory.
    pub in_memory: u64,
    /// Requests on the way.
    pub in_flight: u64,
    /// Requests that have ended.
    pub attempts: u64,
    /// Deliveries that came to a good end.
    pub delivered: u64,
}

/// The metrics of one router.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events_accepted: IntCounter,
    events_known: IntCounterVec,
    events_routed: IntCounter,
    events_filtered: IntCounter,
    events_quarantined: IntCounterVec,
    schema_faults: IntCounterVec,
    fanout: Histogram,
    attempts: IntCounterVec,
    attempt_duration: HistogramVec,
    queue_wait: HistogramVec,
    end_to_end: HistogramVec,
    finished: IntCounterVec,
    retries: IntCounter,
    postponed: IntCounterVec,
    copies_dropped: IntCounter,
    circuit_transitions: IntCounterVec,
    escrowed: IntCounter,
    routers: IntGauge,
    in_flight: IntGauge,
    in_flight_limit: IntGauge,
    window: IntGauge,
    ledger: IntGaugeVec,
    unaccounted: IntGauge,
    dead_letters: IntGauge,
    broker: Option<BrokerMetrics>,
    store: StoreMetrics,
    journal_up: IntGauge,
    ready: IntGaugeVec,
    draining: IntGauge,
    journal_troubles: AtomicI64,
    store_is_away: AtomicBool,
    ladder_troubles: AtomicI64,
    stopped: AtomicBool,
}

impl Metrics {
    /// The metrics of a router on a broker, at zero.
    pub fn with_broker(version: &str) -> Self {
        let mut metrics = Self::new(version);
        metrics.broker = Some(BrokerMetrics::new(&Book(&metrics.registry)));
        metrics.broker(&BrokerNumbers::default());
        metrics
    }

    /// The metrics of a router without a broker, at zero.
    pub fn new(version: &str) -> Self {
        let registry = Registry::new_custom(Some("posthaste".into()), None)
            .expect("the prefix is a valid name");
        let book = Book(&registry);
        let build = book.gauges("build_info", "Which version runs here?", &["version"]);
        build.with_label_values(&[version]).set(1);
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("registered once");
        let metrics = Self {
            events_accepted: book
                .counter("events_accepted_total", "Events that were recorded for the first time."),
            events_known: book.counters(
                "events_known_total",
                "Events that were recorded before: redelivered by the broker, or published twice.",
                &["cause"],
            ),
            events_routed: book
                .counter("events_routed_total", "Events that at least one endpoint wanted."),
            events_filtered: book
                .counter("events_filtered_total", "Events that no endpoint wanted."),
            events_quarantined: book.counters(
                "events_quarantined_total",
                "Messages that are not events, by what is wrong with them.",
                &["reason"],
            ),
            schema_faults: schema_faults(&book),
            fanout: book.histogram(
                "event_fanout_deliveries",
                "Deliveries that one event owes.",
                &FANOUT,
            ),
            attempts: book.counters(
                "delivery_attempts_total",
                "Requests by how they ended: are failures ours or theirs, and of which kind?",
                &["outcome", "attempt"],
            ),
            attempt_duration: book.histograms(
                "delivery_attempt_duration_seconds",
                "From the beginning of a request to its end: how slow are receivers?",
                &["outcome_class"],
                &ATTEMPT_SECONDS,
            ),
            queue_wait: book.histograms(
                "delivery_queue_wait_seconds",
                "From when a delivery could be sent to when its request began: are we late?",
                &["attempt"],
                &WAIT_SECONDS,
            ),
            end_to_end: book.histograms(
                "delivery_end_to_end_seconds",
                "From when an event was received to its delivery.",
                &["attempts"],
                &END_TO_END_SECONDS,
            ),
            finished: book.counters(
                "deliveries_finished_total",
                "Deliveries that came to an end, and which.",
                &["result", "reason"],
            ),
            retries: book.counter(
                "delivery_retries_scheduled_total",
                "Failed attempts that will be followed by another.",
            ),
            postponed: book.counters(
                "deliveries_postponed_total",
                "Deliveries put off without an attempt: are we holding back on purpose?",
                &["reason"],
            ),
            copies_dropped: copies_dropped(&book),
            escrowed: escrowed(&book),
            circuit_transitions: circuit_transitions(&book),
            routers: routers(&book),
            in_flight: book.gauge("delivery_in_flight", "Requests on the way."),
            in_flight_limit: book
                .gauge("delivery_concurrency_limit", "Requests that may be on the way at once."),
            window: book.gauge("deliveries_in_memory", "Deliveries in this router's memory."),
            ledger: book.gauges(
                "ledger_deliveries",
                "The books: owed = pending + waiting + delivered + dead + discarded + cancelled + dropped + unknown.",
                &["state"],
            ),
            unaccounted: book.gauge(
                "ledger_unaccounted_deliveries",
                "By the books, owed but in no state: anything but 0 means that something was miscounted.",
            ),
            dead_letters: book.gauge("dead_letters", "Dead letters that somebody has to look at."),
            broker: None,
            store: StoreMetrics::new(&book),
            journal_up: book.gauge("journal_up", "Does the journal take what we bring?"),
            ready: book.gauges("ready", "What is this replica ready for? 1 for each part that is, 0 for what is missing.", &["component"]),
            draining: book.gauge("draining", "Is it stopping?"),
            journal_troubles: AtomicI64::new(0),
            store_is_away: AtomicBool::new(false),
            ladder_troubles: AtomicI64::new(0),
            stopped: AtomicBool::new(false),
            registry: registry.clone(),
        };
        metrics.zero();
        metrics
    }

    /// Makes every series of the closed label sets, at zero.
    fn zero(&self) {
        for cause in ["redelivered", "published_twice"] {
            self.events_known.with_label_values(&[cause]);
        }
        for mode in [SchemaMode::Warn, SchemaMode::Enforce] {
            self.schema_faults.with_label_values(&[mode.as_str()]);
        }
        for reason in QUARANTINE_REASONS {
            self.events_quarantined.with_label_values(&[reason]);
        }
        for outcome in CLASSES {
            for attempt in ["first", "retry"] {
                self.attempts.with_label_values(&[outcome, attempt]);
            }
        }
        for class in ["success", "remote_error", "timeout", "local_error"] {
            self.attempt_duration.with_label_values(&[class]);
        }
        for attempt in ["first", "retry"] {
            self.queue_wait.with_label_values(&[attempt]);
        }
        for attempts in ["1", "2+"] {
            self.end_to_end.with_label_values(&[attempts]);
        }
        self.finished.with_label_values(&["delivered", "none"]);
        self.finished.with_label_values(&["cancelled", "endpoint_deleted"]);
        for reason in DeathReason::ALL {
            self.finished.with_label_values(&["dead", reason.as_str()]);
            self.finished.with_label_values(&["dropped", reason.as_str()]);
        }
        for why in Postponed::ALL {
            self.postponed.with_label_values(&[why.as_str()]);
        }
        for to in ["open", "half_open", "closed"] {
            self.circuit_transitions.with_label_values(&[to]);
        }
        for component in ["journal", "ladder"] {
            self.ready.with_label_values(&[component]).set(1);
        }
        self.books(&Books::default());
    }

    /// An event was recorded for the first time, and owes so many deliveries.
    pub fn event_accepted(&self, fanout: usize) {
        self.events_accepted.inc();
        let matched = if fanout == 0 { &self.events_filtered } else { &self.events_routed };
        matched.inc();
        #[expect(clippy::cast_precision_loss, reason = "a histogram counts in floats")]
        self.fanout.observe(fanout as f64);
    }

    /// An event came that was recorded before.
    pub fn event_known(&self, redelivered: bool) {
        let cause = if redelivered { "redelivered" } else { "published_twice" };
        self.events_known.with_label_values(&[cause]).inc();
    }

    /// An event that came is not as its type's schema wants it.
    pub fn schema_fault(&self, mode: SchemaMode) {
        self.schema_faults.with_label_values(&[mode.as_str()]).inc();
    }

    /// A message was quarantined.
    pub fn event_quarantined(&self, reason: &str) {
        self.events_quarantined.with_label_values(&[reason]).inc();
    }

    /// Something arrived: a message of the broker's, where there is one.
    pub fn broker_received(&self, redelivered: bool) {
        if let Some(broker) = &self.broker {
            broker.received(redelivered);
        }
    }

    /// A request begins, after the delivery could have been sent for so long.
    pub fn attempt_starts(&self, delivery: &Delivery, waited: Duration) {
        self.queue_wait.with_label_values(&[ordinal(delivery)]).observe(waited.as_secs_f64());
    }

    /// A request has ended.
    pub fn attempt_ended(&self, delivery: &Delivery, attempt: &Attempt, now: Timestamp) {
        let (outcome, class) = (attempt.class(), outcome_class(attempt));
        self.attempts.with_label_values(&[outcome, ordinal(delivery)]).inc();
        let seconds = f64::from(attempt.duration_ms) / 1_000.0;
        self.attempt_duration.with_label_values(&[class]).observe(seconds);
        if attempt.meaning == Meaning::Delivered {
            let attempts = if delivery.attempts == 0 { "1" } else { "2+" };
            let age = now.since(delivery.event.received_at).as_secs_f64();
            self.end_to_end.with_label_values(&[attempts]).observe(age);
        }
    }

    /// A settlement is on record.
    pub fn settled(&self, settlement: &Settlement) {
        let finished = |result, reason| self.finished.with_label_values(&[result, reason]).inc();
        match settlement {
            Settlement::Delivered => finished("delivered", "none"),
            Settlement::DeadLetter(why) => finished("dead", why.as_str()),
            Settlement::Drop(why) => finished("dropped", why.as_str()),
            Settlement::Cancelled => finished("cancelled", "endpoint_deleted"),
            Settlement::LetGo | Settlement::Unchanged => {}
            Settlement::Retry(_) => self.retries.inc(),
            Settlement::Postpone(_, why) => {
                self.postponed.with_label_values(&[why.as_str()]).inc();
            }
        }
    }

    /// A copy of a delivery was dropped: its turn was over.
    pub fn copy_dropped(&self) {
        self.copies_dropped.inc();
    }

    /// Deliveries were taken over from the messages that they came with.
    pub fn escrowed(&self, count: usize) {
        self.escrowed.inc_by(count as u64);
    }

    /// So many routers share what endpoints may be sent.
    pub fn routers(&self, among: Option<NonZeroU16>) {
        self.routers.set(among.map_or(0, |among| i64::from(among.get())));
    }

    /// An endpoint's circuit has changed its state.
    pub fn circuit_turned(&self, turned: Turned) {
        self.circuit_transitions.with_label_values(&[turned.as_str()]).inc();
    }

    /// Requests on the way.
    pub fn in_flight(&self, count: usize) {
        self.in_flight.set(whole(count));
    }

    /// Requests that may be on the way at once.
    pub fn in_flight_limit(&self, count: usize) {
        self.in_flight_limit.set(whole(count));
    }

    /// Deliveries in memory.
    pub fn in_memory(&self, count: usize) {
        self.window.set(whole(count));
    }

    /// The books, as last read.
    pub fn books(&self, books: &Books) {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for (state, number) in [
            ("owed", books.owed),
            ("pending", books.pending),
            ("waiting", books.waiting),
            ("delivered", books.delivered),
            ("dead", books.dead),
            ("discarded", books.discarded),
            ("cancelled", books.cancelled),
            ("dropped", books.dropped),
            ("unknown", books.unknown),
        ] {
            self.ledger.with_label_values(&[state]).set(count(number));
        }
        self.unaccounted.set(books.unaccounted());
        self.dead_letters.set(count(books.dead));
    }

    /// The broker's side, as last counted; nothing of a router without one.
    pub fn broker(&self, numbers: &BrokerNumbers) {
        if let Some(broker) = &self.broker {
            broker.show(numbers, &self.ready);
        }
    }

    /// How large the store is, as last read.
    pub fn store(&self, size: &Size) {
        self.store.show(size);
    }

    /// What was old has been removed.
    pub fn removed(&self, removed: &Removed) {
        self.store.removed(removed);
    }

    /// Whether the store can be written, as last seen.
    pub fn store_away(&self, away: bool) {
        self.store_is_away.store(away, Ordering::Relaxed);
    }

    /// The journal does not take what a caller brings, or takes it again.
    pub fn journal_away(&self, away: bool) {
        self.journal_troubles.fetch_add(if away { 1 } else { -1 }, Ordering::Relaxed);
    }

    /// The ladder does not take what a caller brings, or takes it again.
    pub fn ladder_away(&self, away: bool) {
        self.ladder_troubles.fetch_add(if away { 1 } else { -1 }, Ordering::Relaxed);
    }

    /// Whether nobody is waiting for the journal, and what it lies in can be written.
    pub fn journal_is_up(&self) -> bool {
        self.journal_troubles.load(Ordering::Relaxed) == 0
            && !self.store_is_away.load(Ordering::Relaxed)
    }

    /// The router stops.
    pub fn drains(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.draining.set(1);
    }

    /// Whether the router stops.
    pub fn is_draining(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// What a person wants of it at a glance.
    pub fn reading(&self) -> Reading {
        let gauge = |gauge: &IntGauge| u64::try_from(gauge.get()).unwrap_or_default();
        let sum = |counters: &IntCounterVec, labels: &[&str]| -> u64 {
            labels.iter().map(|label| counters.with_label_values(&[label]).get()).sum()
        };
        let attempts = |outcome| {
            ["first", "retry"]
                .map(|attempt| self.attempts.with_label_values(&[outcome, attempt]).get())
                .iter()
                .sum::<u64>()
        };
        Reading {
            received: self.broker.as_ref().map_or(0, BrokerMetrics::all_received),
            accepted: self.events_accepted.get(),
            known: sum(&self.events_known, &["redelivered", "published_twice"]),
            quarantined: sum(&self.events_quarantined, &QUARANTINE_REASONS),
            in_memory: gauge(&self.window),
            in_flight: gauge(&self.in_flight),
            attempts: CLASSES.into_iter().map(attempts).sum(),
            delivered: self.finished.with_label_values(&["delivered", "none"]).get(),
        }
    }

    /// Where all of them are entered.
    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All metrics in the text format of Prometheus.
    pub fn text(&self) -> String {
        let journal = i64::from(self.journal_is_up());
        self.journal_up.set(journal);
        self.ready.with_label_values(&["journal"]).set(journal);
        let ladder = i64::from(self.ladder_troubles.load(Ordering::Relaxed) == 0);
        self.ready.with_label_values(&["ladder"]).set(ladder);
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory does not fail");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

fn ordinal(delivery: &Delivery) -> &'static str {
    if delivery.attempts == 0 { "first" } else { "retry" }
}

fn outcome_class(attempt: &Attempt) -> &'static str {
    match attempt.meaning {
        Meaning::Delivered => "success",
        Meaning::Failed if attempt.outcome == Outcome::TimedOut => "timeout",
        Meaning::Failed | Meaning::Gone | Meaning::Refused => "remote_error",
        Meaning::NotTheirDoing => "local_error",
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_and_they_are_few() {
        let text = Metrics::new("0.0.0").text();

        assert!(
            text.contains(
                "posthaste_delivery_attempts_total{attempt=\"retry\",outcome=\"gone\"} 0"
            )
        );
        assert!(text.contains("posthaste_ledger_unaccounted_deliveries 0"));
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(series < 1_500, "{series} series");
    }

    #[test]
    fn a_router_without_a_broker_says_nothing_of_one() {
        let embedded = Metrics::new("0.0.0");
        embedded.broker_received(false);
        embedded.broker(&BrokerNumbers::default());
        for word in ["posthaste_broker", "broker_publish", "broker_consume"] {
            assert!(!embedded.text().contains(word), "{word}");
        }

        let on_a_broker = Metrics::with_broker("0.0.0").text();
        for series in [
            "posthaste_broker_connections{role=\"consume\"} 0",
            "posthaste_broker_messages_received_total{redelivered=\"true\"} 0",
            "posthaste_ready{component=\"broker_publish\"} 0",
        ] {
            assert!(on_a_broker.contains(series), "{series}");
        }
    }

    #[test]
    fn the_journal_is_up_when_nobody_waits_for_it_and_its_store_can_be_written() {
        let metrics = Metrics::new("0.0.0");
        let up = || metrics.text().contains("posthaste_journal_up 1");
        assert!(up());
        metrics.store_away(true);
        metrics.journal_away(true);
        assert!(!up());
        metrics.journal_away(false);
        assert!(!up(), "its store is still away");
        metrics.store_away(false);
        assert!(up());
    }

    #[test]
    fn what_is_owed_and_in_no_state_is_shown() {
        let metrics = Metrics::new("0.0.0");
        metrics.books(&Books { owed: 5, delivered: 3, waiting: 1, ..Books::default() });
        assert!(metrics.text().contains("posthaste_ledger_unaccounted_deliveries 1"));
    }
}
