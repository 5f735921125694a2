"""Connections that know when bytes last came.

The WebSocket library tells of whole messages only, and a large one may be longer on its way than a
connection may be silent.
"""

from __future__ import annotations

import time
from socket import socket
from typing import Any, cast

from websockets.asyncio.client import ClientConnection as AsyncClientConnection
from websockets.client import ClientProtocol
from websockets.sync.client import ClientConnection as SyncClientConnection


class HeardAsyncConnection(AsyncClientConnection):
    """Connection of asyncio."""

    heard = 0.0
    """Time at which bytes last came, in seconds."""

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        super().data_received(data)


class HeardConnection(SyncClientConnection):
    """Connection that is read by a thread of its own."""

    def __init__(self, sock: socket, protocol: ClientProtocol, **options: Any) -> None:
        self._heard = _HeardSocket(sock)
        # The library calls methods of the socket, and asks for nothing else.
        super().__init__(cast("socket", self._heard), protocol, **options)

    @property
    def heard(self) -> float:
        """Time at which bytes last came, in seconds."""
        return self._heard.time


class _HeardSocket:
    """A socket, with the time at which something was last received."""

    def __init__(self, sock: socket) -> None:
        self._socket = sock
        self.time = time.monotonic()

    def recv(self, size: int) -> bytes:
        data = self._socket.recv(size)
        self.time = time.monotonic()
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
