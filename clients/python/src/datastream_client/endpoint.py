"""Where a stream is, and what opens it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from datastream_client.checks import check_type
from datastream_client.options import AnyOptions, AsyncSecret
from datastream_client.seq import is_decimal

_SCHEMES: Mapping[str, str] = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

# Parameters that a stream which goes on over lost connections cannot have: the server counts anew
# on each of them, or writes events in another way.
_REFUSED = {
    "limit": "break out of the loop after so many events",
    "wait": "a stream waits for events",
    "format": "this library reads the DSS dialect",
    "ack": "answers to heartbeats acknowledge",
}


@dataclass(frozen=True)
class StreamRequest:
    """A request for a stream."""

    url: str
    headers: Mapping[str, str]


class Endpoint:
    """The URL of a stream, with the options that belong to it. No error shows the key."""

    def __init__(self, url: str, options: AnyOptions) -> None:
        """Reads a URL as all programs of datastream print it, or that of its `/events`.

        Raises ValueError if the URL or an option cannot be used, or if they contradict each other.
        """
        self._url = _stream_url(url)
        self._query = dict(_query_of(self._url))
        self._secret_name, self.secret = _secret_of(self._query, options)
        """What returns the key or token; None if the URL has the key, or a certificate opens it."""
        _set_parameters(self._query, options)
        _check_parameters(self._query)
        if isinstance(self.secret, str):
            # Fails now and not at each attempt.
            self._headers(self.secret)
        if self._url.scheme == "ws" and "ssl" in options:
            raise ValueError("ssl needs a URL of wss:// or https://")

    @property
    def address(self) -> str:
        """The URL without its query, which may have the key."""
        return urlunsplit(self._url._replace(query=""))

    @property
    def stream_key(self) -> str | None:
        """The key in the URL, if it has one."""
        return self._query.get("stream_key")

    @property
    def seq_start(self) -> str | None:
        """The number that the stream starts with, if that is known before it is open."""
        return self._query.get("seq_start")

    def request(self, seq_start: str | None, secret: str | None) -> StreamRequest:
        """Makes the request for the stream from a number on, with a key or token.

        Without a number, it is from where the URL and the options say. Raises ValueError, which
        does not show the secret, if that cannot stand in a header.
        """
        query = dict(self._query)
        if seq_start is not None:
            query.pop("time_start", None)
            query["seq_start"] = seq_start
        url = urlunsplit(self._url._replace(query=urlencode(query)))
        return StreamRequest(url, {} if self.secret is None else self._headers(secret))

    def _headers(self, secret: str | None) -> dict[str, str]:
        fault = _fault_of(secret)
        if fault is not None:
            raise ValueError(f"the {self._secret_name} {fault}")
        return {"Authorization": f"Bearer {secret}"}


def _stream_url(given: str) -> SplitResult:
    check_type("the URL of a stream", given, (str,), "a str")
    try:
        parts = urlsplit(given.strip())
        # Raises ValueError if it is no number.
        _ = parts.port
    except ValueError:
        # The error shows the URL, and with it the key.
        parts = SplitResult("", "", "", "", "")
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError("the URL of a stream is like wss://HOST/stream?stream_key=KEY")
    if "@" in parts.netloc:
        raise ValueError("the URL of a stream has no user and no password")
    path = re.sub(r"/events\Z", "/stream", parts.path if parts.path != "/" else "")
    return parts._replace(scheme=scheme, path=path or "/stream", fragment="")


def _query_of(url: SplitResult) -> list[tuple[str, str]]:
    pairs = parse_qsl(url.query)
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands twice in the URL")
    return pairs


def _secret_of(query: Mapping[str, str], options: AnyOptions) -> tuple[str, AsyncSecret | None]:
    secrets: dict[str, AsyncSecret | None] = {
        "key": options.get("key"),
        "token": options.get("token"),
    }
    given = [(name, secret) for name, secret in secrets.items() if secret is not None]
    if len(given) + ("stream_key" in query) > 1:
        raise ValueError(
            "more than one stream key or token: give one, in the URL, as key or as token"
        )
    return given[0] if given else ("key", None)


def _set_parameters(query: dict[str, str], options: AnyOptions) -> None:
    seq_start, time_start = options.get("seq_start"), options.get("time_start")
    if seq_start is not None and time_start is not None:
        raise ValueError("give seq_start or time_start, not both")
    if seq_start is not None or time_start is not None:
        query.pop("seq_start", None)
        query.pop("time_start", None)
    parameters = {
        "subscription": options.get("subscription"),
        "seq_start": seq_start,
        "seq_end": options.get("seq_end"),
        "time_start": _time_text(time_start),
        "on_gap": options.get("on_gap"),
        "markers": 1,
    }
    query.update({name: str(value) for name, value in parameters.items() if value is not None})


def _time_text(time: str | datetime | None) -> str | None:
    if not isinstance(time, datetime):
        return time
    if time.tzinfo is None:
        raise ValueError("time_start has no time zone: use datetime.now(timezone.utc) or the like")
    return time.isoformat()


def _check_parameters(query: Mapping[str, str]) -> None:
    for name in ("seq_start", "seq_end"):
        value = query.get(name)
        if value is not None and not is_decimal(value):
            raise ValueError(
                f"{name} is a sequence number, which has the digits 0 to 9 only: {value!r}"
            )
    if "seq_end" in query and "seq_start" not in query and "time_start" not in query:
        # It would begin to count when the stream resumes.
        raise ValueError("an end counts only beside a start: give seq_start or time_start, too")
    for name, instead in _REFUSED.items():
        if name in query:
            raise ValueError(f"leave {name} out of the URL: {instead}")


def _fault_of(secret: object) -> str | None:
    """Returns why a key or token cannot stand in a header, None if it can."""
    if not isinstance(secret, str):
        return f"is no str, but {type(secret).__name__}"
    if secret == "":
        return "is empty"
    if secret.endswith(("\n", "\r")):
        return "ends with a line break, as from a file: use strip()"
    if re.fullmatch(r"[\x21-\x7e]+", secret) is None:
        return "has spaces or other characters that no header may have"
    return None
