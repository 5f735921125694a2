"""The time that a connection may be silent."""

from __future__ import annotations

# Seconds that are endured before the interval of the heartbeats is known: a subscription may ask
# for up to 300 s.
_FIRST_LIMIT = 310.0
# Seconds that are always endured.
_SHORTEST_LIMIT = 20.0
# Heartbeats that may be missing.
_INTERVALS = 3


class SilenceLimit:
    """Silence that a stream's connections may have: three of the longest interval of heartbeats."""

    def __init__(self, fixed: float | None) -> None:
        """Starts with what is endured before any heartbeat. With `fixed`, it stays at that."""
        self._fixed = fixed
        self._longest = 0.0
        self._previous: float | None = None

    @property
    def seconds(self) -> float:
        if self._fixed is not None:
            return self._fixed
        if self._longest == 0:
            return _FIRST_LIMIT
        return max(_INTERVALS * self._longest, _SHORTEST_LIMIT)

    def heartbeat(self, arrived: float | None) -> None:
        """Notes a heartbeat that came at this time, in seconds.

        None says that it had come some time before it was read. Only between two known times there
        is an interval.
        """
        if arrived is not None and self._previous is not None:
            self._longest = max(self._longest, arrived - self._previous)
        self._previous = arrived

    def restart(self) -> None:
        """Notes a new connection, which has an interval of its own."""
        self._previous = None
