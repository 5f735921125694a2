//! The AsyncAPI document: the messages of WebSockets on `/stream`, in three dialects.

mod dialects;
mod messages;

use datastream_protocol::dialect::MessageDialect;
use serde_json::{Map, Value, json};

use self::dialects::{Dialect, dialects};
use super::VERSION;
use super::parameters::{Path, query};
use super::schemas::add_schemas;
use crate::describe::close_codes;

pub(super) fn document() -> Value {
    let dialects = dialects();
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for dialect in dialects {
        channels.insert(dialect.channel.to_owned(), channel(&dialect));
        operations.extend([operation(&dialect, true), operation(&dialect, false)]);
        let own = dialect.messages.into_iter();
        messages.extend(own.map(|message| (message.name.to_owned(), message.json)));
    }
    let mut document = json!({
        "asyncapi": "3.0.0",
        "id": "urn:datastream:v1",
        "info": {
            "title": "datastream",
            "version": VERSION,
            "description": "Streams of device events over WebSockets. A gateway sends events and control messages, and its clients answer \
                heartbeats. Streams over plain HTTP are in the OpenAPI document, at `/openapi.json`.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": "device events"}],
        },
        "defaultContentType": "application/json",
        "servers": {"gateway": {
            "host": "{host}",
            "protocol": "wss",
            "description": "A gateway, or what is in front of all of them.",
            "variables": {"host": {"default": "streams.example.com", "description": "Host, and port if it is not 443."}},
            "security": [
                {"$ref": "#/components/securitySchemes/streamKey"},
                {"$ref": "#/components/securitySchemes/bearer"},
                {"$ref": "#/components/securitySchemes/clientCertificate"},
            ],
        }},
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "securitySchemes": {
                "streamKey": {
                    "type": "httpApiKey", "in": "query", "name": "stream_key",
                    "description": "The stream key in the URL, where the gateway takes it there (`--query-keys`).",
                },
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "The stream key, or a token (JWT), where the gateway takes tokens. Pages in browsers, which cannot set the \
                        header, offer the subprotocol `datastream.key.KEY` or `datastream.token.TOKEN` beside the one that is answered.",
                },
                "clientCertificate": {
                    "type": "X509",
                    "description": "A client certificate that the subscription names, where the gateway asks for one.",
                },
            },
        },
        "x-close-codes": codes(),
    });
    add_schemas(&mut document);
    document
}

fn codes() -> Vec<Value> {
    let codes = close_codes().into_iter();
    let codes = codes.map(|close| {
        json!({"code": close.code, "reasons": close.reasons, "connectAgain": close.is_passing})
    });
    codes.collect()
}

fn channel(dialect: &Dialect) -> Value {
    let messages = dialect.messages.iter().map(|message| {
        let reference = format!("#/components/messages/{}", message.name);
        (message.name.to_owned(), json!({"$ref": reference}))
    });
    // Only the dialect of DSS is there without a `format`, and only CloudEvents has a subprotocol of its own.
    let mut query = query(Path::Stream, Some(dialect.format.name()));
    if dialect.format == MessageDialect::Json {
        query["required"] = json!(["format"]);
    }
    json!({
        "address": "/stream",
        "title": dialect.title,
        "description": dialect.description,
        "messages": messages.collect::<Map<_, _>>(),
        "bindings": {"ws": {
            "method": "GET",
            "query": query,
            "headers": {"type": "object", "properties": {
                "Authorization": {
                    "type": "string",
                    "description": "The key or a token: `Bearer KEY`, `Bearer TOKEN`.",
                    "examples": ["Bearer 1f863f2724ac07c119062a6b21423079"],
                },
                "Sec-WebSocket-Protocol": {
                    "type": "string",
                    "description": "Subprotocols; none is needed.",
                    "examples": [dialect.subprotocol],
                },
            }},
            "bindingVersion": "0.1.0",
        }},
    })
}

fn operation(dialect: &Dialect, is_sent: bool) -> (String, Value) {
    let (action, verb) = if is_sent {
        ("send", "Sends")
    } else {
        ("receive", "Receives")
    };
    let title = format!("{verb} messages of the {}", lower_first(dialect.title));
    let channel = dialect.channel;
    let messages = dialect
        .messages
        .iter()
        .filter(|message| message.is_sent == is_sent);
    let messages = messages
        .map(|message| json!({"$ref": format!("#/channels/{channel}/messages/{}", message.name)}));
    let mut letters = channel.chars();
    let name: String = letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect();
    let json = json!({
        "action": action,
        "channel": {"$ref": format!("#/channels/{channel}")},
        "title": title,
        "summary": if is_sent { "The gateway sends events." } else { "Clients say what they have to." },
        "messages": messages.collect::<Vec<_>>(),
    });
    (format!("{action}{name}"), json)
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
