"""Streams that are read with asyncio."""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, cast

from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, WebSocketException

from datastream_client.errors import DatastreamError
from datastream_client.event import Event
from datastream_client.frames import HEARTBEAT, body_of
from datastream_client.handshake import open_error
from datastream_client.heard import HeardAsyncConnection
from datastream_client.options import AsyncStreamOptions
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

# Seconds within which a read finds what had come before it, however long nobody had read.
_ARRIVED = 1.0


def connect(url: str, **options: Unpack[AsyncStreamOptions]) -> AsyncEventStream:
    """Makes a stream, which begins when its first event is asked for.

    It goes on over lost connections and gateways that restart, without a gap and without an event
    twice, until `seq_end`, `close`, or a failure that does not pass by itself. `url` is that of a
    stream, `wss://HOST/stream?stream_key=KEY`; `https` is the same. AsyncStreamOptions has the
    options. Raises ValueError or TypeError if the URL or an option cannot be used.
    """
    return AsyncEventStream(Session(url, options, takes_coroutines=True))


class AsyncEventStream(Positioned):
    """Stream of events, to be read by one task, `async for event in stream`.

    An event counts as handled when the next one is asked for. To cancel that loses no event.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._connection: _Connection | _EagerConnection | None = None
        self._failure: DatastreamError | None = None
        """The failure of the connection, until it has been dealt with."""
        self._resume_at = 0.0
        self._is_asked = False
        self._is_closed = False
        # They go on if their reader is canceled: one that often is would never get a connection,
        # and leave one half closed.
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Returns the next event. The one before it counts as handled from now on.

        Raises DatastreamError if the stream has failed for good. Nothing comes after that.
        """
        if self._is_asked:
            raise RuntimeError("a stream is read by one task: ask when the event before has come")
        self._is_asked = True
        try:
            event = await self._next()
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self.close()
            raise
        finally:
            self._is_asked = False
        if event is None:
            raise StopAsyncIteration
        return event

    async def close(self) -> None:
        """Closes the stream: a loop over it ends. The event that it is at counts as not handled."""
        self._is_closed = True
        opening = self._opening
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        await self._drop()

    async def _next(self) -> Event | None:
        self._session.asked()
        while not self._is_closed:
            if self._failure is not None:
                await self._recover(self._failure)
                continue
            try:
                if self._connection is None:
                    await self._reopen()
                else:
                    event = self._session.read(await self._connection.receive())
                    if event is not None:
                        return event
            except StreamEnd:
                await self.close()
            except DatastreamError as failure:
                self._failure = failure
        return None

    async def _recover(self, failure: DatastreamError) -> None:
        # If the reader is canceled meanwhile, its next read does the rest.
        await self._drop()
        self._failure = None
        self._resume_at = time.monotonic() + self._session.pause_after(failure)

    async def _reopen(self) -> None:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        opening = self._opening
        await asyncio.wait([opening])
        self._opening = None
        if not opening.cancelled():
            opening.result()

    async def _open(self) -> None:
        await asyncio.sleep(self._resume_at - time.monotonic())
        self._connection = await _open(self._session)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._closing = asyncio.ensure_future(connection.close())
        closing = self._closing
        if closing is not None:
            await asyncio.wait([closing])
            self._closing = None
            closing.result()


class _Connection:
    """A connection that reads what is asked for."""

    def __init__(self, websocket: HeardAsyncConnection, session: Session) -> None:
        self._websocket = websocket
        self._session = session
        self._overdue: float | None = None
        """Time of the first read that began when the connection had been silent for too long."""
        self._is_given_up = False

    async def receive(self) -> str:
        """Returns the body of the next frame that is no heartbeat, and answers those before it."""
        while True:
            asked = time.monotonic()
            body = body_of(await self._receive())
            if body != HEARTBEAT:
                return body
            self._session.heartbeat(asked, time.monotonic())
            # Frames that came before the connection was lost are yet to be read.
            with suppress(ConnectionClosed):
                await self._websocket.send(HEARTBEAT)

    async def close(self) -> None:
        await self._websocket.close()

    async def _receive(self) -> str | bytes:
        silence = self._session.silence
        call_later = asyncio.get_running_loop().call_later
        timer: asyncio.TimerHandle

        def give_up() -> None:
            nonlocal timer
            # A part of a frame may have come.
            left = self._websocket.heard + silence - time.monotonic()
            if left > 0:
                timer = call_later(left, give_up)
            else:
                # A read that is canceled now leaves its end to the next one.
                self._is_given_up = True
                self._websocket.transport.abort()

        timer = call_later(self._patience(silence), give_up)
        try:
            return await self._websocket.recv()
        except ConnectionClosed as error:
            if self._is_given_up:
                self._session.gave_up()
                raise silent_error(silence) from None
            raise (close_error(error) or StreamEnd()) from error
        finally:
            timer.cancel()

    def _patience(self, silence: float) -> float:
        """Returns the seconds after which a read that begins now gives up if nothing comes."""
        now = time.monotonic()
        heard = self._websocket.heard
        left = heard + silence - now
        if left > 0:
            return left
        # What came while nobody read, or while the loop stood still, is no silence: the first read
        # waits for it. The next ones count from there: each of them may be canceled early.
        if self._overdue is None or self._overdue <= heard:
            self._overdue = now
        return self._overdue + _ARRIVED - now


class _EagerConnection:
    """A connection that is read, and whose heartbeats are answered, while nobody asks."""

    def __init__(self, connection: _Connection, read_ahead: int) -> None:
        self._connection = connection
        self._received: asyncio.Queue[str | Exception] = asyncio.Queue(read_ahead)
        self._reader = asyncio.ensure_future(self._read())

    async def receive(self) -> str:
        """Returns the body of the next frame that is no heartbeat."""
        received = await self._received.get()
        if isinstance(received, Exception):
            raise received
        return received

    async def close(self) -> None:
        await self._connection.close()
        self._reader.cancel()
        await asyncio.wait([self._reader])

    async def _read(self) -> None:
        try:
            while True:
                await self._received.put(await self._connection.receive())
        except Exception as error:
            await self._received.put(error)


async def _open(session: Session) -> _Connection | _EagerConnection:
    request = session.request(await _secret_of(session))
    try:
        websocket = await connect_websocket(
            request.url,
            additional_headers=request.headers,
            create_connection=HeardAsyncConnection,
            **session.connect_options,
        )
    except (OSError, WebSocketException) as error:
        raise open_error(error) from error
    session.opened()
    connection = _Connection(cast("HeardAsyncConnection", websocket), session)
    return _EagerConnection(connection, session.read_ahead) if session.is_eager else connection


async def _secret_of(session: Session) -> str | None:
    secret = session.secret
    if secret is None or isinstance(secret, str):
        return secret
    try:
        found = secret()
        return await found if inspect.isawaitable(found) else found
    except Exception as error:
        # Its text may show the secret.
        raise credential_error(type(error).__name__) from error
