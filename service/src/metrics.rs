//! Metrics under one prefix, in a registry of their own.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder,
};

/// The metrics of one process. Every name is `{prefix}_{short}`.
///
/// Its methods fail only for names that collide or are malformed.
#[derive(Clone, Debug)]
pub struct Registry {
    registry: prometheus::Registry,
    prefix: &'static str,
}

impl Registry {
    /// Creates a registry with the metrics of the process, and nothing else yet.
    pub fn new(prefix: &'static str) -> prometheus::Result<Self> {
        let registry = prometheus::Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(Self { registry, prefix })
    }

    /// A number that only grows.
    pub fn counter(&self, short: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(self.name(short), help)?)
    }

    /// One counter per value of a label.
    pub fn counters(
        &self,
        short: &str,
        help: &str,
        label: &str,
    ) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(
            Opts::new(self.name(short), help),
            &[label],
        )?)
    }

    /// A number that goes up and down.
    pub fn gauge(&self, short: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(self.name(short), help)?)
    }

    /// One gauge per value of a label.
    pub fn gauges(&self, short: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(
            Opts::new(self.name(short), help),
            &[label],
        )?)
    }

    /// A distribution, with these upper bounds.
    pub fn histogram(
        &self,
        short: &str,
        help: &str,
        bounds: &[f64],
    ) -> prometheus::Result<Histogram> {
        let options = HistogramOpts::new(self.name(short), help).buckets(bounds.to_vec());
        self.add(Histogram::with_opts(options)?)
    }

    /// The text exposition format.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn name(&self, short: &str) -> String {
        format!("{}_{short}", self.prefix)
    }

    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}
