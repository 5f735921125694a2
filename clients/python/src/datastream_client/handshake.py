"""Connections that could not be made."""

from __future__ import annotations

import re
import ssl
from typing import Final

from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, ProxyError

from datastream_client.errors import ConnectionLostError, DatastreamError, ProtocolError
from datastream_client.refusal import refusal_of

# Seconds that a connection may take to be established.
CONNECT_TIMEOUT: Final = 10.0
# The status of an answer that the WebSocket library does not read, as its error shows it.
_OLD_STATUS = re.compile(r"\bHTTP/1\.0 ([0-9]{3})\b")


def open_error(error: Exception) -> DatastreamError:
    """Translates the error of a connection that could not be made."""
    if isinstance(error, InvalidStatus):
        response = error.response
        retry_after = response.headers.get("Retry-After")
        return _answer_error(response.status_code, retry_after, bytes(response.body or b""))
    if isinstance(error, InvalidMessage):
        old = _OLD_STATUS.search(str(error.__cause__))
        return _lost(error, error.__cause__) if old is None else _answer_error(int(old[1]))
    if isinstance(error, InvalidHandshake) and not isinstance(error, ProxyError):
        return ProtocolError(f"no gateway answers there: {error}")
    if isinstance(error, TimeoutError):
        return ConnectionLostError(f"cannot connect: no answer within {CONNECT_TIMEOUT:g} s")
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return ConnectionLostError(
            f"cannot connect: the server may not speak TLS: use ws:// then ({error})"
        )
    return _lost(error)


def _answer_error(
    status: int, retry_after: str | None = None, body: bytes = b""
) -> DatastreamError:
    if status < 300:
        return ProtocolError(f"{status} instead of a WebSocket: no gateway answers there")
    return refusal_of(status, retry_after, body)


def _lost(error: Exception, cause: BaseException | None = None) -> ConnectionLostError:
    texts = [str(error) or type(error).__name__, *([str(cause)] if cause is not None else [])]
    return ConnectionLostError(f"cannot connect: {': '.join(texts)}")
