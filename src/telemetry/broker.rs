//! The metrics of a broker, for a router that has one. One that has none does not show it as down.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use super::book::{Book, raise};

/// The broker's side, as its back end counts it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BrokerNumbers {
    /// Whether the publishing connection is up.
    pub publish_connected: bool,
    /// Whether the consuming connection is up.
    pub consume_connected: bool,
    /// Whether the broker has blocked the publishing connection.
    pub publish_blocked: bool,
    /// Times the publishing connection was made again.
    pub publish_reconnects: u64,
    /// Times the consuming connection was made again.
    pub consume_reconnects: u64,
    /// Publishes that the broker confirmed.
    pub confirmed: u64,
    /// Publishes that it refused.
    pub nacked: u64,
    /// Publishes that came back because no queue wanted them.
    pub returned: u64,
    /// Batches of publishes that were not wholly confirmed, for whatever reason.
    pub batches_failed: u64,
    /// Routers on its inbox, as counted last; 0 when unknown.
    pub routers: u64,
    /// Events ready in its inbox, as counted last.
    pub inbox_ready: u64,
}

/// The broker's series.
#[derive(Debug)]
pub(super) struct BrokerMetrics {
    received: IntCounterVec,
    connections: IntGaugeVec,
    blocked: IntGaugeVec,
    reconnects: IntCounterVec,
    publishes: IntCounterVec,
    batches_failed: IntCounter,
}

impl BrokerMetrics {
    /// All of them, at zero.
    pub(super) fn new(book: &Book<'_>) -> Self {
        let metrics = Self {
            received: book.counters(
                "broker_messages_received_total",
                "Messages consumed: is there a redelivery storm?",
                &["redelivered"],
            ),
            connections: book.gauges("broker_connections", "Connected?", &["role"]),
            blocked: book.gauges(
                "broker_connection_blocked",
                "Is the broker in a memory or disk alarm?",
                &["role"],
            ),
            reconnects: book.counters(
                "broker_reconnects_total",
                "Connections that had to be made again.",
                &["role"],
            ),
            publishes: book.counters(
                "broker_publishes_total",
                "Publishes by the broker's answer; one returned means a missing queue.",
                &["result"],
            ),
            batches_failed: book.counter(
                "broker_batches_failed_total",
                "Batches of publishes that were not wholly confirmed, and are repeated.",
            ),
        };
        for redelivered in ["false", "true"] {
            metrics.received.with_label_values(&[redelivered]);
        }
        metrics
    }

    /// A message was consumed.
    pub(super) fn received(&self, redelivered: bool) {
        let redelivered = if redelivered { "true" } else { "false" };
        self.received.with_label_values(&[redelivered]).inc();
    }

    /// Messages that were consumed.
    pub(super) fn all_received(&self) -> u64 {
        ["false", "true"]
            .map(|redelivered| self.received.with_label_values(&[redelivered]).get())
            .iter()
            .sum()
    }

    /// Shows what was last counted, and what of it is needed to be `ready`.
    pub(super) fn show(&self, numbers: &BrokerNumbers, ready: &IntGaugeVec) {
        for (role, connected, blocked, reconnects) in [
            (
                "publish",
                numbers.publish_connected,
                numbers.publish_blocked,
                numbers.publish_reconnects,
            ),
            ("consume", numbers.consume_connected, false, numbers.consume_reconnects),
        ] {
            self.connections.with_label_values(&[role]).set(i64::from(connected));
            self.blocked.with_label_values(&[role]).set(i64::from(blocked));
            raise(&self.reconnects.with_label_values(&[role]), reconnects);
        }
        for (result, count) in [
            ("confirmed", numbers.confirmed),
            ("nacked", numbers.nacked),
            ("returned", numbers.returned),
        ] {
            raise(&self.publishes.with_label_values(&[result]), count);
        }
        raise(&self.batches_failed, numbers.batches_failed);
        for (component, up) in [
            ("broker_publish", numbers.publish_connected),
            ("broker_consume", numbers.consume_connected),
        ] {
            ready.with_label_values(&[component]).set(i64::from(up));
        }
    }
}
