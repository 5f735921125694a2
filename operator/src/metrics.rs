//! The metrics that `/metrics` serves.

use datastream_service::metrics::Registry;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// The label with the name of a group of gateways.
const GROUP: &str = "group";
/// The label with the objects that a watch is for: `subscriptions`, `stream_keys`, `access_rules`, `namespaces`, and for each group of gateways
/// `routes/GROUP`, `gateways/GROUP` and `claims/GROUP`.
const OBJECTS: &str = "objects";

/// The counters of one operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Reconciles, by result (`ok`, `error`).
    pub(crate) reconciles: IntCounterVec,
    /// Seconds that successful reconciles took.
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
    /// 1 if a mass shrink of a group is held back.
    pub(crate) shrink_held: IntGaugeVec,
    /// Routes that should be published to a group.
    pub(crate) routes_desired: IntGaugeVec,
    /// Routes that are published to a group.
    pub(crate) routes_published: IntGaugeVec,
    /// Gateways of a group that are ready and live.
    pub(crate) gateways: IntGaugeVec,
    /// Streams that are connected.
    pub(crate) streams_online: IntGauge,
    /// Objects that cannot be read.
    pub(crate) unreadable_objects: IntGaugeVec,
    /// 1 if objects cannot be listed or watched.
    pub(crate) watch_failing: IntGaugeVec,
    /// Access rules.
    pub(crate) access_rules: IntGauge,
    /// 1 if the newest access rules cannot be put in force.
    pub(crate) access_rules_stale: IntGauge,
    /// 1 if everything has been listed once.
    pub(crate) listed: IntGauge,
    /// 1 if this replica leads.
    pub(crate) leads: IntGauge,
    groups: Vec<String>,
}

impl Metrics {
    /// The metrics in the text exposition format.
    ///
    /// # Errors
    /// The library's own.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        self.registry.render()
    }

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
                "Duration of a successful reconcile.",
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
                "1 while a mass shrink is held back, by group of gateways.",
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
            unreadable_objects: registry.gauges(
                "unreadable_objects",
                "Objects that cannot be read and are set aside.",
                OBJECTS,
            )?,
            watch_failing: registry.gauges(
                "watch_failing",
                "1 while objects cannot be listed or watched.",
                OBJECTS,
            )?,
            access_rules: registry.gauge("access_rules", "Access rules.")?,
            access_rules_stale: registry.gauge(
                "access_rules_stale",
                "1 while the newest access rules cannot be put in force, and those before stay so.",
            )?,
            listed: registry.gauge(
                "listed",
                "1 if this replica leads and has listed everything once.",
            )?,
            leads: registry.gauge("leads", "Whether this replica leads.")?,
            groups: groups.into_iter().map(str::to_owned).collect(),
            registry,
        };
        for result in ["ok", "error"] {
            metrics.reconciles.with_label_values(&[result]);
        }
        metrics.stand_by();
        Ok(metrics)
    }

    /// Forgets what only the leader knows.
    pub(crate) fn stand_by(&self) {
        self.leads.set(0);
        self.listed.set(0);
        self.streams_online.set(0);
        self.access_rules.set(0);
        self.access_rules_stale.set(0);
        self.unreadable_objects.reset();
        self.watch_failing.reset();
        for objects in ["subscriptions", "stream_keys", "access_rules", "namespaces"] {
            self.unreadable_objects.with_label_values(&[objects]);
            self.watch_failing.with_label_values(&[objects]);
        }
        for gauges in [
            &self.shrink_held,
            &self.routes_desired,
            &self.routes_published,
            &self.gateways,
        ] {
            gauges.reset();
            for group in &self.groups {
                gauges.with_label_values(&[group]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use datastream_service::reference::assert_metrics;

    use super::*;

    fn everything() -> String {
        Metrics::new(["default"]).unwrap().render().unwrap()
    }

    #[test]
    fn the_reference_lists_every_metric() {
        assert_metrics("operator", &everything());
    }
}
