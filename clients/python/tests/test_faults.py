from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Response

import datastream_client
from collect import QUICK, Collect, numbers
from datastream_client import (
    AsyncEventStream,
    ClosedError,
    ConnectionLostError,
    CredentialError,
    ProtocolError,
    Reconnect,
    RefusedError,
    Retry,
)
from gateway import Exchange, Gateway, answer, datapoint, refusal

RANGE = {"seq_start": "1", "seq_end": "9"}

Fault = Callable[[Exchange], Awaitable[None]]


def faulty(fault: Fault) -> Fault:
    """Returns a script that sends events up to 9, with a fault behind 4 of the first connection."""

    async def script(exchange: Exchange) -> None:
        if exchange.n == 0:
            await exchange.events(exchange.first, exchange.first + 3)
            await fault(exchange)
        else:
            await exchange.events(exchange.first, 9)
            await exchange.close(1000, "seq_end reached")

    return script


async def break_off(exchange: Exchange) -> None:
    exchange.cut()


async def break_off_within_an_event(exchange: Exchange) -> None:
    exchange.cut(b"\x81\x7e\x01\x00" + datapoint(5).encode()[:40])


async def reset(exchange: Exchange) -> None:
    connection: socket.socket = exchange.websocket.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    exchange.websocket.transport.abort()


async def fall_silent(exchange: Exchange) -> None:
    await exchange.websocket.wait_closed()


async def fall_silent_within_an_event(exchange: Exchange) -> None:
    exchange.websocket.transport.write(frame(datapoint(5))[:40])
    await exchange.websocket.wait_closed()


def frame(body: str) -> bytes:
    return Frame(Opcode.TEXT, f"{len(body)}|{body}".encode()).serialize(mask=False)


FAULTS = [
    break_off,
    break_off_within_an_event,
    reset,
    fall_silent,
    fall_silent_within_an_event,
]


