"""Checks of what a program gives, for those that no type checker has read.

No error shows a value, which may be a key.
"""

from __future__ import annotations

import math


def check_type(name: str, value: object, types: tuple[type, ...], expected: str) -> None:
    """Raises TypeError if the value has none of these types. A bool is no number."""
    if isinstance(value, bool) or not isinstance(value, types):
        raise TypeError(f"{name} is {expected}, not {type(value).__name__}")


def check_count(name: str, value: object, least: int) -> None:
    """Raises TypeError if the value is no int, and ValueError if it is less than the least one."""
    check_type(name, value, (int,), "an int")
    if isinstance(value, int) and value < least:
        raise ValueError(f"{name} is at least {least}")


def check_seconds(name: str, value: object) -> None:
    """Raises TypeError if the value is no number, and ValueError if it is negative or infinite."""
    check_type(name, value, (int, float), "a number of seconds")
    if isinstance(value, int | float) and not (0 <= value < math.inf):
        raise ValueError(f"{name} is a finite number of seconds, and not negative")
