//! Makes metrics, and enters them in the registry: a name is used once, or the program does not start.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Makes metrics and enters them in the registry.
pub(super) struct Book<'a>(pub(super) &'a Registry);

impl Book<'_> {
    fn enter<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let metric = made.expect("names and labels are valid");
        self.0.register(Box::new(metric.clone())).expect("each name is used once");
        metric
    }

    pub(super) fn counter(&self, name: &str, question: &str) -> IntCounter {
        self.enter(IntCounter::new(name, question))
    }

    pub(super) fn counters(&self, name: &str, question: &str, labels: &[&str]) -> IntCounterVec {
        self.enter(IntCounterVec::new(Opts::new(name, question), labels))
    }

    pub(super) fn gauge(&self, name: &str, question: &str) -> IntGauge {
        self.enter(IntGauge::new(name, question))
    }

    pub(super) fn gauges(&self, name: &str, question: &str, labels: &[&str]) -> IntGaugeVec {
        self.enter(IntGaugeVec::new(Opts::new(name, question), labels))
    }

    pub(super) fn histogram(&self, name: &str, question: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(name, question).buckets(buckets.to_vec());
        self.enter(Histogram::with_opts(opts))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        question: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        let opts = HistogramOpts::new(name, question).buckets(buckets.to_vec());
        self.enter(HistogramVec::new(opts, labels))
    }
}

/// Brings a counter up to what is counted elsewhere.
pub(super) fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
