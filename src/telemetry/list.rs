//! The list of metrics: what there is, with which labels, and which question each answers.
//!
//! Read off the registry itself, where every series of a closed label set exists from the start: so the list
//! cannot tell of a metric that is not there, nor keep silent about one that is. Rules, dashboards and the page of
//! metrics are held to it. Left to others: the names (`metrics`, `broker`, `store`), and how it is printed.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::proto::{Bucket, Metric, MetricFamily, MetricType};
use serde::Serialize;

use super::metrics::Metrics;

/// What begins the names of what is the installation's: every router says the same of it, so that it is read
/// with `max()` and never summed.
const SHARED: [&str; 2] = ["posthaste_ledger_", "posthaste_dead_letters"];

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The question that it answers.
    pub question: String,
    /// Its labels, with every value that each can have. (That of `version` is the version that is asked.)
    pub labels: BTreeMap<String, BTreeSet<String>>,
    /// The upper bounds of a histogram's buckets, without the last, which has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<f64>,
    /// How many series it is.
    pub series: usize,
    /// Whether it is the installation's, so that every router says the same: `max()`. Otherwise it is the router's own.
    pub shared: bool,
    /// Whether a router without a broker has none of it.
    pub broker: bool,
}

/// Every metric of a router on a broker, by name.
pub fn families() -> Vec<Family> {
    let version = env!("CARGO_PKG_VERSION");
    let names = |metrics: &Metrics| -> BTreeSet<String> {
        metrics.registry().gather().iter().map(|family| family.name().to_owned()).collect()
    };
    let embedded = names(&Metrics::new(version));
    let gathered = Metrics::with_broker(version).registry().gather();
    gathered.iter().map(|it| family(it, !embedded.contains(it.name()))).collect()
}

fn family(gathered: &MetricFamily, broker: bool) -> Family {
    let (kind, is_histogram) = match gathered.get_field_type() {
        MetricType::COUNTER => ("counter", false),
        MetricType::GAUGE => ("gauge", false),
        MetricType::HISTOGRAM => ("histogram", true),
        MetricType::SUMMARY | MetricType::UNTYPED => unreachable!("we make none of these"),
    };
    let mut labels = BTreeMap::<_, BTreeSet<_>>::new();
    for pair in gathered.get_metric().iter().flat_map(Metric::get_label) {
        labels.entry(pair.name().to_owned()).or_default().insert(pair.value().to_owned());
    }
    let bounds = gathered.get_metric().first().filter(|_| is_histogram).map(|metric| {
        let buckets = metric.get_histogram().get_bucket();
        buckets.iter().map(Bucket::upper_bound).filter(|le| le.is_finite()).collect()
    });
    let buckets: Vec<f64> = bounds.unwrap_or_default();
    // A histogram's are its buckets, the one without a bound, its sum and its count.
    let of_each = if is_histogram { buckets.len() + 3 } else { 1 };
    Family {
        name: gathered.name().to_owned(),
        kind,
        question: gathered.help().to_owned(),
        labels,
        series: gathered.get_metric().len() * of_each,
        buckets,
        shared: SHARED.iter().any(|start| gathered.name().starts_with(start)),
        broker,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Series that one router may have, whatever it does: what a Prometheus takes without a thought.
    const BUDGET: usize = 1_500;

    fn named(name: &str) -> Family {
        families().into_iter().find(|family| family.name == name).expect(name)
    }

    #[test]
    fn a_metric_is_listed_with_its_question_and_every_value_of_its_labels() {
        let finished = named("posthaste_deliveries_finished_total");

        assert_eq!(finished.kind, "counter");
        assert!(finished.question.contains("came to an end"));
        assert!(finished.labels["result"].contains("delivered"));
        assert!(finished.labels["reason"].contains("attempts_exhausted"));
        assert!(!finished.shared && !finished.broker);
    }

    #[test]
    fn a_histogram_is_listed_with_its_bounds_and_all_its_series() {
        let wait = named("posthaste_delivery_queue_wait_seconds");

        assert_eq!(wait.kind, "histogram");
        assert!(wait.buckets.contains(&1.0) && !wait.buckets.contains(&f64::INFINITY));
        assert_eq!(wait.series, 2 * (wait.buckets.len() + 3));
    }

    #[test]
    fn what_every_router_says_the_same_of_is_told_from_what_is_its_own() {
        assert!(named("posthaste_ledger_unaccounted_deliveries").shared);
        assert!(named("posthaste_dead_letters").shared);
        assert!(!named("posthaste_delivery_in_flight").shared);
        assert!(named("posthaste_broker_connections").broker);
    }

    #[test]
    fn names_are_in_base_units_and_only_counters_end_in_total() {
        for family in families() {
            assert_eq!(
                family.kind == "counter",
                family.name.ends_with("_total"),
                "{}",
                family.name
            );
            for unit in ["_ms", "_millis", "_minutes", "_kb", "_mb", "_percent"] {
                assert!(!family.name.contains(unit), "{} is not in a base unit", family.name);
            }
            assert!(!family.question.is_empty(), "{} answers no question", family.name);
        }
    }

    #[test]
    fn no_label_has_values_that_a_tenant_can_make_up_and_the_series_are_few() {
        let families = families();

        let ours = ["process_", "build_info"];
        for family in families.iter().filter(|it| !ours.iter().any(|word| it.name.contains(word))) {
            for label in family.labels.keys() {
                let closed = [
                    "attempt",
                    "attempts",
                    "cause",
                    "component",
                    "mode",
                    "outcome",
                    "outcome_class",
                    "part",
                    "reason",
                    "redelivered",
                    "result",
                    "role",
                    "state",
                    "table",
                    "to",
                ];
                assert!(closed.contains(&label.as_str()), "{} has the label {label}", family.name);
            }
        }
        let series: usize = families.iter().map(|family| family.series).sum();
        assert!(series <= BUDGET, "{series} series");
    }
}
