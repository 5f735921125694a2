//! Dialects of WebSockets, with their messages.

use datastream_protocol::dialect::MessageDialect;
use datastream_protocol::frame::{HEARTBEAT, HEARTBEAT_ANSWER};
use datastream_protocol::{CLOUD_EVENTS_SUBPROTOCOL, SUBPROTOCOL};

use super::messages::{Message, cloud, frame, said, sent, text};
use crate::client::{Ack, Token};
use crate::cloud_event::{CloudControl, CloudEvent};
use crate::control::{Gap, Live};
use crate::event::Event;

/// A dialect: a channel of its own, since each has messages of its own.
pub(super) struct Dialect {
    pub channel: &'static str,
    pub format: MessageDialect,
    pub title: &'static str,
    pub description: &'static str,
    pub subprotocol: &'static str,
    pub messages: Vec<Message>,
}

/// The dialects of WebSockets.
pub(super) fn dialects() -> [Dialect; 3] {
    [
        Dialect {
            channel: "stream",
            format: MessageDialect::Dss,
            title: "Stream in the dialect of DSS",
            description: "Text messages `LEN|BODY`, where LEN is the number of characters of BODY. The dialect without a `format`.",
            subprotocol: SUBPROTOCOL,
            messages: vec![
                frame::<Event>("EventFrame", "Event", "An event."),
                frame::<Live>("LiveFrame", "What follows is live", "With `markers=1`."),
                frame::<Gap>("GapFrame", "Events have expired", "With `markers=1`."),
                text("Heartbeat", true, HEARTBEAT, "Heartbeat, to be answered."),
                text(
                    "HeartbeatAnswer",
                    false,
                    HEARTBEAT_ANSWER,
                    "Answer to a heartbeat: everything sent before it has been handled.",
                ),
                new_token(),
            ],
        },
        Dialect {
            channel: "streamJson",
            format: MessageDialect::Json,
            title: "Stream in JSON",
            description: "One JSON object a message. Heartbeats are pings, which WebSocket libraries answer.",
            subprotocol: SUBPROTOCOL,
            messages: vec![
                sent::<Event>("JsonEvent", "Event", "An event."),
                sent::<Live>("JsonLive", "What follows is live", "With `markers=1`."),
                sent::<Gap>("JsonGap", "Events have expired", "With `markers=1`."),
                acknowledgement(),
                new_token(),
            ],
        },
        Dialect {
            channel: "streamCloudEvents",
            format: MessageDialect::CloudEvents,
            title: "Stream in CloudEvents 1.0",
            description: "One event of CloudEvents 1.0 a message, in structured mode. Heartbeats are pings. The subprotocol \
                `cloudevents.json` asks for this dialect, too.",
            subprotocol: CLOUD_EVENTS_SUBPROTOCOL,
            messages: vec![
                cloud::<CloudEvent>("CloudEvent", "Event", "An event."),
                cloud::<CloudControl>("CloudControl", "Control message", "With `markers=1`."),
                acknowledgement(),
                new_token(),
            ],
        },
    ]
}

fn acknowledgement() -> Message {
    said::<Ack>(
        "Acknowledgement",
        "Acknowledgement",
        "For subscriptions with `resume: Committed`.",
    )
}

fn new_token() -> Message {
    said::<Token>(
        "NewToken",
        "New token",
        "For a stream that a token opened. It has no answer.",
    )
}
