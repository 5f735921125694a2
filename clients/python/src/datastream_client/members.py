"""JSON objects as values and as the texts that were sent.

Numbers stay exact: `int`, and `Decimal` for what is no `int`. Of several members with one name, the
first one counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, NoReturn

_SPACE = re.compile(r"[ \t\n\r]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class Member(NamedTuple):
    """A member of an object."""

    name: str
    raw: str
    """The JSON text of the value."""
    value: Any


class Members:
    """Members of a JSON object, in order. Anything but an object has none."""

    def __init__(self, text: str | None) -> None:
        """Reads the text of a JSON value. Raises ValueError if it is a malformed object."""
        self._found = list(_members_of(text)) if text is not None else []

    def raw(self, name: str) -> str | None:
        """Returns the JSON text of the first member with this name, `null` included."""
        return next((raw for key, raw, _ in self._found if key == name), None)

    def get(self, name: str) -> str | None:
        """Returns the JSON text of the first member with this name that is not `null`."""
        found = (raw for key, raw, _ in self._found if key == name and raw != "null")
        return next(found, None)

    def text(self, name: str) -> str | None:
        """Returns a member as text: a string without quotes and escapes, all else as it stands."""
        raw = self.get(name)
        return None if raw is None else text_of(raw)

    def value(self, name: str) -> Any:
        """Returns the value of the first member with this name, None if there is none."""
        return next((value for key, _, value in self._found if key == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Returns the members as values, of several with one name the first that is not None."""
        return _first_of((name, value) for name, _, value in self._found)


def text_of(raw: str) -> str:
    """Returns the text of a JSON value: a string without quotes and escapes, all else as it is."""
    if not raw.startswith('"'):
        return raw
    text: str = json.loads(raw)
    # Half of a surrogate pair is valid JSON, but no text.
    return raw[1:-1] if _SURROGATE.search(text) else text


def _members_of(text: str) -> Iterator[Member]:
    at = _skip_space(text, 0)
    if not text.startswith("{", at):
        return
    at = _skip_space(text, at + 1)
    is_empty = text.startswith("}", at)
    while not is_empty:
        if not text.startswith('"', at):
            raise json.JSONDecodeError("Expecting a name in quotes", text, at)
        name, at = _decode(text, at)
        start = _skip_space(text, _behind(":", text, at))
        value, at = _decode(text, start)
        # A name that is no text is nobody's.
        if not _SURROGATE.search(name):
            raw = text[start:at]
            yield Member(name, raw, _encodable(raw, value))
        at = _skip_space(text, at)
        if text.startswith("}", at):
            break
        at = _skip_space(text, _behind(",", text, at))
    at = _skip_space(text, at + 1)
    if at != len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _decode(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError:
        raise json.JSONDecodeError("Nested too deeply", text, at) from None


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _behind(char: str, text: str, at: int) -> int:
    at = _skip_space(text, at)
    if not text.startswith(char, at):
        raise json.JSONDecodeError(f"Expecting {char!r}", text, at)
    return at + 1


def _encodable(raw: str, value: Any) -> Any:
    """Returns a value whose strings can be written as UTF-8."""
    if not _SURROGATE_ESCAPE.search(raw):
        return value
    return text_of(raw) if isinstance(value, str) else _escaped(value)


def _escaped(value: Any) -> Any:
    """Replaces half surrogate pairs in a container by their escapes."""
    if isinstance(value, str):
        return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", value)
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {_escaped(name): _escaped(item) for name, item in value.items()}
    return value


def _first_of(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if values.get(name) is None:
            values[name] = value
    return values


def _integer_of(text: str) -> int | Decimal:
    # An int has no sign of zero.
    if text == "-0":
        return Decimal(text)
    try:
        return int(text)
    except ValueError:
        # Python refuses to make an int of more than 4,300 digits.
        return Decimal(text)


def _decimal_of(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        # Its exponent has more than 18 digits.
        mantissa, exponent = re.split("[eE]", text)
        is_zero = exponent.startswith("-") or Decimal(mantissa).is_zero()
        sign = "-" if mantissa.startswith("-") else ""
        return Decimal(f"{sign}0" if is_zero else f"{sign}Infinity")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_first_of,
    parse_float=_decimal_of,
    parse_int=_integer_of,
    parse_constant=_refuse,
)
