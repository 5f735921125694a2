from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

import datastream_client
from datastream_client.endpoint import Endpoint


def request(url: str, position: str | None = None, **options: Any) -> tuple[str, str | None]:
    endpoint = Endpoint(url, options)  # type: ignore[arg-type]
    secret = endpoint.secret
    assert secret is None or isinstance(secret, str)
    made = endpoint.request(position, secret)
    return made.url, made.headers.get("Authorization")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ws://h:1/stream?stream_key=k", "ws://h:1/stream?stream_key=k&markers=1"),
        ("wss://h/stream?stream_key=k&seq_start=", "wss://h/stream?stream_key=k&markers=1"),
        ("WSS://h?stream_key=k#x", "wss://h/stream?stream_key=k&markers=1"),
        ("https://h/events?stream_key=k", "wss://h/stream?stream_key=k&markers=1"),
        ("http://h/t/events?stream_key=k&markers=0", "ws://h/t/stream?stream_key=k&markers=1"),
        (" ws://[::1]:2/?stream_key=k ", "ws://[::1]:2/stream?stream_key=k&markers=1"),
    ],
)
def test_the_url_of_a_stream(given: str, expected: str) -> None:
    assert request(given) == (expected, None)


def test_options_come_before_the_url_and_a_position_before_both() -> None:
    url = "wss://h/stream?time_start=2026-01-01T00:00:00Z&seq_end=9"
    options: dict[str, Any] = {"key": "k", "seq_start": 10**29, "seq_end": "200"}
    expected = "wss://h/stream?seq_end=200&seq_start="
    assert request(url, **options) == (f"{expected}{10**29}&markers=1", "Bearer k")
    assert request(url, "8", **options) == (f"{expected}8&markers=1", "Bearer k")
    time = datetime(2026, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
    timed, _ = request("wss://h", key="k", time_start=time, on_gap="earliest", subscription="a/b")
    query = "subscription=a%2Fb&time_start=2026-02-03T04%3A05%3A06%2B00%3A00"
    assert timed == f"wss://h/stream?{query}&on_gap=earliest&markers=1"


URL = "ws://h/stream?stream_key=SECRET"


@pytest.mark.parametrize("make", [datastream_client.open, datastream_client.connect])
@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("h:1/stream?stream_key=SECRET", {}),
        ("ftp://h/stream?stream_key=SECRET", {}),
        ("ws://?stream_key=SECRET", {}),
        ("ws://h:x/?stream_key=SECRET", {}),
        ("ws://[h/?stream_key=SECRET", {}),
        ("ws://user:SECRET@h/stream", {}),
        (f"{URL}&stream_key=OTHER", {}),
        (f"{URL}&limit=3", {}),
        (f"{URL}&wait=3", {}),
        (f"{URL}&format=json", {}),
        (f"{URL}&ack=3", {}),
        (URL, {"token": "t"}),
        ("ws://h/stream", {"key": "SECRET", "token": "t"}),
        ("ws://h/stream", {"key": "SECRET\nKEY"}),
        (URL, {"seq_start": "1e3"}),
        (URL, {"seq_start": -1}),
        (URL, {"seq_start": "1", "time_start": "2026-01-01T00:00:00Z"}),
        (URL, {"time_start": datetime(2026, 1, 1)}),
        (URL, {"seq_end": "1"}),
        (URL, {"read_ahead": 0}),
        (URL, {"acknowledge": "never"}),
        (URL, {"ssl": ssl.create_default_context()}),
    ],
)
def test_what_cannot_be_used_is_refused_at_once_without_showing_the_key(
    make: Callable[..., object], url: str, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r".+") as found:
        make(url, **options)
    assert "SECRET" not in str(found.getrepr(style="value"))


@pytest.mark.parametrize("name", ["key", "token"])
@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        ("", "is empty"),
        ("SECRET\n", "ends with a line break, as from a file: use strip()"),
        ("SECRET\r\n", "ends with a line break, as from a file: use strip()"),
        ("SECRET KEY", "has spaces or other characters that no header may have"),
        ("SECRÉT", "has spaces or other characters that no header may have"),
    ],
)
def test_a_secret_that_no_header_may_have_is_refused_with_the_reason(
    name: str, secret: str, fault: str
) -> None:
    options: Any = {name: secret}
    with pytest.raises(ValueError, match=r".+") as found:
        datastream_client.open("ws://h", **options)
    assert str(found.value) == f"the {name} {fault}"
