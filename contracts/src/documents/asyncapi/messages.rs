//! Messages of WebSockets.

use datastream_protocol::frame::framed;
use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::describe::example_of;
use crate::documents::schemas::reference;

/// A message, with its name among the components.
pub(super) struct Message {
    pub name: &'static str,
    /// The gateway sends it, and its clients receive it.
    pub is_sent: bool,
    pub json: Value,
}

/// A frame `LEN|BODY`, whose body has this type.
pub(super) fn frame<T: JsonSchema>(name: &'static str, title: &str, summary: &str) -> Message {
    let example = framed(&example_of::<T>().to_string());
    let json = json!({
        "name": name,
        "title": title,
        "summary": summary,
        "contentType": "text/plain",
        "payload": {
            "type": "string",
            "pattern": "^[0-9]+\\|\\{[\\t\\n\\r -{}~]*\\}$",
            "description": "The number of characters of the body, `|`, and the body: JSON in ASCII, in which `|` is escaped.",
            "x-body-schema": reference::<T>(),
        },
        "examples": [{"payload": example}],
    });
    Message {
        name,
        is_sent: true,
        json,
    }
}

pub(super) fn text(name: &'static str, is_sent: bool, text: &str, summary: &str) -> Message {
    let json = json!({
        "name": name,
        "title": name,
        "summary": summary,
        "contentType": "text/plain",
        "payload": {"type": "string", "const": text, "description": summary, "examples": [text]},
        "examples": [{"payload": text}],
    });
    Message {
        name,
        is_sent,
        json,
    }
}

fn message<T: JsonSchema>(
    name: &'static str,
    is_sent: bool,
    title: &str,
    summary: &str,
    content_type: &str,
) -> Message {
    let json = json!({
        "name": name,
        "title": title,
        "summary": summary,
        "contentType": content_type,
        "payload": reference::<T>(),
        "examples": [{"payload": example_of::<T>()}],
    });
    Message {
        name,
        is_sent,
        json,
    }
}

pub(super) fn sent<T: JsonSchema>(name: &'static str, title: &str, summary: &str) -> Message {
    message::<T>(name, true, title, summary, "application/json")
}

pub(super) fn said<T: JsonSchema>(name: &'static str, title: &str, summary: &str) -> Message {
    message::<T>(name, false, title, summary, "application/json")
}

pub(super) fn cloud<T: JsonSchema>(name: &'static str, title: &str, summary: &str) -> Message {
    message::<T>(name, true, title, summary, "application/cloudevents+json")
}
