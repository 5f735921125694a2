//! The collector's own metrics, with a label per stream: those are few, and named by whoever runs it.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use datastream_service::metrics::Registry;
use datastream_service::probes::Probes;
use jiff::Timestamp;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// The metrics of the process.
pub(super) struct Metrics {
    registry: Registry,
    stored: IntCounterVec,
    duplicates: IntCounterVec,
    gaps: IntCounterVec,
    reconnects: IntCounterVec,
    store_errors: IntCounterVec,
    losses: IntCounterVec,
    dead_letters: IntCounterVec,
    unreadable: IntCounterVec,
    damaged_lines: IntGaugeVec,
    connected: IntGaugeVec,
    store_open: IntGaugeVec,
    age: IntGaugeVec,
}

/// The state of one stream.
pub(super) struct Status {
    /// Its name.
    pub name: String,
    /// Events stored.
    pub stored: IntCounter,
    /// Events that were stored already.
    pub duplicates: IntCounter,
    /// Times that events had expired before they were stored.
    pub gaps: IntCounter,
    /// Times that the stream was connected again.
    pub reconnects: IntCounter,
    /// Times that a store failed.
    pub store_errors: IntCounter,
    /// Times that a store did not have any more what it had.
    pub losses: IntCounter,
    /// Events that a store did not take and that were set aside.
    pub dead_letters: IntCounter,
    /// Frames that could not be received or read.
    pub unreadable: IntCounter,
    /// Lines of the newest file that are no events.
    pub damaged_lines: IntGauge,
    /// 1 if the stream is open.
    pub connected: IntGauge,
    /// 1 if the store takes events.
    pub store_open: IntGauge,
    detail: Mutex<Detail>,
}

/// Details that have no metric.
#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    /// The sequence number of the last event stored.
    pub last_seq: Option<Box<str>>,
    /// Time at which it was stored.
    pub last_stored: Option<Timestamp>,
    /// The reason why the stream is not open, or its store does not work.
    pub error: Option<String>,
    /// The stores have been opened.
    pub opened: bool,
    /// The stream has ended for good.
    pub stopped: bool,
    /// The same frame cannot be received or read, again and again.
    pub stuck: bool,
}

impl Metrics {
    /// Fresh metrics.
    ///
    /// # Errors
    /// None in practice: only names that collide or are malformed fail.
    pub(super) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new("datastream_collector")?;
        let counters = |name: &str, help: &str| registry.counters(name, help, "stream");
        let gauges = |name: &str, help: &str| registry.gauges(name, help, "stream");
        Ok(Self {
            stored: counters("events_stored_total", "Events stored.")?,
            duplicates: counters(
                "duplicates_skipped_total",
                "Events that were stored already.",
            )?,
            gaps: counters(
                "gaps_total",
                "Times that events had expired before they were stored.",
            )?,
            reconnects: counters(
                "reconnects_total",
                "Times that a stream was connected again.",
            )?,
            store_errors: counters("store_errors_total", "Times that a store failed.")?,
            losses: counters(
                "store_losses_total",
                "Times that a store did not have any more what had been stored in it.",
            )?,
            dead_letters: counters(
                "dead_letters_total",
                "Events that a store did not take and that were set aside.",
            )?,
            unreadable: counters(
                "unreadable_frames_total",
                "Frames that could not be received or read.",
            )?,
            damaged_lines: gauges(
                "damaged_lines",
                "Lines that are no events, in what was read of the files when they were opened.",
            )?,
            connected: gauges("connected", "Whether the stream is open.")?,
            store_open: gauges("store_open", "Whether the store takes events.")?,
            age: gauges(
                "last_stored_age_seconds",
                "Time since an event was stored; missing until one is.",
            )?,
            registry: registry.clone(),
        })
    }

    /// The metrics of one stream, at zero.
    pub(super) fn stream(&self, name: &str) -> Status {
        let labels = [name];
        Status {
            name: name.to_owned(),
            stored: self.stored.with_label_values(&labels),
            duplicates: self.duplicates.with_label_values(&labels),
            gaps: self.gaps.with_label_values(&labels),
            reconnects: self.reconnects.with_label_values(&labels),
            store_errors: self.store_errors.with_label_values(&labels),
            losses: self.losses.with_label_values(&labels),
            dead_letters: self.dead_letters.with_label_values(&labels),
            unreadable: self.unreadable.with_label_values(&labels),
            damaged_lines: self.damaged_lines.with_label_values(&labels),
            connected: self.connected.with_label_values(&labels),
            store_open: self.store_open.with_label_values(&labels),
            detail: Mutex::default(),
        }
    }
}

