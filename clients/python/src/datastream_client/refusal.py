"""Answers of a server that gives no stream."""

from __future__ import annotations

import json
from http import HTTPStatus

from datastream_client.errors import RefusedError

# Seconds; a longer `Retry-After` is not waited for.
_LONGEST_RETRY_AFTER = 300.0


def refusal_of(status: int, retry_after: str | None, body: bytes) -> RefusedError:
    """Reads an answer: its status, its header `Retry-After`, and its body."""
    error, message = _explanation_in(body)
    return RefusedError(
        status, error, message or _phrase_of(status), retry_after_seconds(retry_after)
    )


def retry_after_seconds(header: str | None) -> float:
    """Returns the seconds that a `Retry-After` asks for, at most 300.

    They are 0 if it is missing or no number of seconds.
    """
    text = (header or "").strip()
    if not (text.isascii() and text.isdigit()):
        return 0.0
    return min(float(text), _LONGEST_RETRY_AFTER)


def _explanation_in(body: bytes) -> tuple[str, str]:
    try:
        match json.loads(body):
            case {"error": str(error), "message": str(message)}:
                return error, message
    except (ValueError, RecursionError):
        # A proxy that refuses by itself explains it in HTML.
        pass
    return "", ""


def _phrase_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "the server gives no reason"
