"""Reads device events of datastream.

With asyncio, `async with connect(url) as stream: async for event in stream: ...`; without,
`with open(url) as stream: for event in stream: ...`.
"""

from datastream_client.aio import AsyncEventStream, connect
from datastream_client.blocking import EventStream, open
from datastream_client.bodies import (
    ConnectivityBody,
    DatapointackBody,
    DatapointBody,
    LocationBody,
    Metadata,
    RegistrationBody,
)
from datastream_client.errors import (
    ClosedError,
    ConnectionLostError,
    CredentialError,
    DatastreamError,
    GapError,
    ProtocolError,
    RefusedError,
)
from datastream_client.event import (
    ConnectivityEvent,
    DatapointackEvent,
    DatapointEvent,
    Event,
    EventType,
    LocationEvent,
    RegistrationEvent,
    UntypedEvent,
    parse_event,
)
from datastream_client.members import Members
from datastream_client.options import (
    AsyncSecret,
    AsyncStreamOptions,
    Marker,
    Reconnect,
    Secret,
    StreamOptions,
)
from datastream_client.reconnect import Retry
from datastream_client.seq import EventIdentity, after, identity_of
from datastream_client.summary import summarize

__all__ = [
    "AsyncEventStream",
    "AsyncSecret",
    "AsyncStreamOptions",
    "ClosedError",
    "ConnectionLostError",
    "ConnectivityBody",
    "ConnectivityEvent",
    "CredentialError",
    "DatapointBody",
    "DatapointEvent",
    "DatapointackBody",
    "DatapointackEvent",
    "DatastreamError",
    "Event",
    "EventIdentity",
    "EventStream",
    "EventType",
    "GapError",
    "LocationBody",
    "LocationEvent",
    "Marker",
    "Members",
    "Metadata",
    "ProtocolError",
    "Reconnect",
    "RefusedError",
    "RegistrationBody",
    "RegistrationEvent",
    "Retry",
    "Secret",
    "StreamOptions",
    "UntypedEvent",
    "after",
    "connect",
    "identity_of",
    "open",
    "parse_event",
    "summarize",
]
