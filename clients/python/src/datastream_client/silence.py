"""The time that a connection may be silent."""

from __future__ import annotations

# Seconds of the longest interval of heartbeats that a subscription may ask for.
_LONGEST_INTERVAL = 300.0
# Seconds that are endured before the interval of the heartbeats is known.
_FIRST_LIMIT = _LONGEST_INTERVAL + 10
# Seconds that are always endured.
_SHORTEST_LIMIT = 20.0
# Heartbeats that may be missing.
_INTERVALS = 3
# Seconds that are never endured, unless they were asked for.
_LONGEST_LIMIT = _INTERVALS * _LONGEST_INTERVAL
# Seconds below which a gap tells nothing: no subscription may ask for an interval of less than 5 s.
_SHORTEST_GAP = 4.0
# Seconds above which a gap tells nothing: no interval is as long, but a process that is stopped
# reads late what came in time.
_LONGEST_GAP = _FIRST_LIMIT
# Gaps that have to be about as long as the longest before it counts as the interval.
_ALIKE = 2
# Gaps in a row that have to be shorter than the longest before it counts as the interval: it may be
# too long, which hangs up on no gateway that is well.
_SHORTER = 4


class SilenceLimit:
    """Silence that a stream's connections may have: three intervals of heartbeats.

    The interval is the longest gap between two heartbeats on any connection, once another one was
    about as long or four in a row were shorter: a heartbeat that comes out of turn makes shorter
    ones, and one that is late a longer one.
    """

    def __init__(self, fixed: float | None) -> None:
        """Starts with what is endured before any heartbeat. With `fixed`, it stays at that."""
        self._fixed = fixed
        self._longest = 0.0
        self._alike = 0
        self._shorter = 0
        self._previous: float | None = None

    @property
    def seconds(self) -> float:
        if self._fixed is not None:
            return self._fixed
        if not self._is_known:
            return _FIRST_LIMIT
        return min(max(_INTERVALS * self._longest, _SHORTEST_LIMIT), _LONGEST_LIMIT)

    def heartbeat(self, arrived: float | None) -> None:
        """Notes a heartbeat that came at this time, in seconds.

        None says that it had come some time before it was read. Only between two known times there
        is a gap.
        """
        if arrived is not None and self._previous is not None:
            gap = arrived - self._previous
            if _SHORTEST_GAP <= gap <= _LONGEST_GAP:
                self._measured(gap)
        self._previous = arrived

    def restart(self) -> None:
        """Notes a new connection: what comes next is no gap."""
        self._previous = None

    def gave_up(self) -> None:
        """Notes that a connection was given up for its silence: the next one starts anew.

        If the interval was taken for too short, that would be given up as well, before a heartbeat
        can show it.
        """
        self._longest = 0.0
        self._alike = 0
        self._shorter = 0
        self._previous = None

    @property
    def _is_known(self) -> bool:
        return self._alike >= _ALIKE or self._shorter >= _SHORTER

    def _measured(self, gap: float) -> None:
        shorter, longer = min(self._longest, gap), max(self._longest, gap)
        self._longest = longer
        if self._is_known:
            return
        self._shorter = 0 if gap == longer else self._shorter + 1
        if 4 * shorter >= 3 * longer:
            self._alike += 1
        elif gap == longer:
            self._alike = 1
