"""Sequence numbers: decimal digits, up to thousands of them, and therefore text.

With one partition, the number of an event is its offset plus one. With several, it is the digit 1,
then 15 digits for each partition's next offset, then 3 digits: twice the number of the event's own
partition, or one more for 'just after it'.
"""

from __future__ import annotations

from typing import NamedTuple

_OFFSET_DIGITS = 15
_OWN_DIGITS = 3


class EventIdentity(NamedTuple):
    """Identity of an event, the same under whichever sequence number it comes."""

    partition: int
    """The event's own partition."""
    offset: int
    """Its offset there."""


def is_decimal(text: str) -> bool:
    """Returns whether the text is one or more of the digits 0 to 9."""
    return text.isascii() and text.isdigit()


def after(seq: str) -> str:
    """Returns the number after `seq`: the one to start with to get what follows that event.

    Raises ValueError if `seq` is no decimal number.
    """
    if not is_decimal(seq):
        raise ValueError(f"not a sequence number, which has the digits 0 to 9 only: {seq!r}")
    # int() refuses more than 4,300 digits.
    head = seq.rstrip("9")
    zeros = "0" * (len(seq) - len(head))
    if not head:
        return f"1{zeros}"
    return f"{head[:-1]}{int(head[-1]) + 1}{zeros}"


def identity_of(seq: str) -> EventIdentity | None:
    """Returns the identity of the event with this number, None for what is no number of one."""
    if not is_decimal(seq):
        return None
    digits = seq.lstrip("0")
    if len(digits) <= _OFFSET_DIGITS:
        return _identity(0, int(digits or "0"))
    groups = digits[1:-_OWN_DIGITS]
    partitions, rest = divmod(len(groups), _OFFSET_DIGITS)
    if digits[0] != "1" or rest != 0 or partitions < 2:
        return None
    partition, is_between = divmod(int(digits[-_OWN_DIGITS:]), 2)
    if is_between or partition >= partitions:
        return None
    start = partition * _OFFSET_DIGITS
    return _identity(partition, int(groups[start : start + _OFFSET_DIGITS]))


def _identity(partition: int, following: int) -> EventIdentity | None:
    return EventIdentity(partition, following - 1) if following > 0 else None


class SeenEvents:
    """The events that a stream has seen: of each partition, all up to the last one."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}

    def add(self, identity: EventIdentity) -> bool:
        """Notes an event. Returns whether it is new."""
        if identity.offset < self._next.get(identity.partition, 0):
            return False
        self._next[identity.partition] = identity.offset + 1
        return True
