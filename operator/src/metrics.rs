//! What `/metrics` serves.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

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
    /// Routing objects written.
    pub(crate) objects_written: IntCounter,
    /// Writes of routing objects that failed.
    pub(crate) object_errors: IntCounter,
    /// Whether a mass shrink is held back.
    pub(crate) shrink_held: IntGauge,
    /// Routes that should be published.
    pub(crate) routes_desired: IntGauge,
    /// Routes that are published.
    pub(crate) routes_published: IntGauge,
    /// Gateways that are ready and live.
    pub(crate) gateways: IntGauge,
    /// Whether this replica leads.
    pub(crate) leads: IntGauge,
}

impl Metrics {
    /// Fresh metrics, all at zero.
    ///
    /// # Errors
    /// None in practice: only names that collide or are malformed fail.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let register = Register(&registry);
        let reconciles = IntCounterVec::new(
            Opts::new(name("reconciles_total"), "Reconciles, by result."),
            &["result"],
        )?;
        let seconds = HistogramOpts::new(
            name("reconcile_seconds"),
            "How long a successful reconcile took.",
        );
        let metrics = Self {
            reconciles: register.add(reconciles)?,
            reconcile_seconds: register.add(Histogram::with_opts(seconds)?)?,
            secrets_written: register.counter(
                "secrets_written_total",
                "Secrets with stream keys created or mended.",
            )?,
            keys_issued: register.counter("keys_issued_total", "Stream keys made.")?,
            statuses_written: register.counter("statuses_written_total", "Statuses written.")?,
            objects_written: register
                .counter("routing_objects_written_total", "Routing objects written.")?,
            object_errors: register.counter(
                "routing_object_errors_total",
                "Writes of routing objects that failed.",
            )?,
            shrink_held: register.gauge("shrink_held", "Whether a mass shrink is held back.")?,
            routes_desired: register.gauge("routes_desired", "Routes that should be published.")?,
            routes_published: register.gauge("routes_published", "Routes that are published.")?,
            gateways: register.gauge("gateways", "Gateways that are ready and live.")?,
            leads: register.gauge("leads", "Whether this replica leads.")?,
            registry: registry.clone(),
        };
        for result in ["ok", "error"] {
            metrics.reconciles.with_label_values(&[result]);
        }
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(metrics)
    }

    /// The text exposition format.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn name(short: &str) -> String {
    format!("datastream_operator_{short}")
}

struct Register<'a>(&'a Registry);

impl Register<'_> {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, short: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name(short), help)?)
    }

    fn gauge(&self, short: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name(short), help)?)
    }
}
