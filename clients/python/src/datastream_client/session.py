"""The decisions of a stream, without input and output.

A driver connects, hands in what comes, and asks what is to be done.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from websockets.exceptions import ConnectionClosed

from datastream_client.endpoint import Endpoint, StreamRequest
from datastream_client.errors import (
    ClosedError,
    ConnectionLostError,
    CredentialError,
    DatastreamError,
    GapError,
    ProtocolError,
)
from datastream_client.event import Event, parse_event
from datastream_client.frames import LARGEST_FRAME
from datastream_client.given import given_options
from datastream_client.handshake import CONNECT_TIMEOUT
from datastream_client.options import AnyOptions, AsyncSecret, Marker, Reconnect
from datastream_client.reconnect import ReconnectPolicy, Retry
from datastream_client.seq import SeenEvents, is_decimal
from datastream_client.silence import SilenceLimit

_LOGGER: Final = logging.getLogger("datastream_client")
# Seconds that the end of a connection may take. Whoever does not read cannot see the answer.
CLOSE_TIMEOUT: Final = 1.0
# A read that takes fewer seconds found what had come before: the time of its arrival is unknown.
_WAITED: Final = 0.001
# Close code of a stream that has come to the end that was asked for.
_DONE: Final = 1000


class StreamEnd(Exception):  # noqa: N818
    """The end of a stream that was asked for: no error of the user's."""


class Session:
    """One stream, over all of its connections."""

    def __init__(self, url: str, options: AnyOptions, *, takes_coroutines: bool) -> None:
        """Checks the URL and the options.

        `takes_coroutines` says whether the key or token may come from a coroutine function.
        Raises TypeError for an option that there is not or that has another type, and ValueError
        for what cannot be used.
        """
        options = given_options(options, takes_coroutines)
        self._endpoint = Endpoint(url, options)
        self._on_marker = options.get("on_marker")
        self._on_reconnect = options.get("on_reconnect")
        self._policy = ReconnectPolicy(options.get("retry", Retry()))
        self._silence = SilenceLimit(options.get("silence"))
        self._seen = SeenEvents()
        self._position = self._endpoint.seq_start
        self._current: Event | None = None
        self._sent_secret: str | None = None
        self._ssl = options.get("ssl")
        self.read_ahead = options.get("read_ahead", 16)
        """Events that may be read before they are asked for."""
        self.is_eager = options.get("acknowledge") == "received"
        """Whether heartbeats are answered when they are received."""

    @property
    def connect_options(self) -> dict[str, Any]:
        """The options of a connection, apart from its URL and headers."""
        # An explicit None would be taken for no TLS.
        tls = {} if self._ssl is None else {"ssl": self._ssl}
        return {
            "compression": None,
            "open_timeout": CONNECT_TIMEOUT,
            "close_timeout": CLOSE_TIMEOUT,
            # Nobody reads the answer to a ping while the user is slow.
            "ping_interval": None,
            "max_size": LARGEST_FRAME,
            # An eager connection keeps the events itself.
            "max_queue": 1 if self.is_eager else self.read_ahead,
            **tls,
        }

    @property
    def position(self) -> str | None:
        """The number to start with to get everything that has not been handled."""
        return self._position

    @property
    def secret(self) -> AsyncSecret | None:
        """The key or token for the header, or what returns it."""
        return self._endpoint.secret

    @property
    def silence(self) -> float:
        """Seconds without a byte after which the connection counts as dead."""
        return self._silence.seconds

    def request(self, secret: str | None) -> StreamRequest:
        """Makes the request for the next connection.

        Raises CredentialError if the secret cannot stand in a header.
        """
        try:
            request = self._endpoint.request(self._position, secret)
        except ValueError as error:
            raise credential_error(str(error)) from error
        self._sent_secret = secret
        return request

    def opened(self) -> None:
        """Notes a new connection."""
        self._silence.restart()

    def heartbeat(self, asked: float, came: float) -> None:
        """Notes a heartbeat that was waited for from one time to another, in seconds."""
        self._silence.heartbeat(came if came - asked >= _WAITED else None)
        self._policy.progress()

    def gave_up(self) -> None:
        """Notes that the connection was given up for its silence."""
        self._silence.gave_up()

    def asked(self) -> None:
        """Notes that the next event is asked for: the one before has been handled."""
        if self._current is not None:
            self._position = self._current.next
            self._current = None

    def read(self, body: str) -> Event | None:
        """Reads a frame that is no heartbeat. Returns its event, if it has a new one.

        Raises ProtocolError if it is no frame of a stream, and GapError for a gap that nobody is to
        be told of.
        """
        # The first member of an event is seq.
        if body.startswith('{"control"'):
            self._mark(body)
            return None
        try:
            event = parse_event(body)
        except ValueError as error:
            raise ProtocolError(f"not a frame of a stream: {body[:200]!r}") from error
        if not self._seen.add(event.identity):
            return None
        self._policy.progress()
        self._current = event
        return event

    def pause_after(self, failure: DatastreamError) -> float:
        """Returns the seconds until the next attempt. Raises the failure if there is to be none."""
        delay = self._policy.after(failure)
        if delay is None:
            raise failure
        if self._on_reconnect is None:
            self._log(failure, delay)
        else:
            self._on_reconnect(Reconnect(failure, delay, self._policy.failures))
        return delay

    def _log(self, failure: DatastreamError, delay: float) -> None:
        text = str(failure)
        # A server may repeat the request in its reason.
        for secret in (self._endpoint.stream_key, self._sent_secret):
            if secret:
                text = text.replace(secret, "***")
        _LOGGER.warning("%s: %s; next attempt in %.1f s", self._endpoint.address, text, delay)

    def _mark(self, body: str) -> None:
        try:
            control = json.loads(body)
        except ValueError as error:
            raise ProtocolError(f"not a frame of a stream: {body[:200]!r}") from error
        match control:
            case {"control": "live" | "gap" as name, "seq_start": str(seq)} if is_decimal(seq):
                self._position = seq
                if self._on_marker is not None:
                    self._on_marker(Marker(name, seq))
                elif name == "gap":
                    raise GapError(seq)


class Positioned:
    """A stream whose position can be kept, whatever drives it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def position(self) -> str | None:
        """The number to start with, as `seq_start`, to get everything that has not been handled.

        None until it is known: from the first event or marker on, or from the start if the stream
        was given a number.
        """
        return self._session.position


def credential_error(reason: str) -> CredentialError:
    """Makes the error for a key or token that could not be had."""
    return CredentialError(f"no key or token could be had to connect with: {reason}")


def silent_error(seconds: float) -> ConnectionLostError:
    """Makes the error for a connection that was silent for this long."""
    return ConnectionLostError(f"nothing came for {seconds:g} s")


def close_error(error: ConnectionClosed) -> DatastreamError | None:
    """Translates the end of a connection; None if it is the one that was asked for."""
    received, sent = error.rcvd, error.sent
    if sent is not None and not error.rcvd_then_sent:
        return ProtocolError(f"not a frame of a stream: {sent.reason or sent.code}")
    if received is None:
        return ConnectionLostError(f"the connection broke: {error.__cause__ or 'it ended'}")
    return None if received.code == _DONE else ClosedError(received.code, received.reason)