@pytest.mark.parametrize("acknowledge", ["handled", "received"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_connection_is_made_again_after_what_was_handled(
    collect: Collect, fault: Fault, acknowledge: str
) -> None:
    with Gateway(faulty(fault)) as gateway:
        found = collect(gateway.url, silence=0.3, acknowledge=acknowledge, **RANGE)
    assert (found.seqs, found.failure) == (numbers(1, 9), None)
    assert len(gateway.exchanges) == 2
    assert isinstance(found.reconnects[0].failure, ConnectionLostError)
    assert found.reconnects[0].attempt == 1


def test_an_event_may_take_longer_than_the_silence_while_bytes_of_it_come(
    collect: Collect,
) -> None:
    async def script(exchange: Exchange) -> None:
        for byte in frame(datapoint(1)) if exchange.n == 0 else b"":
            await asyncio.sleep(0.02)
            exchange.websocket.transport.write(bytes([byte]))
        await exchange.close()

    with Gateway(script) as gateway:
        found = collect(gateway.url, silence=1)
    assert (found.seqs, found.failure, found.reconnects) == (["1"], None, [])


async def poll(stream: AsyncEventStream) -> str | None:
    """Returns the number of the next event, asked for by reads that are soon canceled."""
    while True:
        try:
            event = await asyncio.wait_for(anext(stream, None), 0.02)
        except asyncio.TimeoutError:
            continue
        return None if event is None else event.seq


@pytest.mark.parametrize("acknowledge", ["handled", "received"])
@pytest.mark.parametrize("fault", [fall_silent, fall_silent_within_an_event])
def test_silence_ends_a_connection_whose_reads_are_soon_canceled(
    fault: Fault, acknowledge: Literal["handled", "received"]
) -> None:
    reconnects: list[Reconnect] = []

    async def main(url: str) -> list[str | None]:
        async with datastream_client.connect(
            url,
            seq_start="1",
            seq_end="9",
            silence=0.3,
            acknowledge=acknowledge,
            retry=QUICK,
            on_reconnect=reconnects.append,
        ) as stream:
            return [await poll(stream) for _ in range(10)]

    with Gateway(faulty(fault)) as gateway:
        assert asyncio.run(main(gateway.url)) == [*numbers(1, 9), None]
    assert [str(reconnect.failure) for reconnect in reconnects] == ["nothing came for 0.3 s"]


def test_a_failure_is_told_although_the_read_is_canceled_that_found_it() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.websocket.send("junk")
        # The client waits for the end of the connection, longer than a read.
        exchange.websocket.transport.pause_reading()
        await exchange.websocket.wait_closed()

    async def main(url: str) -> None:
        async with datastream_client.connect(url) as stream:
            with pytest.raises(ProtocolError):
                await poll(stream)

    with Gateway(script) as gateway:
        asyncio.run(main(gateway.url))
    assert len(gateway.exchanges) == 1


def test_what_comes_while_the_loop_stands_still_is_no_silence() -> None:
    is_still, has_sent = threading.Event(), threading.Event()
    reconnects: list[Reconnect] = []

    async def script(exchange: Exchange) -> None:
        await exchange.events(1, 1)
        await asyncio.to_thread(is_still.wait, 10)
        # Longer than the connection may be silent.
        await asyncio.sleep(0.4)
        await exchange.events(2, 2)
        has_sent.set()
        await exchange.websocket.wait_closed()

    async def main(url: str) -> list[str | None]:
        async with datastream_client.connect(
            url, silence=0.3, retry=QUICK, on_reconnect=reconnects.append
        ) as stream:
            first = await poll(stream)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(stream), 0.02)
            is_still.set()
            assert has_sent.wait(10)
            return [first, await poll(stream)]

    with Gateway(script) as gateway:
        assert asyncio.run(main(gateway.url)) == ["1", "2"]
    assert reconnects == []


def test_the_stream_resumes_at_the_event_that_a_slow_reader_is_at(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.events(exchange.first, 9)
        if exchange.n == 0:
            exchange.cut()
        else:
            await exchange.close()

    def handle(event: Any, _: object) -> None:
        if event.seq == "3":
            assert gateway.exchanges[0].gone.wait(10)

    with Gateway(script) as gateway:
        found = collect(gateway.url, handle, **RANGE)
    assert found.seqs == numbers(1, 9)


def test_a_lost_connection_is_told_with_its_cause_while_nobody_listens(collect: Collect) -> None:
    with Gateway(break_off) as gateway:
        url = gateway.url
    found = collect(url, retry=Retry(limit=3, first_delay=0.001))
    assert isinstance(found.failure, ConnectionLostError)
    assert str(found.failure).startswith("cannot connect: ")
    assert isinstance(found.failure.__cause__, OSError)
    assert [reconnect.attempt for reconnect in found.reconnects] == [1, 2, 3]


def test_a_connection_that_ends_without_an_answer_is_made_again(collect: Collect) -> None:
    def refuse(exchange: Exchange) -> Response | None:
        if exchange.n == 0:
            exchange.websocket.transport.abort()
        return None

    async def script(exchange: Exchange) -> None:
        await exchange.close()

    with Gateway(script, refuse) as gateway:
        found = collect(gateway.url)
    assert found.failure is None
    assert isinstance(found.reconnects[0].failure, ConnectionLostError)


def test_events_and_heartbeats_begin_the_count_of_failures_again(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.n < 4 and exchange.n % 2 == 0:
            await exchange.events(exchange.n + 1, exchange.n + 1)
        elif exchange.n < 4:
            await exchange.heartbeat()
        exchange.cut()

    with Gateway(script) as gateway:
        found = collect(gateway.url, retry=Retry(limit=2, first_delay=0.001))
    assert found.seqs == ["1", "3"]
    assert [reconnect.attempt for reconnect in found.reconnects] == [1, 1, 1, 1, 2]


def test_events_that_are_sent_again_are_left_out(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        for first, last in ((1, 4), (3, 6), (1, 7)):
            await exchange.events(first, last)
        if exchange.n == 0:
            exchange.cut()
        else:
            await exchange.close()

    with Gateway(script) as gateway:
        assert collect(gateway.url).seqs == numbers(1, 7)


@pytest.mark.parametrize("code", [1001, 1008, 1011, 1012, 1013])
def test_a_close_code_leads_to_a_new_connection(collect: Collect, code: int) -> None:
    async def close(exchange: Exchange) -> None:
        await exchange.close(code, "for a reason")

    with Gateway(faulty(close)) as gateway:
        found = collect(gateway.url, **RANGE)
    assert (found.seqs, gateway.asked("seq_start")) == (numbers(1, 9), ["1", "5"])
    failure = found.reconnects[0].failure
    assert isinstance(failure, ClosedError)
    assert (failure.code, failure.reason) == (code, "for a reason")


def test_1008_is_final_if_the_next_connection_is_refused(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.events(1, 1)
        await exchange.close(1008, "the subscription is suspended")

    def refuse(exchange: Exchange) -> Response | None:
        return refusal(403, "suspended", "not now") if exchange.n == 1 else None

    with Gateway(script, refuse) as gateway:
        found = collect(gateway.url)
    assert (str(found.failure), found.seqs) == ("403 suspended: not now", ["1"])


def test_an_expired_token_leads_to_a_new_one(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.events(exchange.n + 1, exchange.n + 1)
        await exchange.close(1008 if exchange.n == 0 else 1000, "the token has expired")

    tokens = iter(["token-1", "token-2"])
    with Gateway(script) as gateway:
        found = collect(f"ws://{gateway.host}", token=lambda: next(tokens))
    assert found.failure is None
    bearers = [exchange.headers["Authorization"] for exchange in gateway.exchanges]
    assert bearers == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("bad", ["a\nb", OSError("no issuer")])
def test_a_token_that_cannot_be_had_is_asked_for_again(
    collect: Collect, bad: str | Exception
) -> None:
    found_tokens = iter([bad, "good"])

    def token() -> str:
        found = next(found_tokens)
        if isinstance(found, Exception):
            raise found
        return found

    async def script(exchange: Exchange) -> None:
        await exchange.close()

    with Gateway(script) as gateway:
        found = collect(f"ws://{gateway.host}", token=token)
    assert (found.failure, len(gateway.exchanges)) == (None, 1)
    assert isinstance(found.reconnects[0].failure, CredentialError)
    assert found.reconnects[0].failure.__cause__ is not None


FINAL = {
    400: "bad_position",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    410: "gone",
}


@pytest.mark.parametrize(("status", "error"), FINAL.items())
def test_a_final_refusal_says_why(collect: Collect, status: int, error: str) -> None:
    with Gateway(break_off, lambda _: refusal(status, error, "because")) as gateway:
        failure = collect(gateway.url).failure
    assert isinstance(failure, RefusedError)
    assert (failure.status, failure.error, failure.message) == (status, error, "because")
    assert str(failure) == f"{status} {error}: because"
    assert len(gateway.exchanges) == 1


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503])
def test_other_refusals_pass(collect: Collect, status: int) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.close()

    def refuse(exchange: Exchange) -> Response | None:
        return refusal(status, "busy", "later") if exchange.n < 2 else None

    with Gateway(script, refuse) as gateway:
        found = collect(gateway.url)
    assert found.failure is None
    told = [str(reconnect.failure) for reconnect in found.reconnects]
    assert told == [f"{status} busy: later"] * 2


def test_a_refusal_is_followed_by_the_pause_that_it_asks_for(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.close()

    def refuse(exchange: Exchange) -> Response | None:
        return refusal(503, "busy", "later", "1") if exchange.n == 0 else None

    with Gateway(script, refuse) as gateway:
        found = collect(gateway.url)
    assert [reconnect.delay for reconnect in found.reconnects] == [1]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error":1,"message":"m"}', b"\xff", b""])
def test_a_refusal_of_a_proxy_that_gives_no_reason_has_its_status(
    collect: Collect, body: bytes
) -> None:
    with Gateway(break_off, lambda _: answer(502, body)) as gateway:
        found = collect(gateway.url, retry=Retry(limit=0))
    assert str(found.failure) == "502: Bad Gateway"


def test_a_frame_larger_than_any_ends_the_stream(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(datapoint(1, f'"{"x" * (17 << 20)}"'))
        await asyncio.sleep(0)

    with Gateway(script) as gateway:
        found = collect(gateway.url)
    assert isinstance(found.failure, ProtocolError)
