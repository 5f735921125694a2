//! Metrics, as `/metrics` serves them. None has a label per subscription: there may be tens of thousands of subscriptions.

use datastream_protocol::close::CloseCause;
use datastream_protocol::dialect::{BodyDialect, MessageDialect};
use datastream_service::metrics::Registry;
use datastream_source::Damage;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::event::SkipReason;

/// Upper bounds of latencies, in seconds.
const LATENCIES: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0,
];

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
    /// Pairs of an event and a live stream that wants it, where access rules deny it.
    pub denied: IntCounter,
    /// Event frames handed to sockets.
    pub sent: IntCounter,
    /// Bytes of event frames handed to sockets.
    pub sent_bytes: IntCounter,
    /// From the broker's time stamp to the socket.
    pub latency: Histogram,
    /// From when the event happened, by its own word, to the socket.
    pub event_age: Histogram,
    /// Open streams, by state (`live`, `catching_up`, `replaying`).
    pub streams: IntGaugeVec,
    /// Streams opened.
    pub opened: IntCounterVec,
    /// Streams closed, by cause.
    pub closed: IntCounterVec,
    /// Lines of the audit log that were lost.
    pub audit_lost: IntCounter,
    /// Requests on `/stream` refused, by HTTP status.
    pub refused: IntCounterVec,
    /// Requests, connections and streams that a limit held back, by what is limited and for whom.
    limited: IntCounterVec,
    /// Live streams that fell behind and went to catch up.
    pub fell_behind: IntCounter,
    /// Heartbeats sent.
    pub heartbeats_sent: IntCounter,
    /// Heartbeats answered.
    pub heartbeats_answered: IntCounter,
    /// Records that the broker holds and this gateway has not read, by partition.
    pub lag: IntGaugeVec,
    /// State of the live stream, by partition: 1 if it is open.
    pub source_connected: IntGaugeVec,
    /// Number of times that the live stream was opened again, by partition.
    pub source_reopened: IntGaugeVec,
    /// Routes in force.
    pub routes: IntGauge,
    /// Routing objects refused or gone, while the last good content stays in force.
    pub objects_refused: IntGauge,
    /// State of the source of routing objects: 1 if it can be reached.
    pub config_connected: IntGauge,
    /// State of the issuer of tokens, if any are taken: 1 if its keys could be read.
    pub issuer_connected: IntGaugeVec,
    /// Ends of the certificates in use, in seconds since 1970.
    pub certificate_ends: IntGaugeVec,
    /// Bytes held by the ring of recent events.
    pub ring_bytes: IntGauge,
    /// Bytes that streams have borrowed for what waits to be sent.
    pub send_memory: IntGauge,
    /// Subscriptions with a committed position.
    pub cursors: IntGauge,
    /// Committed positions written.
    pub cursors_written: IntCounter,
    /// Writes of committed positions that failed, and records of them that cannot be read.
    pub cursor_errors: IntCounter,
    /// Streams that began behind expired events, because they went on from a committed position.
    pub committed_gaps: IntCounter,
}

