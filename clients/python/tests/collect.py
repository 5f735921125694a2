"""Reads streams until their end, in both ways that there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import datastream_client
from datastream_client import AsyncEventStream, Event, EventStream, Marker, Reconnect, Retry

QUICK = Retry(first_delay=0.002, longest_delay=0.01)
"""Pauses that a test need not wait for."""

Handle = Callable[[Event, EventStream | AsyncEventStream], object]


@dataclass
class Collected:
    """What a stream brought until its end."""

    seqs: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    markers: list[Marker] = field(default_factory=list)
    reconnects: list[Reconnect] = field(default_factory=list)
    failure: BaseException | None = None
    position: str | None = None

    def add(self, event: Event) -> None:
        self.seqs.append(event.seq)
        self.events.append(event)


Collect = Callable[..., Collected]


def _ignore(event: Event, stream: EventStream | AsyncEventStream) -> None:
    """Handles nothing."""


def collect_blocking(url: str, handle: Handle = _ignore, **options: Any) -> Collected:
    collected = Collected()
    with datastream_client.open(url, **_options(collected, options)) as stream:
        try:
            for event in stream:
                collected.add(event)
                handle(event, stream)
        except Exception as error:
            collected.failure = error
        collected.position = stream.position
    return collected


def collect_async(url: str, handle: Handle = _ignore, **options: Any) -> Collected:
    async def collect() -> Collected:
        collected = Collected()
        async with datastream_client.connect(url, **_options(collected, options)) as stream:
            try:
                async for event in stream:
                    collected.add(event)
                    # The loop goes on meanwhile, as it does while a coroutine handles an event.
                    await asyncio.to_thread(handle, event, stream)
            except Exception as error:
                collected.failure = error
            collected.position = stream.position
        return collected

    return asyncio.run(collect())


def _options(collected: Collected, given: dict[str, Any]) -> Any:
    recorded = {
        "on_marker": collected.markers.append,
        "on_reconnect": collected.reconnects.append,
    }
    return {"retry": QUICK, **recorded, **given}


def numbers(first: int, last: int) -> list[str]:
    """Returns the numbers from first to last, as text."""
    return [str(n) for n in range(first, last + 1)]
