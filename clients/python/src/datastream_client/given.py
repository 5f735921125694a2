"""The options that a program gives."""

from __future__ import annotations

import inspect
import ssl as tls
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import cast

from datastream_client.checks import check_count, check_seconds, check_type
from datastream_client.options import AnyOptions
from datastream_client.reconnect import Retry


def given_options(options: AnyOptions, takes_coroutines: bool) -> AnyOptions:
    """Returns the options that are not None.

    `takes_coroutines` says whether the key or token may come from a coroutine function. Raises
    TypeError for an option that there is not or that has another type, and ValueError for one that
    has another value.
    """
    unknown = options.keys() - _CHECKS.keys()
    if unknown:
        names = ", ".join(sorted(_CHECKS))
        raise TypeError(f"there is no option {', '.join(sorted(unknown))}: there are {names}")
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        _CHECKS[name](name, value)
        if name in ("key", "token") and not takes_coroutines and _is_coroutine_function(value):
            raise TypeError(f"{name} is a coroutine function: connect takes those, open does not")
    return cast("AnyOptions", given)


def _check_text(name: str, value: object) -> None:
    check_type(name, value, (str,), "a str")


def _check_number(name: str, value: object) -> None:
    check_type(name, value, (str, int), "a str or an int")


def _check_time(name: str, value: object) -> None:
    check_type(name, value, (str, datetime), "a str or a datetime")


def _check_secret(name: str, value: object) -> None:
    if not callable(value):
        check_type(name, value, (str,), "a str or a function")


def _check_callback(name: str, value: object) -> None:
    if not callable(value):
        raise TypeError(f"{name} is a function, not {type(value).__name__}")
    if _is_coroutine_function(value):
        raise TypeError(f"{name} is a plain function: nobody awaits a coroutine function")


def _check_retry(name: str, value: object) -> None:
    check_type(name, value, (Retry,), "a Retry")


def _check_silence(name: str, value: object) -> None:
    check_seconds(name, value)
    if value == 0:
        raise ValueError(f"{name} is more than 0 seconds")


def _check_read_ahead(name: str, value: object) -> None:
    check_count(name, value, 1)


def _check_tls(name: str, value: object) -> None:
    check_type(name, value, (tls.SSLContext,), "an ssl.SSLContext")


def _one_of(*choices: str) -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if value not in choices:
            raise ValueError(f"{name} is {' or '.join(map(repr, choices))}")

    return check


def _is_coroutine_function(value: object) -> bool:
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(
        getattr(value, "__call__", None)  # noqa: B004 - of an object that is called
    )


_CHECKS: Mapping[str, Callable[[str, object], None]] = {
    "key": _check_secret,
    "token": _check_secret,
    "subscription": _check_text,
    "seq_start": _check_number,
    "seq_end": _check_number,
    "time_start": _check_time,
    "on_gap": _one_of("earliest"),
    "on_marker": _check_callback,
    "on_reconnect": _check_callback,
    "retry": _check_retry,
    "silence": _check_silence,
    "acknowledge": _one_of("handled", "received"),
    "read_ahead": _check_read_ahead,
    "ssl": _check_tls,
}
