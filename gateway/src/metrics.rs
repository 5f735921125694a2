//! What `/metrics` serves. No metric has a label per subscription: there may be tens of thousands of them.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::event::SkipReason;
use crate::stream::CloseCause;

/// The counters of one gateway, in a registry of their own.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Records read from the topic.
    pub records: IntCounter,
    /// Records that could not be served, by reason.
    pub skipped: IntCounterVec,
    /// Pairs of an event and a live stream that wants it.
    pub matched: IntCounter,
    /// Event frames handed to sockets.
    pub sent: IntCounter,
    /// Bytes of event frames handed to sockets.
    pub sent_bytes: IntCounter,
    /// From the broker's time stamp to the socket.
    pub latency: Histogram,
    /// Open streams, by state (`live`, `catching_up`).
    pub streams: IntGaugeVec,
    /// Streams opened.
    pub opened: IntCounter,
    /// Streams closed, by cause.
    pub closed: IntCounterVec,
    /// Requests on `/stream` refused, by HTTP status.
    pub refused: IntCounterVec,
    /// Live streams that fell behind and went to catch up.
    pub fell_behind: IntCounter,
    /// Heartbeats sent.
    pub heartbeats_sent: IntCounter,
    /// Heartbeats answered.
    pub heartbeats_answered: IntCounter,
    /// Records that the broker holds and this gateway has not read, by partition.
    pub lag: IntGaugeVec,
    /// Whether the live stream of a partition is open, by partition.
    pub source_connected: IntGaugeVec,
    /// How often the live stream of a partition was opened again, by partition.
    pub source_reopened: IntGaugeVec,
    /// Routes in force.
    pub routes: IntGauge,
    /// Routing objects refused or gone, while the last good content stays in force.
    pub objects_refused: IntGauge,
    /// Whether the source of routing objects can be reached.
    pub config_connected: IntGauge,
    /// Bytes held by the ring of recent events.
    pub ring_bytes: IntGauge,
}

impl Metrics {
    /// Fresh metrics, all at zero.
    ///
    /// # Errors
    /// None in practice: only names that collide or are malformed fail.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let register = Register(&registry);
        let metrics = Self {
            records: register.counter("records_total", "Records read from the topic.")?,
            skipped: register.counters(
                "records_skipped_total",
                "Records that could not be served.",
                "reason",
            )?,
            matched: register.counter(
                "events_matched_total",
                "Pairs of an event and a live stream that wants it.",
            )?,
            sent: register.counter("events_sent_total", "Event frames handed to sockets.")?,
            sent_bytes: register.counter(
                "sent_bytes_total",
                "Bytes of event frames handed to sockets.",
            )?,
            latency: register.add(Histogram::with_opts(
                HistogramOpts::new(
                    name("event_latency_seconds"),
                    "From the broker's time stamp to the socket.",
                )
                .buckets(vec![
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                    60.0,
                ]),
            )?)?,
            streams: register.gauges("streams", "Open streams.", "state")?,
            opened: register.counter("streams_opened_total", "Streams opened.")?,
            closed: register.counters("streams_closed_total", "Streams closed.", "cause")?,
            refused: register.counters(
                "stream_requests_refused_total",
                "Requests on /stream refused.",
                "status",
            )?,
            fell_behind: register.counter(
                "streams_fell_behind_total",
                "Live streams that went to catch up.",
            )?,
            heartbeats_sent: register.counter("heartbeats_sent_total", "Heartbeats sent.")?,
            heartbeats_answered: register
                .counter("heartbeats_answered_total", "Heartbeats answered.")?,
            lag: register.gauges(
                "source_lag_records",
                "Records at the broker not yet read.",
                "partition",
            )?,
            source_connected: register.gauges(
                "source_connected",
                "Whether a partition is being read.",
                "partition",
            )?,
            source_reopened: register.gauges(
                "source_reopened",
                "Times a partition was opened again.",
                "partition",
            )?,
            routes: register.gauge("routes", "Routes in force.")?,
            objects_refused: register.gauge(
                "routing_objects_refused",
                "Routing objects refused or gone.",
            )?,
            config_connected: register.gauge(
                "config_connected",
                "Whether the source of routes can be reached.",
            )?,
            ring_bytes: register.gauge("ring_bytes", "Bytes held by the ring of recent events.")?,
            registry: registry.clone(),
        };
        for reason in SkipReason::ALL {
            metrics.skipped.with_label_values(&[reason.as_str()]);
        }
        for cause in CloseCause::NAMES {
            metrics.closed.with_label_values(&[cause]);
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
    format!("datastream_gateway_{short}")
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

    fn counters(&self, short: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name(short), help), &[label])?)
    }

    fn gauge(&self, short: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name(short), help)?)
    }

    fn gauges(&self, short: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name(short), help), &[label])?)
    }
}
