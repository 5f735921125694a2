from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

import datastream_client
from datastream_client import Retry
from datastream_client.given import given_options
from datastream_client.options import AsyncStreamOptions, StreamOptions

URL = "ws://h/stream"
NAMES = (
    "acknowledge, key, on_gap, on_marker, on_reconnect, read_ahead, retry, seq_end, seq_start,"
    " silence, ssl, subscription, time_start, token"
)


async def coroutine_function(*_: object) -> str:
    return ""


class Coroutine:
    async def __call__(self, *_: object) -> str:
        return ""


def test_the_options_are_those_of_both_kinds_of_streams() -> None:
    names = set(NAMES.split(", "))
    assert names == StreamOptions.__optional_keys__ == AsyncStreamOptions.__optional_keys__


@pytest.mark.parametrize("make", [datastream_client.open, datastream_client.connect])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"seqstart": "1"}, f"there is no option seqstart: there are {NAMES}"),
        ({"seqStart": "1", "x": 1}, f"there is no option seqStart, x: there are {NAMES}"),
        ({"key": b"SECRET"}, "key is a str or a function, not bytes"),
        ({"token": 5}, "token is a str or a function, not int"),
        ({"subscription": ["a/b"]}, "subscription is a str, not list"),
        ({"seq_start": 1.0}, "seq_start is a str or an int, not float"),
        ({"seq_start": 1, "seq_end": True}, "seq_end is a str or an int, not bool"),
        ({"time_start": date(2026, 1, 1)}, "time_start is a str or a datetime, not date"),
        ({"on_marker": "x"}, "on_marker is a function, not str"),
        (
            {"on_marker": coroutine_function},
            "on_marker is a plain function: nobody awaits a coroutine function",
        ),
        (
            {"on_reconnect": Coroutine()},
            "on_reconnect is a plain function: nobody awaits a coroutine function",
        ),
        ({"retry": 3}, "retry is a Retry, not int"),
        ({"silence": "5"}, "silence is a number of seconds, not str"),
        ({"read_ahead": 1.5}, "read_ahead is an int, not float"),
        ({"ssl": True}, "ssl is an ssl.SSLContext, not bool"),
    ],
)
def test_an_option_that_there_is_not_or_of_another_type_is_refused(
    make: Callable[..., object], options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(TypeError, match=r".+") as found:
        make(URL, **options)
    assert str(found.value) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"on_gap": "latest"}, "on_gap is 'earliest'"),
        ({"acknowledge": "never"}, "acknowledge is 'handled' or 'received'"),
        ({"silence": 0}, "silence is more than 0 seconds"),
        ({"silence": -1}, "silence is a finite number of seconds, and not negative"),
        ({"silence": float("nan")}, "silence is a finite number of seconds, and not negative"),
        ({"read_ahead": 0}, "read_ahead is at least 1"),
    ],
)
def test_an_option_with_another_value_is_refused(options: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=r".+") as found:
        datastream_client.open(URL, **options)
    assert str(found.value) == expected


def test_an_option_that_is_none_counts_as_not_given() -> None:
    make: Callable[..., datastream_client.EventStream] = datastream_client.open
    nothing = dict.fromkeys(NAMES.split(", "))
    assert make(URL, **{**nothing, "seq_start": 5}).position == "5"


def test_a_coroutine_function_brings_a_key_with_asyncio_only() -> None:
    options: Any = {"key": coroutine_function}
    with pytest.raises(TypeError, match="key is a coroutine function: connect takes those"):
        datastream_client.open(URL, **options)
    assert given_options(options, takes_coroutines=True) == options


def test_a_url_is_text() -> None:
    url: Any = URL.encode()
    with pytest.raises(TypeError, match="the URL of a stream is a str, not bytes"):
        datastream_client.open(url)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"limit": "3"}, "limit is an int, not str"),
        ({"limit": -1}, "limit is at least 0"),
        ({"first_delay": "1"}, "first_delay is a number of seconds, not str"),
        ({"longest_delay": -1.0}, "longest_delay is a finite number of seconds, and not negative"),
    ],
)
def test_what_is_no_count_or_time_is_refused_for_retries(options: Any, expected: str) -> None:
    with pytest.raises((TypeError, ValueError), match=expected):
        Retry(**options)


def test_what_brings_no_key_is_a_failure_that_may_pass() -> None:
    options: Any = {"key": lambda: None, "retry": Retry(limit=0)}
    expected = "no key or token could be had to connect with: the key is no str, but NoneType"
    with pytest.raises(datastream_client.CredentialError) as found:
        next(datastream_client.open(URL, **options))
    assert str(found.value) == expected
    with pytest.raises(datastream_client.CredentialError) as found:
        asyncio.run(anext(datastream_client.connect(URL, **options)))
    assert str(found.value) == expected
