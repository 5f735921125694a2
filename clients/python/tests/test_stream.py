from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import datastream_client
from collect import Collect, numbers
from datastream_client import GapError, Marker, ProtocolError
from gateway import Exchange, Gateway, answer, datapoint


def events_to(last: int) -> Callable[[Exchange], Any]:
    """Returns a script that sends the events from where the client asks, and ends the stream."""

    async def script(exchange: Exchange) -> None:
        await exchange.events(exchange.first, last)
        await exchange.close(1000, "seq_end reached")

    return script


async def send_one_and_wait(exchange: Exchange) -> None:
    await exchange.events(1, 1)
    await exchange.websocket.wait_closed()


def test_a_stream_brings_its_events_and_ends_where_it_was_asked_to(collect: Collect) -> None:
    with Gateway(events_to(3)) as gateway:
        found = collect(gateway.url, seq_start="1", seq_end=3)
    assert (found.seqs, found.position, found.failure) == (numbers(1, 3), "4", None)
    assert found.reconnects == []
    path = "/stream?stream_key=0123&seq_start=1&seq_end=3&markers=1"
    assert [exchange.path for exchange in gateway.exchanges] == [path]


def test_a_heartbeat_is_answered_once_what_came_before_has_been_handled(collect: Collect) -> None:
    answered = threading.Event()
    early = []

    async def script(exchange: Exchange) -> None:
        await exchange.events(1, 2)
        await exchange.heartbeat()
        await exchange.events(3, 3)
        assert await exchange.websocket.recv() == "Z"
        answered.set()
        await exchange.close()

    def handle(event: datastream_client.Event, _: object) -> None:
        if event.seq == "2":
            early.append(answered.wait(0.1))

    with Gateway(script) as gateway:
        found = collect(gateway.url, handle)
    assert (found.seqs, early, answered.is_set()) == (numbers(1, 3), [False], True)


def test_a_heartbeat_is_answered_at_once_if_received_is_enough(collect: Collect) -> None:
    answered = threading.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.events(1, 1)
        for _ in range(3):
            await exchange.heartbeat()
            assert await exchange.websocket.recv() == "Z"
        answered.set()
        await exchange.events(2, 40)
        await exchange.close()

    def handle(event: datastream_client.Event, _: object) -> None:
        if event.seq == "1":
            assert answered.wait(10)

    with Gateway(script) as gateway:
        found = collect(gateway.url, handle, acknowledge="received", read_ahead=4)
    assert (found.seqs, found.failure) == (numbers(1, 40), None)


@pytest.mark.parametrize("acknowledge", ["handled", "received"])
def test_a_server_waits_for_a_slow_reader_who_loses_nothing(
    collect: Collect, acknowledge: str
) -> None:
    blocked = threading.Event()
    value = f'"{"x" * 100_000}"'

    async def script(exchange: Exchange) -> None:
        for seq in range(1, 301):
            # What the sockets and the client hold is much less than 30 MB.
            sent = asyncio.ensure_future(exchange.send(datapoint(seq, value)))
            done, _ = await asyncio.wait([sent], timeout=0.5)
            if not done:
                blocked.set()
            await sent
        await exchange.close()

    def handle(event: datastream_client.Event, _: object) -> None:
        if event.seq == "1":
            assert blocked.wait(20)

    with Gateway(script) as gateway:
        found = collect(gateway.url, handle, acknowledge=acknowledge, read_ahead=2)
    assert (found.seqs, found.reconnects) == (numbers(1, 300), [])


