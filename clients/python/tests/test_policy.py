from __future__ import annotations

import pytest

from datastream_client import ClosedError, ConnectionLostError, RefusedError, Retry
from datastream_client.frames import body_of
from datastream_client.reconnect import ReconnectPolicy
from datastream_client.refusal import retry_after_seconds
from datastream_client.silence import SilenceLimit

LOST = ConnectionLostError("lost")


def delay_after(policy: ReconnectPolicy, failure: ConnectionLostError | ClosedError) -> float:
    delay = policy.after(failure)
    assert delay is not None
    return delay


def test_pauses_double_up_to_the_longest_and_begin_again_after_progress() -> None:
    policy = ReconnectPolicy(Retry())
    for longest in (0.5, 1, 2, 4, 8, 16, 30, 30):
        assert longest / 2 <= delay_after(policy, LOST) <= longest
    assert policy.failures == 8
    policy.progress()
    assert 0.25 <= delay_after(policy, LOST) <= 0.5


def test_pauses_stay_at_the_longest_however_many_failures_there_are() -> None:
    policy = ReconnectPolicy(Retry())
    assert all(delay_after(policy, LOST) <= 30 for _ in range(2000))


@pytest.mark.parametrize("code", [1001, 1012])
def test_a_moved_stream_comes_back_at_once_and_backs_off_without_progress(code: int) -> None:
    policy = ReconnectPolicy(Retry())
    moved = ClosedError(code, "moved")
    assert delay_after(policy, moved) <= 0.5
    policy.progress()
    delays = [delay_after(policy, moved) for _ in range(10)]
    assert delays[0] <= 0.5
    assert delays[-1] >= 15


def test_retry_after_is_the_shortest_pause() -> None:
    refused = RefusedError(503, "busy", "later", 45)
    assert ReconnectPolicy(Retry()).after(refused) == 45


def test_retry_after_is_a_number_of_seconds_and_has_a_limit() -> None:
    assert retry_after_seconds(" 7 ") == 7
    assert retry_after_seconds("86400") == 300
    bad = [None, "", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT"]
    assert [retry_after_seconds(header) for header in bad] == [0] * len(bad)


def test_a_final_failure_and_one_beyond_the_limit_are_not_tried_again() -> None:
    for status in (400, 401, 403, 404, 405, 406, 410):
        assert ReconnectPolicy(Retry()).after(RefusedError(status, "e", "m")) is None
    policy = ReconnectPolicy(Retry(limit=2))
    assert [policy.after(LOST) is None for _ in range(3)] == [False, False, True]


def limit_after(*arrivals: float | None) -> SilenceLimit:
    limit = SilenceLimit(None)
    for arrived in arrivals:
        limit.heartbeat(arrived)
    return limit


def test_silence_is_endured_for_three_intervals_of_heartbeats() -> None:
    limit = limit_after(0, 30)
    assert limit.seconds == 310
    limit.restart()
    for arrived in (0, 30):
        limit.heartbeat(arrived)
    assert limit.seconds == 90
    assert limit_after(0, 30, 31, 60).seconds == 90


def test_the_shortest_intervals_are_known_after_three_heartbeats() -> None:
    assert limit_after(0, 5, 10).seconds == 20


@pytest.mark.parametrize(
    "fresh",
    [(0, 1), (0, 1, 30), (29, 30), (0, 1, 2, 3, 4), (0, 5, 12, 30), (0, 10, 30)],
)
def test_heartbeats_out_of_turn_on_a_fresh_stream_make_no_short_interval(
    fresh: tuple[float, ...],
) -> None:
    limit = limit_after(*fresh)
    assert limit.seconds == 310
    limit.restart()
    for arrived in (0, 30, 60):
        limit.heartbeat(arrived)
    assert limit.seconds == 90


@pytest.mark.parametrize("start", [(0, 45), (0, 10, 55), (0, 5, 15, 20, 65)])
def test_a_gap_that_was_too_long_counts_after_four_in_a_row_that_were_shorter(
    start: tuple[float, ...],
) -> None:
    limit = limit_after(*start)
    for n in range(1, 5):
        assert limit.seconds == 310
        limit.heartbeat(start[-1] + 30 * n)
    assert limit.seconds == 135


def test_gaps_that_no_interval_makes_tell_nothing() -> None:
    assert limit_after(0, 3600, 7200, 10800).seconds == 310
    assert limit_after(0, 30, 60, 3660, 3690).seconds == 90


def test_no_interval_is_longer_than_a_subscription_may_ask_for() -> None:
    assert limit_after(0, 301, 602).seconds == 900


def test_a_connection_that_was_given_up_makes_the_next_one_start_anew() -> None:
    limit = limit_after(0, 5, 10)
    limit.gave_up()
    assert limit.seconds == 310
    fixed = SilenceLimit(7)
    fixed.gave_up()
    assert fixed.seconds == 7


def test_heartbeats_that_were_read_late_tell_no_interval() -> None:
    limit = limit_after(None, 10, None, 20, None, 30)
    assert limit.seconds == 310
    limit.restart()
    for arrived in (3, 11, 19):
        limit.heartbeat(arrived)
    assert limit.seconds == 24


def test_frames() -> None:
    assert body_of("1|Z") == "Z"
    assert body_of("3|a|b") == "a|b"
    for bad in ("", "Z", "2|Z", "|Z", "01|Z", "x|Z", b"1|Z"):
        with pytest.raises(Exception, match="not a frame"):
            body_of(bad)
