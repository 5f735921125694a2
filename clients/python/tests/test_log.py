"""What is logged about connections that are made again."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from collect import QUICK, Collect
from datastream_client import Reconnect, Retry
from gateway import Exchange, Gateway, refusal


async def close(exchange: Exchange) -> None:
    await exchange.close()


@pytest.mark.parametrize("way", ["stream_key", "key", "token"])
def test_a_reconnect_is_a_warning_that_does_not_show_the_key(
    collect: Collect, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    def refuse(exchange: Exchange) -> Any:
        # As a proxy does that repeats what it was asked for.
        told = f"{exchange.path} {exchange.headers.get('Authorization')}"
        return refusal(409, "in_use", told) if exchange.n < 2 else None

    with Gateway(close, refuse) as gateway:
        url = address = f"ws://{gateway.host}/stream"
        options: dict[str, Any] = {}
        if way == "stream_key":
            url += "?stream_key=SECRET"
        else:
            options[way] = lambda: "SECRET"
        assert collect(url, on_reconnect=None, **options).failure is None
    assert [record.name for record in caplog.records] == ["datastream_client"] * 2
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    for record in caplog.records:
        text = record.getMessage()
        assert re.fullmatch(rf"{address}: 409 in_use: .*; next attempt in 0\.0 s", text)
        assert "SECRET" not in text
        assert "***" in text


def test_a_server_that_cannot_be_reached_is_a_warning(
    collect: Collect, caplog: pytest.LogCaptureFixture
) -> None:
    with Gateway(close) as gateway:
        url = gateway.url
    retry = Retry(limit=2, first_delay=QUICK.first_delay)
    collect(url, on_reconnect=None, retry=retry)
    assert len(caplog.records) == 2
    assert ": cannot connect: " in caplog.messages[0]


def test_what_brings_no_key_is_a_warning(
    collect: Collect, caplog: pytest.LogCaptureFixture
) -> None:
    keys = iter([["SECRET"], "SECRET\n", "SECRET"])
    with Gateway(close) as gateway:
        found = collect(f"ws://{gateway.host}", on_reconnect=None, key=lambda: next(keys))
    assert found.failure is None
    reasons = [message.partition("connect with: ")[2] for message in caplog.messages]
    assert reasons == [
        "the key is no str, but list; next attempt in 0.0 s",
        "the key ends with a line break, as from a file: use strip(); next attempt in 0.0 s",
    ]


def test_a_function_of_the_user_replaces_the_warning(
    collect: Collect, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Reconnect] = []
    with Gateway(close, lambda e: refusal(503, "busy", "x") if e.n == 0 else None) as gateway:
        collect(gateway.url, on_reconnect=told.append)
    assert (len(told), caplog.records) == (1, [])