def test_large_events_come_whole(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(datapoint(1, f'"{"x" * (15 << 20)}"'))
        await exchange.close()

    with Gateway(script) as gateway:
        found = collect(gateway.url)
    assert len(found.events[0].value) == 15 << 20


def test_a_control_frame_that_is_not_known_is_left_out(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send('{"control":"later","x":1}')
        await exchange.events(1, 1)
        await exchange.close()

    with Gateway(script) as gateway:
        found = collect(gateway.url)
    assert (found.seqs, found.failure) == (["1"], None)


@pytest.mark.parametrize("frame", ["nonsense", "3|Z", "8|nonsense", '9|{"seq":1}x', b"1|Z"])
def test_what_is_no_frame_ends_the_stream(collect: Collect, frame: str | bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.websocket.send(frame)
        await exchange.websocket.wait_closed()

    with Gateway(script) as gateway:
        found = collect(gateway.url)
    assert isinstance(found.failure, ProtocolError)
    assert str(found.failure).startswith("not a frame of a stream: ")
    assert len(gateway.exchanges) == 1


def test_a_page_is_no_stream(collect: Collect) -> None:
    with Gateway(events_to(1), lambda _: answer(200, b"<html>")) as gateway:
        found = collect(gateway.url)
    assert isinstance(found.failure, ProtocolError)
    assert str(found.failure) == "200 instead of a WebSocket: no gateway answers there"


def test_the_position_is_behind_the_last_event_that_was_handled(collect: Collect) -> None:
    positions = []
    with Gateway(events_to(7)) as gateway:
        found = collect(
            gateway.url,
            lambda event, stream: positions.append((stream.position, event.next)),
            seq_start=5,
        )
    assert positions == [("5", "6"), ("6", "7"), ("7", "8")]
    assert found.position == "8"


def test_leaving_the_loop_counts_its_event_as_not_handled() -> None:
    with Gateway(events_to(9)) as gateway:
        with datastream_client.open(gateway.url, seq_start="5") as stream:
            for event in stream:
                if event.seq == "6":
                    break
        assert stream.position == "6"
        assert list(stream) == []
        assert gateway.exchanges[0].gone.wait(10)


def test_markers_are_told_and_move_the_position(collect: Collect) -> None:
    huge = "1" * 5000

    async def script(exchange: Exchange) -> None:
        if exchange.n == 0:
            await exchange.marker("gap", "40")
            await exchange.marker("live", huge)
            exchange.cut()
        else:
            await exchange.close()

    with Gateway(script) as gateway:
        found = collect(gateway.url, time_start="2026-01-01T00:00:00Z", on_gap="earliest")
    assert found.markers == [Marker("gap", "40"), Marker("live", huge)]
    assert (gateway.asked("seq_start"), found.position) == ([None, huge], huge)
    assert gateway.asked("time_start") == ["2026-01-01T00:00:00Z", None]
    assert gateway.asked("on_gap") == ["earliest", "earliest"]


async def mark_gap(exchange: Exchange) -> None:
    await exchange.marker("gap", "40")
    await exchange.websocket.wait_closed()


def test_a_gap_that_nobody_is_to_be_told_of_ends_the_stream() -> None:
    with Gateway(mark_gap) as gateway:
        stream = datastream_client.open(gateway.url)
        with pytest.raises(GapError, match="events before 40 have expired"):
            next(stream)
        assert (list(stream), stream.position) == ([], "40")


def test_an_error_of_a_callback_ends_the_stream(collect: Collect) -> None:
    mistake = RuntimeError("mistake")

    def on_marker(_: Marker) -> None:
        raise mistake

    with Gateway(mark_gap) as gateway:
        assert collect(gateway.url, on_marker=on_marker).failure is mistake
        assert gateway.exchanges[0].gone.wait(10)


@pytest.mark.parametrize("acknowledge", ["handled", "received"])
def test_close_ends_a_loop_that_waits(acknowledge: Any) -> None:
    with Gateway(send_one_and_wait) as gateway:
        stream = datastream_client.open(gateway.url, acknowledge=acknowledge)
        seqs = []
        for event in stream:
            seqs.append(event.seq)
            threading.Timer(0.05, stream.close).start()
        assert seqs == ["1"]
        assert gateway.exchanges[0].gone.wait(10)


@pytest.mark.parametrize("acknowledge", ["handled", "received"])
def test_close_ends_a_task_that_waits(acknowledge: Any) -> None:
    async def main(url: str) -> list[str]:
        stream = datastream_client.connect(url, acknowledge=acknowledge)
        seqs = []
        closing = []
        async for event in stream:
            seqs.append(event.seq)
            closing.append(asyncio.create_task(stream.close()))
        await asyncio.gather(*closing)
        return seqs

    with Gateway(send_one_and_wait) as gateway:
        assert asyncio.run(main(gateway.url)) == ["1"]
        assert gateway.exchanges[0].gone.wait(10)


def test_close_ends_a_pause(collect: Collect) -> None:
    async def main(url: str) -> None:
        retry = datastream_client.Retry(first_delay=100, longest_delay=100)
        paused = asyncio.Event()
        stream = datastream_client.connect(url, retry=retry, on_reconnect=lambda _: paused.set())
        reading = asyncio.create_task(anext(stream, None))
        await paused.wait()
        await stream.close()
        assert await reading is None

    def in_thread(url: str) -> None:
        retry = datastream_client.Retry(first_delay=100, longest_delay=100)
        paused = threading.Event()
        stream = datastream_client.open(url, retry=retry, on_reconnect=lambda _: paused.set())
        reading = threading.Thread(target=list, args=[stream])
        reading.start()
        assert paused.wait(10)
        stream.close()
        reading.join()

    with Gateway(events_to(1), lambda _: answer(503, b"")) as gateway:
        if collect.__name__ == "collect_async":
            asyncio.run(main(gateway.url))
        else:
            in_thread(gateway.url)


def test_a_token_that_does_not_come_can_be_closed_and_canceled() -> None:
    async def token() -> str:
        await asyncio.Event().wait()
        return ""

    async def main() -> None:
        stream = datastream_client.connect("ws://127.0.0.1:1", token=token)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)
        reading = asyncio.create_task(anext(stream, None))
        await asyncio.sleep(0)
        await stream.close()
        assert await reading is None

    asyncio.run(main())


def test_no_event_is_lost_to_canceled_reads() -> None:
    async def script(exchange: Exchange) -> None:
        for seq in range(1, 200):
            await exchange.events(seq, seq)
            await asyncio.sleep(0.0005)
        await exchange.close()

    async def main(url: str) -> list[str]:
        seqs: list[str] = []
        async with datastream_client.connect(url) as stream:
            while True:
                try:
                    event = await asyncio.wait_for(anext(stream, None), 0.0007)
                except asyncio.TimeoutError:
                    continue
                if event is None:
                    return seqs
                seqs.append(event.seq)

    with Gateway(script) as gateway:
        seqs = asyncio.run(main(gateway.url))
    assert seqs == sorted(set(seqs), key=int)
    assert seqs[-1] == "199"


def test_two_readers_of_one_stream_are_refused() -> None:
    async def main(url: str) -> None:
        async with datastream_client.connect(url) as stream:
            await anext(stream)
            first = asyncio.create_task(anext(stream, None))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="one task"):
                await anext(stream)
        assert await first is None

    with Gateway(send_one_and_wait) as gateway:
        asyncio.run(main(gateway.url))


def test_several_streams_are_read_at_once() -> None:
    async def main(url: str) -> list[list[str]]:
        async def read(start: int) -> list[str]:
            options: Any = {"seq_start": start, "seq_end": start + 9}
            async with datastream_client.connect(url, **options) as stream:
                return [event.seq async for event in stream]

        return await asyncio.gather(*map(read, range(1, 800, 100)))

    async def script(exchange: Exchange) -> None:
        await exchange.events(exchange.first, int(exchange.query["seq_end"]))
        await exchange.close()

    with Gateway(script) as gateway:
        found = asyncio.run(main(gateway.url))
    assert found == [numbers(start, start + 9) for start in range(1, 800, 100)]


def test_answers_to_a_server_that_has_gone_lose_no_event(collect: Collect) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.events(exchange.first, exchange.first + 2)
        for _ in range(5):
            await exchange.heartbeat()
        await exchange.events(exchange.first + 3, exchange.first + 5)
        if exchange.n == 0:
            exchange.cut()
        else:
            await exchange.close()

    def handle(event: datastream_client.Event, _: object) -> None:
        if event.seq == "1":
            assert gateway.exchanges[0].gone.wait(10)

    with Gateway(script) as gateway:
        found = collect(gateway.url, handle)
    last = int(found.seqs[-1])
    assert (found.seqs, found.failure) == (numbers(1, last), None)
    assert last >= 9
