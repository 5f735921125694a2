//! CloudEvents 1.0 in structured mode, a message each (the subprotocol `cloudevents.json` of its WebSocket binding).

use super::Parts;
use crate::event::CloudHeads;
use crate::fanout::QueuedFrame;

/// The event in its envelope; none for a heartbeat, which is a ping. A marker is an event, too.
pub(super) fn payload<'a>(frame: &'a QueuedFrame, heads: &'a CloudHeads) -> Option<Parts<'a>> {
    match frame {
        QueuedFrame::Event(event) => Some(Parts::new([event.cloud_head(heads), event.body(), "}"])),
        QueuedFrame::Marker(marker) => Some(control(marker.body(), heads)),
        QueuedFrame::Heartbeat => None,
    }
}

/// The envelope of a control message, with its number as `id`.
fn control<'a>(body: &'a str, heads: &'a CloudHeads) -> Parts<'a> {
    let number = body.rsplit('"').nth(1).unwrap_or_default();
    Parts::new([
        r#"{"specversion":"1.0","id":""#,
        number,
        r#"","source":"#,
        heads.source(),
        r#","type":"dev.datastream.control","datacontenttype":"application/json","data":"#,
        body,
        "}",
    ])
}
