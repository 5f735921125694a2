//! The envelope of CloudEvents around an event: rendered once, for all streams that want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datastream_protocol::event::View;
use jiff::Timestamp;

use super::EventFrame;

/// The envelopes of a gateway's events, and the memory that they take.
#[derive(Debug)]
pub(crate) struct CloudHeads {
    /// The attribute `source`, as JSON.
    source: Box<str>,
    held: Arc<AtomicUsize>,
}

/// One envelope, up to the event's own JSON. It counts as held until it is dropped.
#[derive(Debug)]
pub(super) struct HeldHead {
    text: Box<str>,
    held: Arc<AtomicUsize>,
}

impl CloudHeads {
    /// Envelopes with this `source`: what the identities of events are unique in.
    pub(crate) fn new(source: &str) -> Self {
        Self {
            source: json_string(source).into(),
            held: Arc::default(),
        }
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The attribute `source`, as JSON.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Renders the envelope of an event: the required attributes of CloudEvents 1.0, its time and its device where they are known, and
    /// the extension `seq`.
    pub(super) fn of(&self, event: &EventFrame) -> HeldHead {
        let dsn = View::parse(event.body()).ok();
        let dsn = dsn.and_then(|view| view.metadata("dsn").map(|dsn| json_string(&dsn)));
        let subject = dsn.map_or_else(String::new, |dsn| format!(r#","subject":{dsn}"#));
        let time = match event.times.happened_ms {
            0 => None,
            ms => Timestamp::from_millisecond(ms).ok(),
        };
        let time = time.map_or_else(String::new, |time| format!(r#","time":"{time}""#));
        let partition = event.at.partition;
        let offset = event.at.after.next(partition).saturating_sub(1);
        let text: Box<str> = format!(
            r#"{{"specversion":"1.0","id":"{partition}-{offset}","source":{},"type":"dev.datastream.{}"{subject}{time},"datacontenttype":"application/json","seq":"{}","data":"#,
            self.source,
            event.event_type,
            event.seq()
        )
        .into();
        self.held.fetch_add(text.len(), Ordering::Relaxed);
        let held = self.held.clone();
        HeldHead { text, held }
    }
}

impl HeldHead {
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Drop for HeldHead {
    fn drop(&mut self) {
        self.held.fetch_sub(self.text.len(), Ordering::Relaxed);
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
