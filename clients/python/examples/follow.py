"""follow URL [--delay-ms N] [--count N] [--seq-start N]: prints events as they come.

Prints the JSON of each event on a line of its own, and then handles it, which takes the delay. Ends
after the count, or with the stream. Gaps and reconnects are told on stderr.
"""

from __future__ import annotations

import argparse
import sys
import time

import datastream_client
from datastream_client import DatastreamError, EventStream, Marker, Reconnect


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def on_marker(marker: Marker) -> None:
    if marker.control == "gap":
        note(f"gap: events before {marker.seq_start} have expired")


def on_reconnect(reconnect: Reconnect) -> None:
    note(f"reconnecting in {round(reconnect.delay * 1000)} ms: {reconnect.failure}")


def delay(text: str) -> float:
    seconds = float(text) / 1000
    if not 0 <= seconds < float("inf"):
        raise ValueError
    return seconds


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def read_arguments() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="follow")
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--delay-ms", metavar="N", type=delay, default=0.0)
    parser.add_argument("--count", metavar="N", type=count)
    parser.add_argument("--seq-start", metavar="N")
    return parser, parser.parse_args()


def open_stream(url: str, seq_start: str | None) -> EventStream:
    if seq_start is None:
        return datastream_client.open(url, on_marker=on_marker, on_reconnect=on_reconnect)
    return datastream_client.open(
        url, seq_start=seq_start, on_marker=on_marker, on_reconnect=on_reconnect
    )


def main() -> int:
    parser, arguments = read_arguments()
    try:
        stream = open_stream(arguments.url, arguments.seq_start)
    except ValueError as error:
        parser.error(str(error))
    try:
        with stream:
            for n, event in enumerate(stream, start=1):
                print(event.json, flush=True)
                time.sleep(arguments.delay_ms)
                if n == arguments.count:
                    break
    except DatastreamError as error:
        note(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
