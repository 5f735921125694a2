//! The OpenAPI document: `/events`, the report of `/stream`, and the documents themselves.

use datastream_protocol::dialect::BodyDialect;
use serde_json::{Map, Value, json};

use super::VERSION;
use super::errors;
use super::parameters::{PARAMETERS, Path};
use super::schemas::{Described, TYPES, add_schemas, reference};
use crate::control::{Close, Control, Refused};
use crate::describe::{digits, example_of};
use crate::event::{Datapoint, Event, TypedEvent};
use crate::report::KeyReport;

/// Statuses of refusals on `/stream` and `/events`.
const REFUSALS: [u16; 7] = [400, 401, 403, 405, 409, 410, 503];

pub(super) fn document() -> Value {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "datastream",
            "version": VERSION,
            "summary": "Device events as HTTP responses.",
            "description": "Streams of device events for clients that speak HTTP, reports about stream keys, and the contracts of all dialects. \
                Streams over WebSockets are in the AsyncAPI document, at `/asyncapi.json`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{
            "url": "https://{host}",
            "description": "A gateway, or what is in front of all of them.",
            "variables": {"host": {"default": "streams.example.com", "description": "Host, and port if it is not 443."}},
        }],
        "security": [{"streamKey": []}, {"bearer": []}, {"clientCertificate": []}],
        "tags": [
            {"name": "streams", "description": "Events, and which of them there are."},
            {"name": "contracts", "description": "Machine-readable contracts."},
        ],
        "paths": {
            "/events": {"get": events()},
            "/stream": {"get": report()},
            "/schemas/{name}": {"get": schema()},
            "/asyncapi.json": {"get": contract("getAsyncapi", "AsyncAPI document", "The AsyncAPI 3.0 document: the messages of WebSockets.")},
            "/openapi.json": {"get": contract("getOpenapi", "OpenAPI document", "This document.")},
        },
        "components": {
            "responses": errors::components(),
            "headers": {"AllowOrigin": {
                "description": "Pages from every origin may read the answer.",
                "required": true,
                "schema": {"type": "string", "const": "*"},
                "example": "*",
            }},
            "securitySchemes": {
                "streamKey": {
                    "type": "apiKey", "in": "query", "name": "stream_key",
                    "description": "The stream key in the URL, where the gateway takes it there (`--query-keys`).",
                },
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "The stream key, or a token (JWT), where the gateway takes tokens.",
                },
                "clientCertificate": {
                    "type": "mutualTLS",
                    "description": "A client certificate that the subscription names, where the gateway asks for one.",
                },
            },
        },
    });
    add_schemas(&mut document);
    document
}

fn events() -> Value {
    let mut parameters: Vec<_> = PARAMETERS
        .iter()
        // The security scheme has it.
        .filter(|parameter| parameter.name != "stream_key")
        .map(|parameter| parameter.openapi(Path::Events))
        .collect();
    parameters.push(json!({
        "name": "Last-Event-ID",
        "in": "header",
        "required": false,
        "description": "The last event that an `EventSource` has had: it counts before the start in the query.",
        "schema": digits(),
        "example": "12",
    }));
    parameters.push(json!({
        "name": "Accept-Encoding",
        "in": "header",
        "required": false,
        "description": "NDJSON is compressed by `gzip` or `zstd`, so that each line can be read when it comes.",
        "schema": {"type": "string"},
        "example": "gzip",
    }));
    let mut responses = errors::references(&REFUSALS);
    responses.extend(errors::references(&[406]));
    responses.insert("200".to_owned(), stream());
    let no_more =
        "The `EventSource` that comes again has had everything up to `seq_end`, and is to stop.";
    responses.insert("204".to_owned(), json!({"description": no_more}));
    json!({
        "operationId": "getEvents",
        "summary": "Stream events",
        "description": "The events of a subscription, as the body of the answer, which goes on until `seq_end`, `limit` or `wait` is \
            reached, or the stream is closed. Heartbeats are empty lines in NDJSON and comments in server-sent events; they need no answer.",
        "tags": ["streams"],
        "parameters": parameters,
        "responses": responses,
    })
}

