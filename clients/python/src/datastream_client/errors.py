"""Why there is no stream, or no more."""

from __future__ import annotations

# Statuses that pass by themselves; beside them, those from 500 on.
_PASSING_STATUSES = frozenset({408, 409, 425, 429})


class DatastreamError(Exception):
    """Base of all errors of a stream."""

    @property
    def retryable(self) -> bool:
        """Whether it may pass by itself, so that the stream is tried again."""
        return False


class RefusedError(DatastreamError):
    """The server refused to open the stream. Its text is `STATUS ERROR: MESSAGE`."""

    def __init__(self, status: int, error: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(status, error, message, retry_after)
        self.status = status
        """HTTP status."""
        self.error = error
        """The server's name for it, such as `gone`; empty if it gave none."""
        self.message = message
        """The server's explanation, a sentence."""
        self.retry_after = retry_after
        """Seconds after which the server asks to be tried again (`Retry-After`)."""

    def __str__(self) -> str:
        name = f"{self.status} {self.error}" if self.error else str(self.status)
        return f"{name}: {self.message}"

    @property
    def retryable(self) -> bool:
        return self.status >= 500 or self.status in _PASSING_STATUSES


class ClosedError(DatastreamError):
    """The server ended the stream before the end that was asked for, and said why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        """Close code of the stream protocol, such as 1001."""
        self.reason = reason
        """The server's reason."""

    def __str__(self) -> str:
        return f"closed by the server: {self.code} {self.reason}"

    @property
    def retryable(self) -> bool:
        # After 1008, the status of the next attempt tells whether the stream may be opened again.
        return True


class ConnectionLostError(DatastreamError):
    """The connection could not be made, broke, or died. `__cause__` is the error below, if any."""

    @property
    def retryable(self) -> bool:
        return True


class CredentialError(DatastreamError):
    """The token or key could not be had: the callback failed, with `__cause__`."""

    @property
    def retryable(self) -> bool:
        return True


class ProtocolError(DatastreamError):
    """What came is not the protocol of datastream: most often, another server answers there."""


class GapError(DatastreamError):
    """Events have expired before they could be sent, and there is no `on_marker` to say so."""

    def __init__(self, seq_start: str) -> None:
        super().__init__(seq_start)
        self.seq_start = seq_start
        """The number to start with to get what is left."""

    def __str__(self) -> str:
        return (
            f"events before {self.seq_start} have expired: give on_marker to be told and to go on,"
            " or start with that number"
        )
