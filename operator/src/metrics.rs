//! What `/metrics` serves.

use datastream_service::metrics::Registry;
use datastream_service::probes::Probes;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// The label with the name of a group of gateways.
const GROUP: &str = "group";

/// The counters of one operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Reconciles, by result (`ok`, `error`).
    pub(crate) reconciles: IntCounterVec,
    /// How long a successful reconcile took.
    pub(crate) reconcile_seconds: Histogram,
    /// Secrets with stream keys created or mended.
    pub(crate) secrets_written: IntCounter,
    /// Stream keys made.
    pub(crate) keys_issued: IntCounter,
    /// Statuses written.
    pub(crate) statuses_written: IntCounter,
    /// Events that were left out because too many waited.
    pub(crate) events_left_out: IntCounter,
    /// Routing objects written.
    pub(crate) objects_written: IntCounter,
    /// Writes of routing objects that failed.
    pub(crate) object_errors: IntCounter,
    /// Whether a mass shrink of a group is held back.
    pub(crate) shrink_held: IntGaugeVec,
    /// Routes that should be published to a group.
    pub(crate) routes_desired: IntGaugeVec,
    /// Routes that are published to a group.
    pub(crate) routes_published: IntGaugeVec,
    /// Gateways of a group that are ready and live.
    pub(crate) gateways: IntGaugeVec,
    /// Streams that are connected.
    pub(crate) streams_online: IntGauge,
    /// Whether this replica leads.
    pub(crate) leads: IntGauge,
}

impl Metrics {
    /// Fresh metrics for these groups of gateways, all at zero.
    ///
    /// # Errors
    /// None in practice: only names that collide or are malformed fail.
    pub(crate) fn new<'a>(groups: impl IntoIterator<Item = &'a str>) -> prometheus::Result<Self> {
        let registry = Registry::new("datastream_operator")?;
        let metrics = Self {
            reconciles: registry.counters(
                "reconciles_total",
                "Reconciles, by result.",
                "result",
            )?,
            reconcile_seconds: registry.histogram(
                "reconcile_seconds",
                "How long a successful reconcile took.",
                prometheus::DEFAULT_BUCKETS.as_slice(),
            )?,
            secrets_written: registry.counter(
                "secrets_written_total",
                "Secrets with stream keys created or mended.",
            )?,
            keys_issued: registry.counter("keys_issued_total", "Stream keys made.")?,
            statuses_written: registry.counter("statuses_written_total", "Statuses written.")?,
            events_left_out: registry.counter(
                "events_left_out_total",
                "Events that were left out because too many waited.",
            )?,
            objects_written: registry
                .counter("routing_objects_written_total", "Routing objects written.")?,
            object_errors: registry.counter(
                "routing_object_errors_total",
                "Writes of routing objects that failed.",
            )?,
            shrink_held: registry.gauges(
                "shrink_held",
                "Whether a mass shrink is held back, by group of gateways.",
                GROUP,
            )?,
            routes_desired: registry.gauges(
                "routes_desired",
                "Routes that should be published, by group of gateways.",
                GROUP,
            )?,
            routes_published: registry.gauges(
                "routes_published",
                "Routes that are published, by group of gateways.",
                GROUP,
            )?,
            gateways: registry.gauges(
                "gateways",
                "Gateways that are ready and live, by group.",
                GROUP,
            )?,
            streams_online: registry.gauge("streams_online", "Streams that are connected.")?,
            leads: registry.gauge("leads", "Whether this replica leads.")?,
            registry: registry.clone(),
        };
        for result in ["ok", "error"] {
            metrics.reconciles.with_label_values(&[result]);
        }
        for group in groups {
            for gauges in [
                &metrics.shrink_held,
                &metrics.routes_desired,
                &metrics.routes_published,
                &metrics.gateways,
            ] {
                gauges.with_label_values(&[group]);
            }
        }
        Ok(metrics)
    }
}

/// A replica that answers is ready: one that does not lead stands by.
impl Probes for Metrics {
    fn metrics(&self) -> prometheus::Result<String> {
        self.registry.render()
    }
}

#[cfg(test)]
mod tests {
    use datastream_service::metrics::unknown_names;

    use super::*;

    #[test]
    fn alerts_and_panels_are_on_metrics_that_exist() {
        let exists = Metrics::new(["default"]).unwrap().metrics().unwrap();
        for text in [
            include_str!("../../charts/datastream/files/alerts.yaml"),
            include_str!("../../charts/datastream/files/dashboard.json"),
        ] {
            let prefix = "datastream_operator_";
            assert!(text.matches(prefix).count() > 4);
            let unknown = unknown_names(text, prefix, &exists);
            assert!(unknown.is_empty(), "{unknown:?}");
        }
    }
}
