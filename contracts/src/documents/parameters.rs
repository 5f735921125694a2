//! Parameters of the query of `/stream` and `/events`.

use datastream_protocol::dialect::{BodyDialect, MessageDialect};
use serde_json::{Map, Value, json};

/// A parameter of the query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name.
    pub name: &'static str,
    description: &'static str,
    example: &'static str,
    schema: fn(Path) -> Value,
}

/// A path that takes the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Stream,
    Events,
}

/// Parameters of both paths. A test compares them with those that the gateway reads.
pub const PARAMETERS: [Parameter; 11] = [
    parameter(
        "stream_key",
        "The stream key. The header `Authorization` keeps it out of the logs of proxies.",
        "1f863f2724ac07c119062a6b21423079",
        |_| json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}),
    ),
    parameter(
        "subscription",
        "The subscription whose stream a token or a client certificate is to open; beside a key, it must be the key's own.",
        "default/blue-led",
        |_| json!({"type": "string", "pattern": "^[^/]+/[^/]+$"}),
    ),
    parameter(
        "seq_start",
        "Sequence number of the first event that is wanted; 0 for the earliest that the topic still has.",
        "12",
        |_| digits(),
    ),
    parameter(
        "seq_end",
        "Sequence number of the last event that is wanted. It counts only beside a start.",
        "99",
        |_| digits(),
    ),
    parameter(
        "time_start",
        "Instead of `seq_start`: from the first event that the broker took at this time or later.",
        "2026-11-24T08:00:00Z",
        |_| json!({"type": "string", "format": "date-time"}),
    ),
    parameter(
        "on_gap",
        "Start at the earliest event that is left, where those asked for have expired, instead of an error.",
        "earliest",
        |_| json!({"type": "string", "enum": ["earliest"]}),
    ),
    parameter(
        "markers",
        "Send control messages.",
        "1",
        |_| json!({"type": "string", "enum": ["1"]}),
    ),
    parameter(
        "ack",
        "With `resume: Committed`: this event and everything before has been handled; go on behind it.",
        "12",
        |_| digits(),
    ),
    parameter(
        "format",
        "The dialect. It counts before `Accept` and subprotocols.",
        "",
        formats,
    ),
    parameter(
        "limit",
        "End after so many events.",
        "500",
        |_| json!({"type": "integer", "minimum": 1, "maximum": 1_000_000}),
    ),
    parameter(
        "wait",
        "End once everything stored has been sent, at least one event; without one, wait so many seconds for the first.",
        "20",
        |_| json!({"type": "integer", "minimum": 0, "maximum": 300}),
    ),
];

const fn parameter(
    name: &'static str,
    description: &'static str,
    example: &'static str,
    schema: fn(Path) -> Value,
) -> Parameter {
    Parameter {
        name,
        description,
        example,
        schema,
    }
}

fn formats(path: Path) -> Value {
    let names = match path {
        Path::Stream => MessageDialect::ALL.map(MessageDialect::name).to_vec(),
        Path::Events => BodyDialect::ALL.map(BodyDialect::name).to_vec(),
    };
    json!({"type": "string", "enum": names})
}

fn digits() -> Value {
    crate::describe::digits().to_value()
}

impl Parameter {
    fn schema(&self, path: Path) -> Value {
        (self.schema)(path)
    }

    /// An example of the type that the schema asks for: the last of its values, if it lists them.
    fn example(&self, schema: &Value) -> Value {
        if let Some(values) = schema["enum"].as_array() {
            return values.last().cloned().unwrap_or_default();
        }
        match self.example.parse::<u64>() {
            Ok(number) if schema["type"] == "integer" => number.into(),
            _ => self.example.into(),
        }
    }

    /// The parameter of an operation in OpenAPI.
    pub(super) fn openapi(&self, path: Path) -> Value {
        let schema = self.schema(path);
        json!({
            "name": self.name,
            "in": "query",
            "required": false,
            "description": self.description,
            "example": self.example(&schema),
            "schema": schema,
        })
    }
}

/// The query of a path as an object, as bindings of AsyncAPI have it; with this `format`, or any.
pub(super) fn query(path: Path, format: Option<&str>) -> Value {
    let properties = PARAMETERS.iter().map(|parameter| {
        let mut schema = parameter.schema(path);
        let example = parameter.example(&schema);
        schema["description"] = parameter.description.into();
        schema["examples"] = json!([example]);
        if parameter.name == "format"
            && let Some(format) = format
        {
            schema["enum"] = json!([format]);
            schema["examples"] = json!([format]);
        }
        (parameter.name.to_owned(), schema)
    });
    json!({"type": "object", "properties": properties.collect::<Map<_, _>>()})
}