impl Metrics {
    /// Fresh metrics, all at zero.
    ///
    /// # Errors
    /// None in practice: only names that collide or are malformed fail.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new("datastream_gateway")?;
        let metrics = Self {
            records: registry.counter("records_total", "Records read from the topic.")?,
            skipped: registry.counters(
                "records_skipped_total",
                "Records that could not be served, each time that they are met: live, and by streams that catch up.",
                "reason",
            )?,
            matched: registry.counter(
                "events_matched_total",
                "Pairs of an event and a live stream that wants it.",
            )?,
            denied: registry.counter(
                "events_denied_total",
                "Pairs of an event and a live stream that wants it, left out because access rules deny it.",
            )?,
            sent: registry.counter("events_sent_total", "Event frames handed to sockets.")?,
            sent_bytes: registry.counter(
                "sent_bytes_total",
                "Bytes of event frames handed to sockets.",
            )?,
            latency: registry.histogram(
                "event_latency_seconds",
                "From the broker's time stamp to the socket.",
                LATENCIES,
            )?,
            event_age: registry.histogram(
                "event_age_seconds",
                "From when the event happened, by its own word, to the socket.",
                LATENCIES,
            )?,
            streams: registry.gauges("streams", "Open streams.", "state")?,
            opened: registry.counters("streams_opened_total", "Streams opened.", "dialect")?,
            closed: registry.counters("streams_closed_total", "Streams closed.", "cause")?,
            audit_lost: registry.counter(
                "audit_lines_lost_total",
                "Lines of the audit log that could not be written as fast as they came.",
            )?,
            refused: registry.counters(
                "stream_requests_refused_total",
                "Requests on /stream refused.",
                "status",
            )?,
            limited: registry.counters(
                "limited_total",
                "Requests and connections that a limit refused, and times that it made a stream wait, by what is limited and for whom.",
                "limit",
            )?,
            fell_behind: registry.counter(
                "streams_fell_behind_total",
                "Live streams that went to catch up.",
            )?,
            heartbeats_sent: registry.counter("heartbeats_sent_total", "Heartbeats sent.")?,
            heartbeats_answered: registry
                .counter("heartbeats_answered_total", "Heartbeats answered.")?,
            lag: registry.gauges(
                "source_lag_records",
                "Records at the broker not yet read.",
                "partition",
            )?,
            source_connected: registry.gauges(
                "source_connected",
                "1 while a partition is being read.",
                "partition",
            )?,
            source_reopened: registry.gauges(
                "source_reopened",
                "Times a partition was opened again.",
                "partition",
            )?,
            routes: registry.gauge("routes", "Routes in force.")?,
            objects_refused: registry.gauge(
                "routing_objects_refused",
                "Routing objects refused or gone.",
            )?,
            certificate_ends: registry.gauges(
                "certificate_expiry_timestamp_seconds",
                "When a certificate ends, in seconds since 1970: of the listener for clients (listener), of this gateway for Fluvio (fluvio_client), of Fluvio as last seen (fluvio_server).",
                "certificate",
            )?,
            issuer_connected: registry.gauges(
                "issuer_connected",
                "1 while the keys of the issuer of tokens can be read; absent where no tokens are taken.",
                "issuer",
            )?,
            config_connected: registry.gauge(
                "config_connected",
                "1 while the source of routes can be reached.",
            )?,
            ring_bytes: registry.gauge("ring_bytes", "Bytes held by the ring of recent events.")?,
            send_memory: registry.gauge(
                "send_memory_bytes",
                "Bytes of the common memory held by what waits to be sent.",
            )?,
            cursors: registry.gauge("cursors", "Subscriptions with a committed position.")?,
            cursors_written: registry
                .counter("cursors_written_total", "Committed positions written.")?,
            cursor_errors: registry.counter(
                "cursor_errors_total",
                "Failed writes of committed positions, and unreadable records of them.",
            )?,
            committed_gaps: registry.counter(
                "committed_gaps_total",
                "Streams whose committed position had expired in the topic.",
            )?,
            registry: registry.clone(),
        };
        let reasons = SkipReason::ALL.map(SkipReason::as_str);
        for reason in reasons.into_iter().chain(Damage::ALL.map(Damage::as_str)) {
            metrics.skipped.with_label_values(&[reason]);
        }
        for cause in CloseCause::NAMES {
            metrics.closed.with_label_values(&[cause]);
        }
        let bodies = BodyDialect::ALL.map(BodyDialect::name);
        for dialect in MessageDialect::ALL
            .map(MessageDialect::name)
            .iter()
            .chain(&bodies)
        {
            metrics.opened.with_label_values(&[dialect]);
        }
        Ok(metrics)
    }

    /// Counts what a limit held back: WHAT/FOR-WHOM.
    pub(crate) fn limited(&self, limit: &str) {
        self.limited.with_label_values(&[limit]).inc();
    }

    /// The text exposition format.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        self.registry.render()
    }
}

#[cfg(test)]
mod tests {
    use datastream_service::reference::assert_metrics;

    use super::*;

    /// Series by label appear with their first use.
    fn everything() -> String {
        let metrics = Metrics::new().unwrap();
        metrics.streams.with_label_values(&["live"]).set(1);
        let ends = &metrics.certificate_ends;
        ends.with_label_values(&["listener"]).set(1);
        let issuer = &metrics.issuer_connected;
        issuer.with_label_values(&["https://id.example.com"]).set(1);
        metrics.refused.with_label_values(&["401"]).inc();
        metrics.limited("streams/namespace");
        for by_partition in [
            &metrics.lag,
            &metrics.source_connected,
            &metrics.source_reopened,
        ] {
            by_partition.with_label_values(&["0"]).set(1);
        }
        metrics.render().unwrap()
    }

    #[test]
    fn the_reference_lists_every_metric() {
        assert_metrics("gateway", &everything());
    }
}