fn stream() -> Value {
    let event = example_of::<TypedEvent<Datapoint>>();
    let (close, refused) = (example_of::<Close>(), example_of::<Refused>());
    let (seq, event_type) = (event["seq"].as_str().unwrap_or_default(), "datapoint");
    let item = json!({"oneOf": [reference::<Event>(), reference::<Control>()]});
    let content = |description: &str, examples: Value| json!({"schema": {"type": "string", "description": description, "x-item-schema": item}, "examples": examples});
    let mut headers: Map<_, _> = [
        ("Cache-Control", "Nobody on the way is to keep or change the stream.", "no-store, no-transform"),
        ("X-Accel-Buffering", "Nor is nginx to wait for its end.", "no"),
        ("Vary", "Headers of the request that the answer depends on.", "accept, accept-encoding, authorization"),
    ]
    .into_iter()
    .map(|(name, description, example)| {
        let header = json!({"description": description, "required": true, "schema": {"type": "string"}, "example": example});
        (name.to_owned(), header)
    })
    .collect();
    headers.insert("Access-Control-Allow-Origin".to_owned(), allow_origin());
    headers.insert(
        "Content-Encoding".to_owned(),
        json!({"description": "The compression of NDJSON, if any.", "schema": {"type": "string", "enum": ["gzip", "zstd"]}, "example": "gzip"}),
    );
    json!({
        "description": "The stream.",
        "headers": headers,
        "content": {
            (BodyDialect::Ndjson.media_type()): content(
                "A JSON object a line: an event or, with `markers=1`, a control message. Empty lines are heartbeats.",
                json!({
                    "event": {"value": format!("{event}\n")},
                    "end": {"summary": "The end, with markers=1", "value": format!("{close}\n")},
                }),
            ),
            (BodyDialect::Sse.media_type()): content(
                "Server-sent events: `id` is the `seq`, `event` the type, `data` the JSON of the event. Control messages have the type \
                 `control`, and comments are heartbeats.",
                json!({
                    "event": {"value": format!("id: {seq}\nevent: {event_type}\ndata: {event}\n\n")},
                    "end": {"summary": "The end", "value": format!("event: control\ndata: {close}\n\n")},
                    "refused": {
                        "summary": "A refusal with 409 or 503, which an EventSource would give up on",
                        "value": format!("retry: 1000\nevent: control\ndata: {refused}\n\n"),
                    },
                }),
            ),
        },
    })
}

fn report() -> Value {
    let parameters: Vec<_> = PARAMETERS
        .iter()
        .filter(|parameter| parameter.name != "stream_key")
        .map(|parameter| parameter.openapi(Path::Stream))
        .collect();
    let mut responses = errors::references(&REFUSALS);
    responses.insert(
        "101".to_owned(),
        json!({"description": "A WebSocket, if the request asks for one: see the AsyncAPI document."}),
    );
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "The report.",
            "content": {"application/json": {"schema": reference::<KeyReport>(), "example": example_of::<KeyReport>()}},
        }),
    );
    json!({
        "operationId": "getReport",
        "summary": "Report about a key",
        "description": "Whose key it is, whether a stream is open, and which sequence numbers can be replayed. A start is checked, too.",
        "tags": ["streams"],
        "parameters": parameters,
        "responses": responses,
    })
}

fn schema() -> Value {
    let names: Vec<_> = TYPES.iter().map(Described::file).collect();
    let example = names.first().cloned().unwrap_or_default();
    let mut operation = contract(
        "getSchema",
        "JSON Schema",
        "A JSON Schema (2020-12) of a message, or of a part of one.",
    );
    operation["parameters"] = json!([{
        "name": "name",
        "in": "path",
        "required": true,
        "description": "The file.",
        "schema": {"type": "string", "enum": names},
        "example": example,
    }]);
    if let Some(content) = operation["responses"]["200"]["content"].as_object_mut()
        && let Some(json) = content.remove("application/json")
    {
        content.insert("application/schema+json".to_owned(), json);
    }
    operation
}

fn contract(id: &str, summary: &str, description: &str) -> Value {
    let mut responses = errors::references(&[404, 405, 503]);
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "The document.",
            "headers": {"Access-Control-Allow-Origin": allow_origin()},
            "content": {"application/json": {"schema": {"type": "object"}}},
        }),
    );
    json!({
        "operationId": id,
        "summary": summary,
        "description": description,
        "tags": ["contracts"],
        "security": [],
        "responses": responses,
    })
}

fn allow_origin() -> Value {
    json!({"$ref": "#/components/headers/AllowOrigin"})
}
