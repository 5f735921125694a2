from __future__ import annotations

import json
import pickle
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from datastream_client import EventIdentity, parse_event, summarize
from datastream_client.happened import parse_time

REPOSITORY = Path(__file__).resolve().parents[3]
VECTORS = json.loads((REPOSITORY / "protocol/tests/vectors/events.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, Any]) -> None:
    event = parse_event(vector["event"])
    found = {
        "name": vector["name"],
        "event": event.json,
        "seq": event.seq,
        "event_type": event.type_name,
        "dsn": event.dsn,
        "property_name": event.property_name,
        "happened": event.happened,
        "what": summarize(event),
    }
    assert found == vector
    # Everything can be written as UTF-8.
    str(event.to_record()).encode()
    str(event.body).encode()


def with_body(event_type: str, body: str) -> str:
    metadata = f'{{"event_type":"{event_type}","dsn":"AC1","oem_model":"m"}}'
    return f'{{"seq":"7","metadata":{metadata},{body}}}'


def test_an_event_has_the_body_of_its_type() -> None:
    event = parse_event(
        with_body("connectivity", '"connection":{"status":"Online","user_uuid":null}')
    )
    assert event.event_type == "connectivity"
    assert event.body == {"status": "Online", "user_uuid": None}
    assert event.metadata.get("oem_model") == "m"
    assert (event.value, event.raw_value) == (None, None)
    assert (event.next, event.identity) == ("8", EventIdentity(0, 6))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("12345678901234567890", 12345678901234567890),
        ("1.10", Decimal("1.10")),
        ("1E5", Decimal("1E5")),
        ("1e400", Decimal("1e400")),
        ("-0", Decimal("-0")),
        ("9" * 5000, Decimal("9" * 5000)),
        ("-1e9999999999999999999", Decimal("-Infinity")),
        ("0e9999999999999999999", Decimal(0)),
        ("1e-9999999999999999999", Decimal(0)),
        ("null", None),
        ("false", False),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"caf\\u00e9 \\ud83d"', "caf\\u00e9 \\ud83d"),
        ('{"x":[1, "\\u00e9\\ud83d"],"x":2}', {"x": [1, "é\\ud83d"]}),
    ],
)
def test_a_value_is_exact(raw: str, value: object) -> None:
    event = parse_event(with_body("datapoint", f'"datapoint":{{"value":{raw} , "id":"d"}}'))
    assert event.raw_value == raw
    assert event.value == value
    assert type(event.value) is type(value)
    assert str(event.value) == str(value)


def test_of_two_members_the_first_one_counts_unless_it_is_null() -> None:
    body = '"datapoint":{"id":null,"id":"a","id":"b","value":"}]\\""}'
    assert parse_event(with_body("datapoint", body)).body == {"id": "a", "value": '}]"'}


@pytest.mark.parametrize(
    "text",
    [with_body("reboot", '"datapoint":{"value":1}'), with_body("datapoint", '"datapoint":[1]')],
)
def test_an_event_without_the_body_of_its_type_has_none(text: str) -> None:
    event = parse_event(text)
    assert (event.event_type, event.body, event.raw_value) == (None, None, None)


DEEP = f'{{"seq":"7","deep":{"[" * 100_000}{"]" * 100_000}}}'


@pytest.mark.parametrize(
    "text",
    [
        *["", "[]", "7", "{", "{} {}", "{}", '{"seq":"0"}', '{"seq":"x"}', '{"seq":null}'],
        *['{"seq":"7",}', '{"seq" "7"}', '{seq:"7"}', '{"seq":"7"', '{"seq":"7" "a":1}'],
        *['{"seq":"7","a":NaN}', '{"seq":"7","a":01}', '{"seq":"7","a":}'],
        DEEP,
    ],
    ids=lambda text: text[:20] or "nothing",
)
def test_only_a_json_object_with_the_number_of_an_event_is_one(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_event(text)


def test_an_event_is_frozen_equal_by_its_json_and_can_be_pickled() -> None:
    text = with_body("datapoint", '"datapoint":{"value":1.5}')
    event = parse_event(text)
    assert event == parse_event(text)
    assert hash(event) == hash(parse_event(text))
    assert pickle.loads(pickle.dumps(event)).value == Decimal("1.5")
    with pytest.raises(AttributeError):
        event.seq = "8"  # type: ignore[misc]


def test_records_have_the_same_columns() -> None:
    body = '"datapoint":{"value":1,"created_at":"2018-09-24T10:25:14Z"}'
    record = parse_event(with_body("datapoint", body)).to_record()
    bare = parse_event('{"seq":"7"}').to_record()
    assert list(record) == list(bare)
    assert record["happened_at"] == datetime(2018, 9, 24, 10, 25, 14, tzinfo=timezone.utc)
    assert (record["partition"], record["offset"], record["value"]) == (0, 6, 1)


def test_times() -> None:
    second = datetime(2018, 9, 24, 10, 25, 14, tzinfo=timezone.utc)
    assert parse_time("2018-09-24t10:25:14z") == second
    assert parse_time("2018-09-24T10:25:14.1234567Z") == second.replace(microsecond=123456)
    zone = timezone(timedelta(hours=-5, minutes=-30))
    assert parse_time("2018-09-24T04:55:14.5-05:30") == second.replace(microsecond=500_000)
    found = parse_time("2018-09-24T04:55:14-05:30")
    assert found is not None
    assert found.tzinfo == zone
    bad = ["", "2018-09-24", "2018-09-24T10:25:14", "2018-13-24T10:25:14Z", "5", "soon"]
    bad += ["2018-09-24T10:25:60Z", "2018-09-24T10:25:14+99:00", "٢018-09-24T10:25:14Z"]
    assert [parse_time(text) for text in bad] == [None] * len(bad)