impl Status {
    /// Returns the details that have no metric.
    pub(super) fn detail(&self) -> Detail {
        self.detail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes what has no metric.
    pub(super) fn update(&self, change: impl FnOnce(&mut Detail)) {
        change(&mut self.detail.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Answers of `/metrics` and `/readyz`.
pub(super) struct Report {
    /// The metrics.
    pub metrics: Metrics,
    /// The streams.
    pub streams: Vec<Arc<Status>>,
}

impl Probes for Report {
    /// Reports readiness: every stream has a store that takes events, and none has stopped or is stuck. An outage of the gateways does not
    /// make a collector unready: it can do its work, and there is none.
    fn ready(&self) -> Result<String, String> {
        let (mut text, mut ready) = (String::new(), true);
        for stream in &self.streams {
            let detail = stream.detail();
            let state = match (
                detail.stopped,
                stream.store_open.get(),
                stream.connected.get(),
            ) {
                (true, ..) => "stopped",
                (_, 0, _) => "store not open",
                _ if detail.stuck => "stuck",
                (_, _, 0) => "not connected",
                _ => "connected",
            };
            ready &= !detail.stopped && !detail.stuck && stream.store_open.get() == 1;
            let error = detail.error.map(|t| format!(": {t}")).unwrap_or_default();
            let _ = writeln!(text, "{}: {state}{error}", stream.name);
        }
        if ready { Ok(text) } else { Err(text) }
    }

    fn metrics(&self) -> prometheus::Result<String> {
        for stream in &self.streams {
            if let Some(last) = stream.detail().last_stored {
                let age = Timestamp::now().duration_since(last).as_secs();
                let gauge = self.metrics.age.with_label_values(&[stream.name.as_str()]);
                gauge.set(age.max(0));
            }
        }
        self.metrics.registry.render()
    }
}

#[cfg(test)]
mod tests {
    use datastream_service::reference::assert_metrics;

    use super::*;

    fn everything() -> String {
        let metrics = Metrics::new().unwrap();
        let streams = vec![Arc::new(metrics.stream("a"))];
        streams[0].update(|d| d.last_stored = Some(Timestamp::now()));
        Report { metrics, streams }.metrics().unwrap()
    }

    #[test]
    fn the_reference_lists_every_metric() {
        assert_metrics("collector", &everything());
    }

    #[test]
    fn every_metric_of_lost_events_has_an_alert() {
        let rules = include_str!("../../charts/datastream/files/alerts.yaml");
        for metric in [
            "gaps_total",
            "store_losses_total",
            "unreadable_frames_total",
            "dead_letters_total",
            "damaged_lines",
        ] {
            let metric = format!("datastream_collector_{metric}");
            let alert = |line: &str| line.contains("expr:") && line.contains(&metric);
            assert!(rules.lines().any(alert), "{metric}");
        }
    }

    #[test]
    fn a_collector_is_ready_when_all_its_stores_are_ready() {
        let metrics = Metrics::new().unwrap();
        let streams: Vec<_> = ["a", "b"].map(|n| Arc::new(metrics.stream(n))).into();
        let report = Report { metrics, streams };
        report.streams[0].store_open.set(1);
        report.streams[0].connected.set(1);
        assert_eq!(
            report.ready(),
            Err("a: connected\nb: store not open\n".to_owned())
        );
        report.streams[1].store_open.set(1);
        report.streams[1].update(|d| d.error = Some("401".to_owned()));
        assert_eq!(
            report.ready(),
            Ok("a: connected\nb: not connected: 401\n".to_owned())
        );
        report.streams[0].update(|d| d.stopped = true);
        assert!(report.ready().is_err());
    }

    #[test]
    fn the_age_metric_appears_with_the_first_stored_event() {
        let metrics = Metrics::new().unwrap();
        let streams = vec![Arc::new(metrics.stream("a"))];
        let report = Report { metrics, streams };
        let age = "datastream_collector_last_stored_age_seconds{stream=\"a\"}";
        assert!(!report.metrics().unwrap().contains(age));
        report.streams[0].update(|d| d.last_stored = Some(Timestamp::now()));
        assert!(report.metrics().unwrap().contains(age));
    }
}
