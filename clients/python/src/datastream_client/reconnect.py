"""The time to try again after a stream ended."""

from __future__ import annotations

import random
from dataclasses import dataclass

from datastream_client.checks import check_count, check_seconds
from datastream_client.errors import ClosedError, DatastreamError, RefusedError

# Clients of a gateway that shuts down come back within this time, in seconds, not all at once.
_SPREAD = 0.5
# Close codes of a gateway that moves its clients elsewhere: going away, and service restart.
_MOVING_CODES = frozenset({1001, 1012})


@dataclass(frozen=True)
class Retry:
    """When a stream is tried again after a failure.

    Raises TypeError or ValueError for what is no count or no time.
    """

    limit: int | None = None
    """Failures in a row, without an event or a heartbeat between them, after which the last one is
    raised. None: no limit."""
    first_delay: float = 0.5
    """Seconds of the first pause; each one after it is twice as long."""
    longest_delay: float = 30.0
    """Seconds of the longest pause."""

    def __post_init__(self) -> None:
        if self.limit is not None:
            check_count("limit", self.limit, 0)
        check_seconds("first_delay", self.first_delay)
        check_seconds("longest_delay", self.longest_delay)


class ReconnectPolicy:
    """The pauses of one stream: doubling, at random up to half shorter.

    While a gateway moves its clients, there is nearly none.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._delay = retry.first_delay
        self.failures = 0
        """Failures in a row."""

    def progress(self) -> None:
        """Notes that something came.

        A connection that only opens is no success: a server that accepts and drops would be
        flooded.
        """
        self.failures = 0
        self._delay = self._retry.first_delay

    def after(self, failure: DatastreamError) -> float | None:
        """Counts a failure. Returns the seconds to wait, None if there is to be no more attempt."""
        is_first = self.failures == 0
        self.failures += 1
        limit = self._retry.limit
        if not failure.retryable or (limit is not None and self.failures > limit):
            return None
        if is_first and isinstance(failure, ClosedError) and failure.code in _MOVING_CODES:
            return random.uniform(0, _SPREAD)
        delay = min(self._delay, self._retry.longest_delay)
        self._delay = 2 * delay
        retry_after = failure.retry_after if isinstance(failure, RefusedError) else 0.0
        return max(delay * random.uniform(0.5, 1), retry_after)
