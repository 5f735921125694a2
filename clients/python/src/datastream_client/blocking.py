"""Streams that are read without asyncio."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, cast

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect as connect_websocket

from datastream_client.errors import DatastreamError
from datastream_client.event import Event
from datastream_client.frames import HEARTBEAT, body_of
from datastream_client.handshake import open_error
from datastream_client.heard import HeardConnection
from datastream_client.options import Secret, StreamOptions
from datastream_client.session import (
    Positioned,
    Session,
    StreamEnd,
    close_error,
    credential_error,
    silent_error,
)

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


def open(url: str, **options: Unpack[StreamOptions]) -> EventStream:
    """Makes a stream, which begins when its first event is asked for.

    It goes on over lost connections and gateways that restart, without a gap and without an event
    twice, until `seq_end`, `close`, or a failure that does not pass by itself. `url` is that of a
    stream, `wss://HOST/stream?stream_key=KEY`; `https` is the same. StreamOptions has the options.
    Raises ValueError or TypeError if the URL or an option cannot be used.
    """
    return EventStream(Session(url, options, takes_coroutines=False))


class EventStream(Positioned):
    """Stream of events, to be read by one thread, `for event in stream`.

    An event counts as handled when the next one is asked for.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._connection: _Connection | _EagerConnection | None = None
        self._resume_at = 0.0
        self._asking = threading.Lock()
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        """Returns the next event. The one before it counts as handled from now on.

        Raises DatastreamError if the stream has failed for good. Nothing comes after that.
        """
        if not self._asking.acquire(blocking=False):
            raise RuntimeError("a stream is read by one thread: ask when the event before has come")
        try:
            event = self._next()
        except BaseException:
            self.close()
            raise
        finally:
            self._asking.release()
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """Closes the stream: a loop over it ends. The event that it is at counts as not handled.

        Another thread may do that; an attempt to connect is waited for.
        """
        self._closing.set()
        self._drop()

    def _next(self) -> Event | None:
        self._session.asked()
        while not self._closing.is_set():
            try:
                connection = self._connection
                if connection is None:
                    if self._closing.wait(self._resume_at - time.monotonic()):
                        break
                    connection = self._connection = _open(self._session)
                    # `close` may have found no connection.
                    continue
                event = self._session.read(connection.receive())
                if event is not None:
                    return event
            except StreamEnd:
                self._closing.set()
            except DatastreamError as failure:
                if not self._closing.is_set():
                    self._drop()
                    self._resume_at = time.monotonic() + self._session.pause_after(failure)
        self._drop()
        return None

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Connection:
    """A connection that reads what is asked for."""

    def __init__(self, websocket: HeardConnection, session: Session) -> None:
        self._websocket = websocket
        self._session = session

    def receive(self) -> str:
        """Returns the body of the next frame that is no heartbeat, and answers those before it."""
        while True:
            asked = time.monotonic()
            body = body_of(self._receive())
            if body != HEARTBEAT:
                return body
            self._session.heartbeat(asked, time.monotonic())
            # Frames that came before the connection was lost are yet to be read.
            with suppress(ConnectionClosed):
                self._websocket.send(HEARTBEAT)

    def close(self) -> None:
        self._websocket.close()

    def _receive(self) -> str | bytes:
        silence = left = self._session.silence
        while True:
            try:
                return self._websocket.recv(timeout=left)
            except TimeoutError:
                # A part of a frame may have come.
                left = self._websocket.heard + silence - time.monotonic()
                if left <= 0:
                    self._session.gave_up()
                    raise silent_error(silence) from None
            except ConnectionClosed as error:
                raise (close_error(error) or StreamEnd()) from error


class _EagerConnection:
    """A connection that is read, and whose heartbeats are answered, while nobody asks."""

    def __init__(self, connection: _Connection, read_ahead: int) -> None:
        self._connection = connection
        self._read_ahead = read_ahead
        self._received: deque[str | Exception] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def receive(self) -> str:
        """Returns the body of the next frame that is no heartbeat."""
        with self._changed:
            self._changed.wait_for(lambda: self._received)
            received = self._received.popleft()
            self._changed.notify_all()
        if isinstance(received, Exception):
            raise received
        return received

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._connection.close()
        self._reader.join()

    def _read(self) -> None:
        try:
            while not self._is_closed:
                self._put(self._connection.receive())
        except Exception as error:
            self._put(error)

    def _put(self, received: str | Exception) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or len(self._received) < self._read_ahead
            )
            self._received.append(received)
            self._changed.notify_all()


def _open(session: Session) -> _Connection | _EagerConnection:
    request = session.request(_secret_of(session))
    try:
        # Entered, and closed by its method: what connect returns differs among the versions.
        websocket = connect_websocket(
            request.url,
            additional_headers=request.headers,
            create_connection=HeardConnection,
            **session.connect_options,
        ).__enter__()
    except (OSError, WebSocketException) as error:
        raise open_error(error) from error
    session.opened()
    connection = _Connection(cast("HeardConnection", websocket), session)
    return _EagerConnection(connection, session.read_ahead) if session.is_eager else connection


def _secret_of(session: Session) -> str | None:
    secret = cast("Secret | None", session.secret)
    if secret is None or isinstance(secret, str):
        return secret
    try:
        return secret()
    except Exception as error:
        # Its text may show the secret.
        raise credential_error(type(error).__name__) from error
