"""Reads device events of datastream.

With asyncio, `async with connect(url) as stream: async for event in stream: ...`; without,
`with open(url) as stream: for event in stream: ...`.
"""

from datastream_client.aio import AsyncEventStream, connect
from datastream_client.blocking import EventStream, open
from datastream_client.errors import (
    ClosedError,
    ConnectionLostError,
    CredentialError,
    DatastreamError,
    GapError,
    ProtocolError,
    RefusedError,
)
from datastream_client.event import Event, EventType, parse_event
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
    "CredentialError",
    "DatastreamError",
    "Event",
    "EventIdentity",
    "EventStream",
    "EventType",
    "GapError",
    "Marker",
    "Members",
    "ProtocolError",
    "Reconnect",
    "RefusedError",
    "Retry",
    "Secret",
    "StreamOptions",
    "after",
    "connect",
    "identity_of",
    "open",
    "parse_event",
    "summarize",
]
