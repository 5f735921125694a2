"""A gateway on loopback that does what a test's script says, with each connection."""

from __future__ import annotations

import asyncio
import http
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from typing_extensions import Self
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Script = Callable[["Exchange"], Awaitable[None]]
Refusal = Callable[["Exchange"], Response | None]


def datapoint(seq: int | str, value: str = "1") -> str:
    """Returns the JSON of a datapoint."""
    metadata = '{"event_type":"datapoint","dsn":"AC1","property_name":"p"}'
    return f'{{"seq":"{seq}","metadata":{metadata},"datapoint":{{"value":{value}}}}}'


def refusal(status: int, error: str, message: str, retry_after: str | None = None) -> Response:
    """Returns the answer of a gateway that gives no stream."""
    body = json.dumps({"error": error, "message": message}).encode()
    return answer(status, body, retry_after)


def answer(status: int, body: bytes, retry_after: str | None = None) -> Response:
    headers = Headers({"Content-Length": str(len(body)), "Connection": "close"})
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return Response(status, http.HTTPStatus(status).phrase, headers, body)


class Exchange:
    """A request, and the connection that it leads to."""

    def __init__(self, n: int, websocket: ServerConnection, request: Request) -> None:
        self.n = n
        """Number of the connection, from 0 on."""
        self.websocket = websocket
        self.headers = request.headers
        query = parse_qs(urlsplit(request.path).query)
        self.query = {name: values[0] for name, values in query.items()}
        self.path = request.path
        self.gone = threading.Event()
        """Set when the connection has ended."""

    @property
    def first(self) -> int:
        """The number that was asked for."""
        return int(self.query.get("seq_start", "1"))

    async def send(self, body: str) -> None:
        await self.websocket.send(f"{len(body)}|{body}")

    async def events(self, first: int, last: int) -> None:
        for seq in range(first, last + 1):
            await self.send(datapoint(seq))

    async def heartbeat(self) -> None:
        await self.send("Z")

    async def marker(self, control: str, seq_start: str) -> None:
        await self.send(json.dumps({"control": control, "seq_start": seq_start}))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.websocket.close(code, reason)

    def cut(self, after: bytes = b"") -> None:
        """Breaks the connection, behind some bytes."""
        self.websocket.transport.write(after)
        self.websocket.transport.close()


class Gateway:
    """Server in a thread of its own."""

    def __init__(self, script: Script, refuse: Refusal = lambda _: None) -> None:
        self._script = script
        self._refuse = refuse
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: Server | None = None
        self.exchanges: list[Exchange] = []
        self.failures: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(self._serve())
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if error is None and self.failures:
            raise self.failures[0]

    @property
    def host(self) -> str:
        assert self._server is not None
        host, port = next(iter(self._server.sockets)).getsockname()
        return f"{host}:{port}"

    @property
    def url(self) -> str:
        """URL of a stream, as programs print it."""
        return f"ws://{self.host}/stream?stream_key=0123"

    def asked(self, parameter: str) -> list[str | None]:
        """Returns the values that a parameter had, one for each connection."""
        return [exchange.query.get(parameter) for exchange in self.exchanges]

    def _run(self, coroutine: Coroutine[None, None, Server]) -> Server:
        started = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return started.result(timeout=10)

    async def _serve(self) -> Server:
        server: Server = await serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._request,
            compression=None,
            ping_interval=None,
            close_timeout=1,
        )
        return server

    async def _stop(self) -> Server:
        assert self._server is not None
        for exchange in self.exchanges:
            exchange.websocket.transport.abort()
        self._server.close()
        await self._server.wait_closed()
        return self._server

    def _request(self, websocket: ServerConnection, request: Request) -> Response | None:
        exchange = Exchange(len(self.exchanges), websocket, request)
        self.exchanges.append(exchange)
        return self._refuse(exchange)

    async def _handle(self, websocket: ServerConnection) -> None:
        exchange = next(item for item in self.exchanges if item.websocket is websocket)
        try:
            await self._script(exchange)
        except ConnectionClosed:
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            if websocket.state.name == "OPEN":
                await websocket.wait_closed()
            exchange.gone.set()
