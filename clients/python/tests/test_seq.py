from __future__ import annotations

import pytest

from datastream_client import EventIdentity, after, identity_of
from datastream_client.seq import SeenEvents


def seq_of(own: int, *following: int) -> str:
    """Returns the number of the event in partition `own` that leads to these next offsets."""
    return f"1{''.join(f'{n:015}' for n in following)}{own * 2:03}"


def test_the_number_after_carries_over_any_number_of_digits() -> None:
    assert after("1") == "2"
    assert after("199") == "200"
    assert after("999") == "1000"
    assert after("9" * 5000) == f"1{'0' * 5000}"
    assert after(f"1{'0' * 5000}9") == f"1{'0' * 4999}10"


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1e3", " 1", "0x1", "٣", "²"])
def test_only_decimal_digits_are_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a sequence number"):
        after(text)


def test_the_identity_of_an_event_is_its_partition_and_offset() -> None:
    assert identity_of("7") == EventIdentity(0, 6)
    assert identity_of("007") == EventIdentity(0, 6)
    assert identity_of("9" * 15) == EventIdentity(0, 999_999_999_999_998)
    assert identity_of(seq_of(1, 3, 4)) == EventIdentity(1, 3)
    assert identity_of(seq_of(499, *[9] * 500)) == EventIdentity(499, 8)


def test_what_is_no_number_of_an_event_has_no_identity() -> None:
    between = after(seq_of(0, 3, 4))
    other = f"2{seq_of(1, 3, 4)[1:]}"
    texts = ["", "0", "-1", "7.0", "9" * 20, between, other]
    texts += [seq_of(2, 3, 4), seq_of(0, 3), seq_of(1, 3, 0)]
    assert [identity_of(text) for text in texts] == [None] * len(texts)


def test_an_event_is_seen_once_under_whichever_number_it_comes() -> None:
    seen = SeenEvents()

    def are_new(*seqs: str) -> list[bool]:
        return [seen.add(identity) for identity in map(identity_of, seqs) if identity]

    assert are_new(seq_of(0, 1, 0), seq_of(1, 1, 1), seq_of(0, 2, 1)) == [True, True, True]
    # Another gateway merges the partitions in another order.
    assert are_new(seq_of(1, 0, 1), seq_of(0, 1, 1), seq_of(0, 3, 1)) == [False, False, True]
