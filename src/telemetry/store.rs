//! The metrics of the store's file: how large it is, and what was removed from it for its age.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::book::Book;
use crate::domain::time::Timestamp;
use crate::storage::upkeep::{Removed, Size};

/// The store's series.
#[derive(Debug)]
pub(super) struct StoreMetrics {
    bytes: IntGaugeVec,
    free: IntGauge,
    available: IntGauge,
    oldest: IntGauge,
    removed: IntCounterVec,
}

impl StoreMetrics {
    /// All of them, at zero.
    pub(super) fn new(book: &Book<'_>) -> Self {
        let metrics = Self {
            bytes: book.gauges(
                "store_bytes",
                "Bytes of the database file, and of the log that is not folded into it yet.",
                &["part"],
            ),
            free: book.gauge(
                "store_free_bytes",
                "Bytes within the database file that are used again before it grows.",
            ),
            available: book.gauge(
                "store_disk_available_bytes",
                "Bytes that are left on the disk where the database lies.",
            ),
            oldest: book.gauge(
                "store_oldest_event_timestamp_seconds",
                "When the oldest event that is kept was received; 0 without any: does retention keep up?",
            ),
            removed: book.counters(
                "store_rows_removed_total",
                "Rows that were removed for their age.",
                &["table"],
            ),
        };
        metrics.show(&Size::default());
        metrics.removed(&Removed::default());
        metrics
    }

    /// Shows what was last read.
    pub(super) fn show(&self, size: &Size) {
        let whole = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.bytes.with_label_values(&["file"]).set(whole(size.file_bytes));
        self.bytes.with_label_values(&["log"]).set(whole(size.log_bytes));
        self.free.set(whole(size.free_bytes));
        self.available.set(whole(size.available_bytes));
        self.oldest.set(size.oldest_event.map_or(0, Timestamp::as_seconds));
    }

    /// Counts what is gone.
    pub(super) fn removed(&self, removed: &Removed) {
        for (table, rows) in [
            ("events", removed.events),
            ("deliveries", removed.deliveries),
            ("attempts", removed.attempts),
            ("dead_letters", removed.dead_letters),
            ("requests", removed.requests),
            ("answers", removed.answers),
            ("replays", removed.replays),
            ("inspected", removed.inspected),
            ("rollups", removed.rollups),
        ] {
            self.removed.with_label_values(&[table]).inc_by(rows);
        }
    }
}
