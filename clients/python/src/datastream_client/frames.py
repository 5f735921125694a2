"""Frames of the DSS dialect: `LEN|BODY`."""

from __future__ import annotations

from datastream_client.errors import ProtocolError

# A gateway sends no larger frame, whatever its settings are.
LARGEST_FRAME = 16 << 20

HEARTBEAT = "Z"
"""Body of a heartbeat, and the answer to it."""


def body_of(frame: str | bytes) -> str:
    """Returns the body of a frame. Raises ProtocolError if it is none."""
    if isinstance(frame, str):
        length, separator, body = frame.partition("|")
        if separator and length == str(len(body)):
            return body
    raise ProtocolError(f"not a frame of a stream: {frame[:200]!r}")
