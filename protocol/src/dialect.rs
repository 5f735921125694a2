//! The dialects in which a stream can be read, by name.

/// The dialects of a WebSocket, whose messages are the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageDialect {
    /// `LEN|BODY`, as in the Ayla Datastream Service.
    #[default]
    Dss,
    /// One JSON object a message.
    Json,
    /// One event of CloudEvents 1.0 a message, in structured mode.
    CloudEvents,
}

/// The dialects of a response's body, in which frames stand one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyDialect {
    /// Server-sent events.
    Sse,
    /// A JSON object a line.
    Ndjson,
}

impl MessageDialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dss, Self::Json, Self::CloudEvents];

    /// The dialect with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The name in metrics and in `format=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dss => "dss",
            Self::Json => "json",
            Self::CloudEvents => "cloudevents",
        }
    }
}

impl BodyDialect {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sse, Self::Ndjson];

    /// The dialect with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The name in metrics and in `format=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}
