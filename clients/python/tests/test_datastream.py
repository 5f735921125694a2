"""Against the real program, where the environment variable DATASTREAM_BIN names it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import datastream_client
from collect import Collect, numbers
from datastream_client import AsyncEventStream, Event, EventStream, Marker, RefusedError, Retry
from dev import Dev

METADATA = '"dsn":"AC1","property_name":"p"'
EVENTS = [
    f'{{"metadata":{{"event_type":"datapoint",{METADATA}}},'
    '"datapoint":{"value":12345678901234567890}}',
    f'{{"metadata":{{"event_type":"datapointack",{METADATA}}},'
    '"datapoint":{"value":1e400,"ack_status":200}}',
    '{"metadata":{"event_type":"connectivity","dsn":"Gr\\u00fc\\u00dfe"},'
    '"connection":{"status":"Online"}}',
    '{"metadata":{"event_type":"location","dsn":"AC1"},"location_event":{"lat":" 44.76"}}',
    '{"metadata":{"event_type":"registration","dsn":"AC1"},'
    '"registration_event":{"registered":true}}',
]


@pytest.fixture
def programs() -> Iterator[list[Dev]]:
    """Programs that are stopped when the test ends."""
    running: list[Dev] = []
    yield running
    for dev in running:
        dev.stop()


def refused(collect: Collect, url: str, **options: object) -> tuple[int, str]:
    failure = collect(url, retry=Retry(limit=0), **options).failure
    assert isinstance(failure, RefusedError)
    return failure.status, failure.error


def test_a_stream_goes_on_over_a_restart_and_tells_why_it_is_refused(
    collect: Collect, tmp_path: Path, programs: list[Dev]
) -> None:
    programs.append(Dev(tmp_path))
    url = programs[0].url
    programs[0].publish(*EVENTS)

    def handle(event: Event, stream: EventStream | AsyncEventStream) -> None:
        if event.seq == "1":
            assert refused(collect, url) == (409, "in_use")
        if event.seq == "5":
            assert stream.position == "5"
            programs.pop().stop()
            programs.append(Dev(tmp_path, urlsplit(url).netloc))
            programs[0].publish(*EVENTS)

    # Who does not answer heartbeats while an event is handled loses the stream to the other client.
    found = collect(url, handle, seq_start=0, seq_end=10, acknowledge="received")
    assert (found.failure, found.seqs) == (None, numbers(1, 10))
    assert found.reconnects
    assert {marker.control for marker in found.markers} <= {"live"}
    first, ack, connectivity, location, registration, *_ = found.events
    assert first.json == EVENTS[0].replace("{", '{"seq":"1",', 1)
    assert first.value == 12345678901234567890
    assert ack.event_type == "datapointack"
    assert (ack.value, ack.body.get("ack_status")) == (Decimal("1e400"), 200)
    assert (connectivity.dsn, connectivity.event_type) == ("Grüße", "connectivity")
    assert location.body == {"lat": " 44.76"}
    assert registration.body == {"registered": True}

    other = f"{url.partition('stream_key=')[0]}stream_key={'0' * 32}"
    assert refused(collect, other) == (401, "unauthorized")
    assert refused(collect, url, seq_start=999) == (400, "bad_position")


def test_a_key_in_the_header_opens_a_live_stream_which_can_be_closed(
    tmp_path: Path, programs: list[Dev]
) -> None:
    programs.append(Dev(tmp_path))
    parts = urlsplit(programs[0].url)
    [key] = parse_qs(parts.query)["stream_key"]

    def on_marker(marker: Marker) -> None:
        assert marker.control == "live"
        programs[0].publish(EVENTS[0])

    url = f"ws://{parts.netloc}/stream"
    with datastream_client.open(url, key=key, on_marker=on_marker) as stream:
        assert next(stream).seq == "1"
