"""Servers that are no gateway."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from collect import Collect
from datastream_client import ConnectionLostError, DatastreamError, RefusedError, Retry


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Runs a server that gives each connection this answer. Its address is HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, suppress(ConnectionError):
                    connection.recv(1 << 16)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    # Closed with unread bytes, it would be reset, and the answer with it.
                    while connection.recv(1 << 16):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            host, port = server.getsockname()
            yield f"{host}:{port}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def failure_of(collect: Collect) -> Callable[[str], DatastreamError]:
    def failure_of(url: str) -> DatastreamError:
        failure = collect(url, retry=Retry(limit=0)).failure
        assert isinstance(failure, DatastreamError)
        return failure

    return failure_of


def test_tls_that_a_server_does_not_speak_is_told_with_what_to_do(
    failure_of: Callable[[str], DatastreamError],
) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as host:
        failure = failure_of(f"wss://{host}?stream_key=0")
    assert isinstance(failure, ConnectionLostError)
    expected = "cannot connect: the server may not speak TLS: use ws:// then ([SSL: WRONG_VERSION"
    assert str(failure).startswith(expected)


@pytest.mark.parametrize(
    ("status", "text", "retryable"),
    [
        ("404 Nowhere", "404: Not Found", False),
        ("502 Bad", "502: Bad Gateway", True),
        ("200 OK", "200 instead of a WebSocket: no gateway answers there", False),
    ],
)
def test_the_status_of_an_answer_in_old_http_decides(
    failure_of: Callable[[str], DatastreamError], status: str, text: str, retryable: bool
) -> None:
    answer = f"HTTP/1.0 {status}\r\nContent-Length: 3\r\n\r\nabc".encode()
    with answering(answer) as host:
        failure = failure_of(f"ws://{host}?stream_key=0")
    assert (str(failure), failure.retryable) == (text, retryable)
    assert isinstance(failure, RefusedError) == (status[0] != "2")


def test_an_answer_that_is_no_http_is_told_and_may_pass(
    failure_of: Callable[[str], DatastreamError],
) -> None:
    with answering(b"SSH-2.0-OpenSSH\r\n") as host:
        failure = failure_of(f"ws://{host}?stream_key=0")
    assert isinstance(failure, ConnectionLostError)
    assert "SSH-2.0" in str(failure)
