"""Options of a stream."""

from __future__ import annotations

import ssl as tls
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict

from datastream_client.errors import DatastreamError
from datastream_client.reconnect import Retry

Secret = str | Callable[[], str]
"""A secret, or what returns it: called before each connection, so that it can be renewed."""
AsyncSecret = str | Callable[[], str | Awaitable[str]]
"""A secret, or what returns it, also a coroutine function."""


@dataclass(frozen=True)
class Marker:
    """Something that a stream tells beside its events."""

    control: Literal["live", "gap"]
    """`live`: everything stored has come. `gap`: events before `seq_start` have expired."""
    seq_start: str
    """The number to start with to get what follows."""


@dataclass(frozen=True)
class Reconnect:
    """A connection that failed or ended, and is about to be made again."""

    failure: DatastreamError
    delay: float
    """Seconds until the next attempt."""
    attempt: int
    """Failures in a row, without an event or a heartbeat between them: 1 for the first."""


class CommonOptions(TypedDict, total=False):
    """Options of both kinds of stream. They come before parameters of the URL."""

    subscription: str
    """The subscription whose stream a token opens: `NAMESPACE/NAME`."""
    seq_start: str | int
    """The first number of the stream; 0 is the earliest event that is left."""
    seq_end: str | int
    """The last number of the stream, which ends after it. Counts only beside a start."""
    time_start: str | datetime
    """Instead of `seq_start`: from the first event that the broker took at this time or later, as
    RFC 3339 or an aware datetime."""
    on_gap: Literal["earliest"]
    """Where the first events asked for have expired, start at the earliest that is left, instead of
    failing with 410."""
    on_marker: Callable[[Marker], object]
    """Called for each marker. Without it, a gap ends the stream with a GapError."""
    on_reconnect: Callable[[Reconnect], object]
    """Called before each pause that a failure leads to. Without it, a warning is logged."""
    retry: Retry
    """Pauses between attempts, and how many there are."""
    silence: float
    """Seconds in which nothing comes, after which a connection counts as dead. Unset: three
    intervals of heartbeats."""
    acknowledge: Literal["handled", "received"]
    """When a heartbeat is answered, which acknowledges the events before it: when they have been
    handled (unset), or when it is received."""
    read_ahead: int
    """Events that may be read before they are asked for. Unset: 16."""
    ssl: tls.SSLContext
    """Settings of TLS, for example a client certificate."""


class StreamOptions(CommonOptions, total=False):
    """Options of a stream that is read without asyncio."""

    key: Secret
    """The stream key, sent as `Authorization: Bearer`, where the URL has none."""
    token: Secret
    """A token, sent as `Authorization: Bearer`, instead of a key."""


class AsyncStreamOptions(CommonOptions, total=False):
    """Options of a stream that is read with asyncio."""

    key: AsyncSecret
    """The stream key, sent as `Authorization: Bearer`, where the URL has none."""
    token: AsyncSecret
    """A token, sent as `Authorization: Bearer`, instead of a key."""


AnyOptions = StreamOptions | AsyncStreamOptions
